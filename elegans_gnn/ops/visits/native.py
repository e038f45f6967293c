"""Programs of visits in the native library: all of a stage's visits for a few samples at a time, in cache."""

from __future__ import annotations

import ctypes
import functools
import struct
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from elegans_gnn.ops import codes
from elegans_gnn.ops._backends import native_library
from elegans_gnn.ops.visits.program import Program

_NAMES = {torch.float32: "f32", torch.float64: "f64"}
# A block of bytes, because ctypes makes a new type for every array.
_CALL = struct.Struct(codes.VISITS_CALL)
_ABSENT = (0, 0, 0)


def forward(program: Program, sources: list[Tensor], exports: list[Tensor]) -> None:
    """Write unit inputs, carry and finished states into `exports` [R, ., F], which may be slices of larger tensors."""
    laid, weight = [_unit_stride(source) for source in sources], program.edge_weight.contiguous()
    head = _head(program, exports[0], weight)
    _run("forward", exports[0].dtype, *head, *_layout(laid), *_layout(exports), *_ABSENT * 4, 0)


def backward(
    program: Program,
    grads_out: list[Tensor],
    sources: list[Tensor],
    grads: list[Tensor | None],
    neurons: list[int],
    need_weight: bool,
) -> Tensor:
    """Write the gradients of the sources into `grads` [R, n, F] where wanted; gives the edge weights' (or nothing)."""
    incoming = [_unit_stride(grad) for grad in grads_out]
    laid, weight = [_unit_stride(source) for source in sources], program.edge_weight.contiguous()
    grad_weight = torch.zeros(weight.shape, dtype=torch.float64) if need_weight else None
    made = [(0, 0, 0) if grad is None or not grad.numel() else (grad.data_ptr(), *grad.stride()[:2]) for grad in grads]
    head = _head(program, incoming[0], weight)
    found = [column for part in zip(*made, strict=True) for column in part]
    address = 0 if grad_weight is None else _address(grad_weight)
    _run("backward", incoming[0].dtype, *head, *_layout(laid), *_layout(incoming), *found, *neurons, address)
    return weight.new_empty(0) if grad_weight is None else grad_weight.to(weight.dtype)


def _head(program: Program, like: Tensor, weight: Tensor) -> tuple[int | float, ...]:
    loads, code, _, fuse, norm, eps = program
    rows, _, feature = like.shape
    instructions = (loads.shape[0], code.shape[0], _address(loads), _address(code))
    return (rows, feature, *instructions, _address(weight), codes.FUSE[fuse], codes.NORM[norm], eps)


def _layout(tensors: Sequence[Tensor]) -> tuple[int, ...]:
    """Addresses, row strides and neuron strides; all absent where a gradient needs no states."""
    if not tensors:
        return _ABSENT * 3
    strides = [tensor.stride() for tensor in tensors]
    return (*map(_address, tensors), *[stride[0] for stride in strides], *[stride[1] for stride in strides])


def _unit_stride(source: Tensor) -> Tensor:
    """A tensor whose features are neighbours; the caller holds on to it while its address is in use."""
    return source if source.shape[2] == 1 or source.stride(2) == 1 else source.contiguous()


def _address(tensor: Tensor) -> int:
    """The address, or 0 for an empty tensor, which means "not there"."""
    return tensor.data_ptr() if tensor.numel() else 0


def _run(name: str, dtype: torch.dtype, *values: int | float) -> None:
    if _function(name, dtype)(_CALL.pack(*values)):
        raise MemoryError("the tensor network's native program could not get its scratch memory; use smaller batches")


@functools.cache
def _function(name: str, dtype: torch.dtype) -> Callable[[bytes], int]:
    found = getattr(native_library(), f"elegans_visits_{name}_{_NAMES[dtype]}")
    found.argtypes = [ctypes.c_char_p]
    return found
