"""The synaptic convolution on the CPU in C++: csrc/synaptic.cpp through a plain C interface."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable

import torch
from torch import Tensor

from elegans_gnn.ops import codes
from elegans_gnn.ops._backends import native_library
from elegans_gnn.ops._buffers import empty
from elegans_gnn.ops.reference import Graph
from elegans_gnn.ops.synaptic.contract import whole_maps

_DTYPE = {getattr(torch, name): code for name, code in codes.DTYPE.items()}
_pack = struct.Struct(codes.SYNAPTIC_CALL).pack

# For tests and benchmarks: the instruction set; the library chooses.
instruction_set = codes.INSTRUCTION_SET["best"]

_library = native_library()
_forward, _backward = _library.elegans_synaptic_forward, _library.elegans_synaptic_backward
_forward.argtypes = _backward.argtypes = [ctypes.c_char_p]


def forward(x: Tensor, weight: Tensor, graph: Graph) -> Tensor:
    """See `elegans_gnn.ops.synaptic.reference.forward`."""
    y = empty(x, x.shape)
    _call(_forward, x, weight, graph, y=y)
    return y


def backward(
    grad_y: Tensor, x: Tensor, weight: Tensor, graph: Graph, need_x: bool, need_weight: bool
) -> tuple[Tensor, Tensor]:
    """See `elegans_gnn.ops.synaptic.reference.backward`."""
    grad_x = empty(x, x.shape) if need_x else None
    grad_weight = weight.new_empty(weight.shape) if need_weight else None
    _call(_backward, x, weight, graph, grad=grad_y, grad_x=grad_x, grad_weight=grad_weight)
    return x.new_empty(0) if grad_x is None else grad_x, weight.new_empty(0) if grad_weight is None else grad_weight


def _call(
    function: Callable[[bytes], int],
    x: Tensor,
    weight: Tensor,
    graph: Graph,
    *,
    grad: Tensor | None = None,
    y: Tensor | None = None,
    grad_x: Tensor | None = None,
    grad_weight: Tensor | None = None,
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
        raise RuntimeError(f"the native synaptic convolution failed: {codes.STATUS[status]}")
