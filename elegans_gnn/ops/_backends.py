"""Which code runs an operator: the native library, the names of the backends, and the one that is chosen."""

from __future__ import annotations

import ctypes
import functools
import importlib
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, Protocol, cast

import torch
from torch import Tensor

from elegans_gnn.errors import invalid, unknown_name
from elegans_gnn.ops import codes
from elegans_gnn.ops.reference import Pair, Problem


class Backend(Protocol):
    """What a backend of the aggregation offers, see `elegans_gnn.ops.reference`."""

    def forward(self, problem: Problem) -> Pair: ...

    def backward(self, problem: Problem, grad_y: Tensor, winner: Tensor, need_x: bool, need_weight: bool) -> Pair: ...


class OperatorFamily(NamedTuple):
    """Operators that share their backends."""

    title: str  # what they compute, for messages
    backends: tuple[str, ...]  # the names that `backend` accepts for them
    native_dtypes: tuple[torch.dtype, ...]


_MODULES = {
    "reference": "reference",
    "torch": "torch_backend",
    "native": "native",
    "triton": "triton_backend",
    "torch_scatter": "scatter_backend",
}
AGGREGATION = OperatorFamily(
    "an aggregation", tuple(_MODULES), (torch.float32, torch.float64, torch.float16, torch.bfloat16)
)
_LIBRARY_NAMES = {"win32": "elegans_gnn.dll", "darwin": "libelegans_gnn.dylib"}
_loaded: dict[str, Backend] = {}
_requested: ContextVar[str | None] = ContextVar("elegans_gnn_backend", default=None)


def available_backends() -> tuple[str, ...]:
    """The names of the backends that can run on this machine."""
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    present = {
        "reference": True,
        "torch": True,
        "native": library_path().exists(),
        "triton": find_spec("triton") is not None and (torch.cuda.is_available() or interpreted),
        "torch_scatter": find_spec("torch_scatter") is not None,
    }
    return tuple(name for name in _MODULES if present[name])


@contextmanager
def backend(name: str) -> Iterator[None]:
    """Run every `aggregate`, `synaptic_conv2d` and tensor network inside the block on one backend.

    The choice belongs to the current thread (or task) and is stored with each result, so a backward pass may come after
    the block or from another thread. Without this block the device decides.

    Raises:
        ValueError: no backend of this name.
        ImportError, RuntimeError: the backend exists and cannot run here; the message says what to install.
    """
    if name not in _MODULES:
        raise unknown_name("backend", name, _MODULES)
    implementation(name)
    token = _requested.set(name)
    try:
        yield
    finally:
        _requested.reset(token)


def resolve_backend(x: Tensor, family: OperatorFamily = AGGREGATION) -> str:
    """The backend for a call on `x`: the one that `backend` asks for, otherwise the best one for its device and dtype.

    Raises:
        ValueError: the requested backend has no such operators, or does not know the device or dtype.
    """
    requested = _requested.get()
    known = x.device.type == "cpu" and x.dtype in family.native_dtypes
    if requested is None:
        if known:
            return "native" if _library_is_there() else "torch"
        return "triton" if x.device.type == "cuda" and "triton" in family.backends and _has_triton() else "torch"
    if requested not in family.backends:
        *names, last = map(repr, family.backends)
        remedy = "leave the block, or use ops.backend('torch'), which runs on every device"
        raise invalid("ops.backend", f"{', '.join(names)} or {last} for {family.title}", repr(requested), remedy)
    if requested == "native" and not known:
        *names, last = (str(dtype).removeprefix("torch.") for dtype in family.native_dtypes)
        remedy = "move and convert it, or use ops.backend('torch')"
        got = f"{x.dtype} on {x.device}"
        raise invalid("x", f"{', '.join(names)} or {last} on the CPU, for ops.backend('native')", got, remedy)
    return requested


@torch.compiler.assume_constant_result
def _library_is_there() -> bool:
    # Constant in a process, so a compiled function may keep it; the requested backend is guarded on.
    return load_library() is not None


@torch.compiler.assume_constant_result
def _has_triton() -> bool:
    return find_spec("triton") is not None


def implementation(name: str) -> Backend:
    """The aggregation's module behind a name, imported at its first use."""
    found = _loaded.get(name)
    if found is None:
        found = _loaded[name] = cast(Backend, backend_module(name, "elegans_gnn.ops"))
    return found


def backend_module(name: str, package: str) -> ModuleType:
    """The module behind a name, in the package of its operators."""
    return importlib.import_module(f"{package}.{_MODULES[name]}")


def library_path() -> Path:
    """Where the package build installs the native library (with the Python files, also in an editable install)."""
    package = sys.modules[__name__.partition(".")[0]]
    name = _LIBRARY_NAMES.get(sys.platform, "libelegans_gnn.so")
    found = [folder / name for folder in map(Path, package.__path__) if (folder / name).exists()]
    return found[0] if found else Path(package.__path__[0]) / name


@functools.cache
def load_library() -> ctypes.CDLL | None:
    """The native library, or None with one warning that says what its absence costs."""
    path = library_path()
    if not path.exists():
        warnings.warn(
            f"the native kernels were not built ({path} is missing): CPU aggregation runs in plain torch, about 10 "
            "times slower; install a C++17 compiler with OpenMP and reinstall elegans_gnn",
            RuntimeWarning,
            stacklevel=2,
        )
        return None
    library = ctypes.CDLL(str(path))
    library.elegans_forward.argtypes = library.elegans_backward.argtypes = [ctypes.c_char_p]
    found = library.elegans_abi()
    if found != codes.ABI:
        raise RuntimeError(f"{path} has call layout {found}, this package needs {codes.ABI}; reinstall elegans_gnn")
    return library


def native_library() -> ctypes.CDLL:
    """The native library, for code that cannot run without it.

    Raises:
        RuntimeError: it was not built.
    """
    library = load_library()
    if library is None:
        raise RuntimeError(f"backend native needs {library_path()}; install a C++17 compiler and reinstall elegans_gnn")
    return library
