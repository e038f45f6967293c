"""Errors that say what was expected, what was given, and what to do."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import os
from collections.abc import Iterable
from types import ModuleType

# Optional package -> the extra that installs it.
EXTRA_OF_MODULE = {
    "lightning": "train",
    "torchmetrics": "train",
    "mlxtend": "train",
    "sklearn": "train",
    "tensorboard": "train",
    "jsonargparse": "train",
    "yaml": "train",
    "matplotlib": "viz",
    "safetensors": "train",
    "igraph": "graphs",
    "torch_scatter": "scatter",
    "onnx": "onnx",
    "onnxscript": "onnx",
    "onnxruntime": "onnx",
    "timm": "backbones",
    "pandas": "tables",
    "pyarrow": "tables",
    "ray": "study",
    "statsmodels": "study",
}


_LISTED = 40  # names in a message


class InvalidArgumentError(ValueError):
    """An argument cannot be used: which one, what was expected, what was given, what to do."""


class DataUnavailableError(RuntimeError):
    """A data set is not on disk and cannot be downloaded from here: which files go where."""


class FolderError(RuntimeError):
    """A folder cannot be written: what was to be written, why it failed, what to do."""


class MissingExtraError(ImportError):
    """An optional package is not installed: the command that installs it."""


class ConnectomeFormatError(ValueError):
    """A file does not hold a connectome: which file, which line, what is wrong, how to fix it."""

    def __init__(self, path: str | os.PathLike[str], problem: str, remedy: str, *, line: int | None = None) -> None:
        self.path = os.fspath(path)
        self.problem = problem
        self.remedy = remedy
        self.line = line
        where = self.path if line is None else f"{self.path}, line {line}"
        super().__init__(f"{where}: {problem}; {remedy}")

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild_format_error, (self.path, self.problem, self.remedy, self.line)


def _rebuild_format_error(path: str, problem: str, remedy: str, line: int | None) -> ConnectomeFormatError:
    return ConnectomeFormatError(path, problem, remedy, line=line)


def invalid(argument: str, expected: str, got: object, remedy: str) -> InvalidArgumentError:
    """Build the error (a ValueError) that every public function raises for an argument it cannot use.

    >>> str(invalid("steps", "a positive integer", -3, "pass steps=4"))
    'steps must be a positive integer, got -3; pass steps=4'
    """
    return InvalidArgumentError(f"{argument} must be {expected}, got {got}; {remedy}")


def unknown_name(argument: str, got: str, known: Iterable[str]) -> InvalidArgumentError:
    """Build the error for a name that is not in a list; it shows the list and the nearest name."""
    names = list(known)
    by_lower = {name.lower(): name for name in names}
    nearest = difflib.get_close_matches(str(got).lower(), by_lower, n=1, cutoff=0.4)
    remedy = f"did you mean {by_lower[nearest[0]]!r}?" if nearest else "choose one of the list"
    listed = ", ".join(names[:_LISTED]) + (f", ... ({len(names)} names)" if len(names) > _LISTED else "")
    return invalid(argument, f"one of {listed}", repr(got), remedy)


def require(module: str) -> ModuleType:
    """Import an optional package, or say which extra installs it.

    Raises:
        MissingExtraError: (an ImportError) the package is missing; the message shows the `pip install` command.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        top = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != top:
            raise
        raise missing_extra(top) from error


def require_extras(*extras: str) -> None:
    """Check that the packages of some extras are installed, without importing them.

    Raises:
        MissingExtraError: (an ImportError) a package is missing.
    """
    for package, extra in EXTRA_OF_MODULE.items():
        if extra in extras and importlib.util.find_spec(package) is None:
            raise missing_extra(package)


def missing_extra(package: str) -> MissingExtraError:
    """Build the error for an optional package that is not installed."""
    extra = EXTRA_OF_MODULE[package]
    return MissingExtraError(
        f'{package} is needed here and is not installed; run: pip install "elegans_gnn[{extra}]"', name=package
    )
