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

_NAMES = {torch.float32: "f32", torch.float64: "f64"}
# A block of bytes, because ctypes makes a new type for every array.
_CALL = struct.Struct(codes.VISITS_CALL)
_ABSENT = (0, 0, 0)


def forward(
    sources: list[Tensor],
    edge_weight: Tensor,
    loads: Tensor,
    code: Tensor,
    fuse: str,
    norm: str,
    eps: float,
    exports: list[Tensor],
) -> None:
    """Write unit inputs, carry and finished states into `exports` [R, ., F], which may be slices of larger tensors."""
    laid = [_unit_stride(source) for source in sources]
    weight = edge_weight.contiguous()
    head = _head(exports[0], weight, loads, code, fuse, norm, eps)
    _run("forward", exports[0].dtype, *head, *_layout(laid), *_layout(exports), *_ABSENT * 4, 0)


def backward(
    grads_out: list[Tensor],
    sources: list[Tensor],
    edge_weight: Tensor,
    grads: list[Tensor | None],
    neurons: list[int],
    need_weight: bool,
    loads: Tensor,
    code: Tensor,
    fuse: str,
    norm: str,
    eps: float,
) -> Tensor:
    """Write the gradients of the sources into `grads` [R, n, F] where wanted; gives the edge weights' (or nothing)."""
    incoming = [_unit_stride(grad) for grad in grads_out]
    laid = [_unit_stride(source) for source in sources]
    weight = edge_weight.contiguous()
    grad_weight = torch.zeros(weight.shape, dtype=torch.float64) if need_weight else None
    made = [(0, 0, 0) if grad is None or not grad.numel() else (grad.data_ptr(), *grad.stride()[:2]) for grad in grads]
    head = _head(incoming[0], weight, loads, code, fuse, norm, eps)
    found = [column for part in zip(*made, strict=True) for column in part]
    address = 0 if grad_weight is None else _address(grad_weight)
    _run("backward", incoming[0].dtype, *head, *_layout(laid), *_layout(incoming), *found, *neurons, address)
    return edge_weight.new_empty(0) if grad_weight is None else grad_weight.to(edge_weight.dtype)


def _head(
    like: Tensor, weight: Tensor, loads: Tensor, code: Tensor, fuse: str, norm: str, eps: float
) -> tuple[int | float, ...]:
    rows, _, feature = like.shape
    program = (rows, feature, loads.shape[0], code.shape[0], _address(loads), _address(code))
    return (*program, _address(weight), codes.FUSE[fuse], codes.NORM[norm], eps)


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
