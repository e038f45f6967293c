"""Which code runs the aggregation: the names, who is available, and who is chosen."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import find_spec
from typing import Protocol, cast

import torch
from torch import Tensor

from elegans_gnn.errors import unknown_name
from elegans_gnn.ops._graph import Graph
from elegans_gnn.ops._library import library_path, load_library


class Backend(Protocol):
    """What a backend module offers; tensors are validated and in the raw operators' shapes."""

    def forward(self, x: Tensor, weight: Tensor, graph: Graph, reduce: str) -> tuple[Tensor, Tensor]: ...

    def backward(
        self,
        grad_y: Tensor,
        x: Tensor,
        weight: Tensor,
        winner: Tensor,
        graph: Graph,
        reduce: str,
        need_x: bool,
        need_weight: bool,
    ) -> tuple[Tensor, Tensor]: ...


_MODULES = {
    "reference": "elegans_gnn.ops.reference",
    "torch": "elegans_gnn.ops.torch_backend",
    "native": "elegans_gnn.ops.native",
    "triton": "elegans_gnn.ops.triton_backend",
    "torch_scatter": "elegans_gnn.ops.scatter_backend",
}
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
    """Run every `aggregate` inside the block on one backend.

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


def resolve(device: torch.device) -> str:
    """The backend for a call: the one asked for, otherwise the best one for the device."""
    requested = _requested.get()
    if requested is not None:
        return requested
    if device.type == "cpu":
        return _default_cpu()
    return "triton" if device.type == "cuda" and _has_triton() else "torch"


@torch.compiler.assume_constant_result
def _default_cpu() -> str:
    # Constant in a process, so a compiled function may keep it; the requested backend is guarded on.
    return "torch" if load_library() is None else "native"


@torch.compiler.assume_constant_result
def _has_triton() -> bool:
    return find_spec("triton") is not None


def implementation(name: str) -> Backend:
    """The module behind a name, imported at its first use."""
    found = _loaded.get(name)
    if found is None:
        found = _loaded[name] = cast(Backend, importlib.import_module(_MODULES[name]))
    return found
