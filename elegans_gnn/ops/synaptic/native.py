"""The synaptic convolution on the CPU in C++: csrc/synaptic.cpp through a plain C interface."""

from __future__ import annotations

import ctypes
import struct
from typing import Any

import torch
from torch import Tensor

from elegans_gnn.ops._backends import library_path, load_library
from elegans_gnn.ops._buffers import empty
from elegans_gnn.ops.reference import Graph
from elegans_gnn.ops.synaptic.contract import whole_maps

_DTYPE = {torch.float32: 0, torch.float64: 1, torch.bfloat16: 2, torch.float16: 3}
_STATUS = {1: "not enough memory for the working buffers", 2: "this processor lacks the requested instruction set"}
# The fields of synaptic_call in csrc/synaptic.h.
_pack = struct.Struct("=31q").pack

# For tests and benchmarks: 0 chooses; else 1 baseline, 2 AVX2, 3 AVX-512.
instruction_set = 0


def _library() -> ctypes.CDLL:
    library = load_library()
    if library is None:
        raise RuntimeError(f"backend native needs {library_path()}; install a C++17 compiler and reinstall elegans_gnn")
    library.elegans_synaptic_forward.argtypes = library.elegans_synaptic_backward.argtypes = [ctypes.c_char_p]
    return library


_forward, _backward = _library().elegans_synaptic_forward, _library().elegans_synaptic_backward


def forward(x: Tensor, weight: Tensor, graph: Graph) -> Tensor:
    """See `elegans_gnn.ops.synaptic.reference.forward`."""
    y = empty(x, x.shape)
    _call(_forward, x, None, weight, y, None, None, graph)
    return y


def backward(
    grad_y: Tensor, x: Tensor, weight: Tensor, graph: Graph, need_x: bool, need_weight: bool
) -> tuple[Tensor, Tensor]:
    """See `elegans_gnn.ops.synaptic.reference.backward`."""
    grad_x = empty(x, x.shape) if need_x else None
    grad_weight = weight.new_empty(weight.shape) if need_weight else None
    _call(_backward, x, grad_y, weight, None, grad_x, grad_weight, graph)
    return x.new_empty(0) if grad_x is None else grad_x, weight.new_empty(0) if grad_weight is None else grad_weight


def _call(
    function: Any,
    x: Tensor,
    grad: Tensor | None,
    weight: Tensor,
    y: Tensor | None,
    grad_x: Tensor | None,
    grad_weight: Tensor | None,
    graph: Graph,
) -> None:
    """Describe the call in one block of integers, and run it."""
    x, weight = whole_maps(x), weight.contiguous()
    grad = None if grad is None else whole_maps(grad)
    gradient = (0, 0, 0, 0) if grad is None else (grad.data_ptr(), *grad.stride()[:3])
    block = _pack(
        _DTYPE[x.dtype], _DTYPE[weight.dtype], instruction_set, torch.get_num_threads(), *x.shape, *weight.shape,
        x.data_ptr(), *x.stride()[:3], *gradient, weight.data_ptr(),
        *[0 if output is None else output.data_ptr() for output in (y, grad_x, grad_weight)],
        *[index.data_ptr() for index in graph],
    )  # fmt: skip
    status = function(block)
    if status:
        raise RuntimeError(f"the native synaptic convolution failed: {_STATUS[status]}")
