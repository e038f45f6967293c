"""Errors that say what was expected, what was given, and what to do."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

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
_MANY = 25  # names, from which on the nearest one is said before the list


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


def unknown_name(argument: str, got: str, known: Iterable[str], also: str = "") -> InvalidArgumentError:
    """Build the error for a name that is not in a list; it shows the list and the nearest name.

    Args:
        argument: which one.
        got: the name.
        known: the list.
        also: what else the argument takes, in words.
    """
    names = list(known)
    by_lower = {name.lower(): name for name in names}
    nearest = difflib.get_close_matches(str(got).lower(), by_lower, n=1, cutoff=0.4)
    remedy = f"did you mean {by_lower[nearest[0]]!r}?" if nearest else "choose one of these"
    listed = ", ".join(names[:_LISTED]) + (f", ... ({len(names)} names)" if len(names) > _LISTED else "")
    listed += f" or {also}" * bool(also)
    if nearest and len(names) > _MANY:
        return InvalidArgumentError(f"{argument} {got!r} is unknown; {remedy} It must be one of {listed}")
    return invalid(argument, listed if len(names) == 1 and also else f"one of {listed}", repr(got), remedy)


@dataclass(frozen=True)
class Range:
    """The numbers that an argument takes.

    Args:
        least, above, most, below: value >= least, > above, <= most, < below.
        whole: whether only whole numbers count.
        divisor: of every value.
        remedy: what to do about another value.
    """

    least: float = -math.inf
    above: float = -math.inf
    most: float = math.inf
    below: float = math.inf
    whole: bool = False
    divisor: int = 1
    remedy: str = ""

    def __str__(self) -> str:
        """The range in words; empty if every number is in it."""
        if self.divisor > 1:
            return f"a multiple of {self.divisor}" + f", at least {self.least}" * (self.least > self.divisor)
        if self.below < math.inf:
            return f"{self.least} to {self.below - 1}" if self.whole else f"in [{self.least}, {self.below})"
        if self.most < math.inf and self.above > -math.inf:
            return f"in ({self.above}, {self.most}]"
        if self.most < math.inf:
            return f"{self.least} to {self.most}" if self.whole else f"in [{self.least}, {self.most}]"
        return "positive" if self.above == 0 else f">= {self.least}" if self.least > -math.inf else ""

    def check(self, argument: str, value: Any, remedy: str = "") -> None:
        """Refuse a value out of range.

        Args:
            argument: its name in the message.
            value: None means that it is not given.
            remedy: what to do, where the range itself does not say.

        Raises:
            InvalidArgumentError: (a ValueError) another value, nan and infinity included.
        """
        if value is None:
            return
        number = isinstance(value, int if self.whole else int | float) and not isinstance(value, bool)
        if number and self._holds(value):
            return
        expected = f"a whole number {self}" if self.whole and not number else str(self) or "a number"
        if number and self.divisor > 1:
            remedy = f"use {argument}={max(self.least, value // self.divisor * self.divisor)}"
        raise invalid(argument, expected, value if number else repr(value), self.remedy or remedy)

    def _holds(self, value: Any) -> bool:
        inside = self.least <= value <= self.most and self.above < value < self.below
        return bool(inside and math.isfinite(value) and (self.divisor == 1 or value % self.divisor == 0))


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
