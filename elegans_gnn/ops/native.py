"""The aggregation on the CPU in C++: csrc/ through a plain C interface.

Contiguous tensors may also come in the shapes that `aggregate` takes: outputs then have these shapes too.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

import torch
from torch import Tensor

from elegans_gnn.ops import codes
from elegans_gnn.ops._backends import native_library
from elegans_gnn.ops._buffers import empty
from elegans_gnn.ops.reference import Pair, Problem

_DTYPE = {getattr(torch, name): code for name, code in codes.DTYPE.items()}
_pack = struct.Struct(codes.AGGREGATE_CALL).pack

# For tests and benchmarks: the way the work is cut and the instruction set; the library chooses.
schedule = codes.SCHEDULE["auto"]
instruction_set = codes.INSTRUCTION_SET["best"]

_library = native_library()
_forward, _backward = _library.elegans_forward, _library.elegans_backward


def forward(problem: Problem) -> Pair:
    """See `elegans_gnn.ops.reference.forward`."""
    x = problem.x
    y = empty(x, x.shape)
    winner = x.new_empty(x.shape if problem.reduce == "max" else (0,), dtype=torch.int32)
    _call(_forward, problem, winner, y=y)
    return y, winner


def backward(problem: Problem, grad_y: Tensor, winner: Tensor, need_x: bool, need_weight: bool) -> Pair:
    """See `elegans_gnn.ops.reference.backward`."""
    x, weight, _, _ = problem
    grad_x = empty(x, x.shape) if need_x else x.new_empty(0)
    grad_weight = weight.new_empty(weight.shape if need_weight else (0,))
    _call(_backward, problem, winner, grad=grad_y, grad_x=grad_x, grad_weight=grad_weight)
    return grad_x, grad_weight


def _call(
    function: Callable[[bytes], int],
    problem: Problem,
    winner: Tensor,
    *,
    grad: Tensor | None = None,
    y: Tensor | None = None,
    grad_x: Tensor | None = None,
    grad_weight: Tensor | None = None,
) -> None:
    """Describe the call in one block of integers, and run it."""
    x, weight, graph, reduce = problem
    whole = x.is_contiguous() and weight.is_contiguous() and (grad is None or grad.is_contiguous())
    if not whole:
        x, grad = _unit_stride(x), grad if grad is None else _unit_stride(grad)
    shape = _whole_shape(x, weight) if whole else x.shape
    strides = (shape[1] * shape[2] * shape[3], shape[2] * shape[3], shape[3])
    weight_channels = weight.shape[1] if weight.dim() == 2 else 1
    grad_fields: tuple[int, ...] = (0, 0, 0, 0)
    if grad is not None:
        grad_fields = (grad.data_ptr(), *(strides if whole else grad.stride()[:3]))
    block = _pack(
        codes.REDUCE[reduce], _DTYPE[x.dtype], _DTYPE[weight.dtype], schedule, instruction_set, torch.get_num_threads(),
        *shape, weight.shape[0], weight_channels, x.data_ptr(), *(strides if whole else x.stride()[:3]), *grad_fields,
        weight.data_ptr(), *((weight_channels, 1) if whole else weight.stride()), winner.data_ptr(),
        0 if y is None else y.data_ptr(),
        0 if grad_x is None else grad_x.data_ptr(),
        0 if grad_weight is None else grad_weight.data_ptr(),
        *[index.data_ptr() for index in graph],
    )  # fmt: skip
    status = function(block)
    if status:
        raise RuntimeError(f"the native aggregation failed: {codes.STATUS[status]}")


def _whole_shape(x: Tensor, weight: Tensor) -> tuple[int, int, int, int]:
    """[B, N, C, K] of contiguous states in any shape that `aggregate` takes; C = 1 where channels share a weight."""
    batch, neurons = (1, x.shape[0]) if x.dim() == 2 else x.shape[:2]
    channels = weight.shape[1] if weight.dim() == 2 else 1
    return batch, neurons, channels, x.numel() // (batch * neurons * channels)


def _unit_stride(x: Tensor) -> Tensor:
    """Every layout with neighbouring inner features is read in place; others are copied."""
    return x if x.stride(3) == 1 or x.shape[3] == 1 else x.contiguous()
