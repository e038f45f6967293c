"""Programs of visits in the native library: all of a stage's visits for a few samples at a time, in cache."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from elegans_gnn.ops._library import load_library

_NAMES = {torch.float32: "f32", torch.float64: "f64"}
_FUSE = {"add": 0, "mul": 1}
_NORM = {"none": 0, "layer": 1, "rms": 2}


def available(dtype: torch.dtype) -> bool:
    """Whether the native library is there and knows the dtype."""
    return dtype in _NAMES and load_library() is not None


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
    """Write taps, carry and finished states into `exports` [R, ., F], which may be slices of larger tensors."""
    laid = [_unit_stride(source) for source in sources]
    rows, _, feature = laid[0].shape
    run, weight = _function("forward", exports[0].dtype), edge_weight.contiguous()
    program = _program(laid, rows, feature, weight, loads, code, fuse, norm, eps)
    _check(run(*program, *_outside(exports)))


def backward(
    grads_out: list[Tensor],
    sources: list[Tensor],
    edge_weight: Tensor,
    neurons: list[int],
    need: list[bool],
    need_weight: bool,
    loads: Tensor,
    code: Tensor,
    fuse: str,
    norm: str,
    eps: float,
) -> list[Tensor]:
    """Gradients of the sources, then of the edge weights (empty where not needed)."""
    given = [_side_by_side(grad) for grad in grads_out]
    rows, _, feature = given[0].shape
    laid = [_unit_stride(source) for source in sources]
    shapes = [(rows, count, feature) if wanted else (0,) for count, wanted in zip(neurons, need, strict=True)]
    grads = [given[0].new_empty(shape) for shape in shapes]
    weight = edge_weight.contiguous()
    grad_weight = torch.zeros(weight.shape if need_weight else (0,), dtype=torch.float64)
    status = _function("backward", given[0].dtype)(
        *_program(laid, rows, feature, weight, loads, code, fuse, norm, eps),
        *_outside(given),
        _pointers(grads),
        _int64s(neurons),
        _pointer(grad_weight),
    )
    _check(status)
    return [*grads, grad_weight.to(edge_weight.dtype)]


def _program(
    sources: list[Tensor],
    rows: int,
    feature: int,
    weight: Tensor,
    loads: Tensor,
    code: Tensor,
    fuse: str,
    norm: str,
    eps: float,
) -> tuple[Any, ...]:
    """The arguments that both passes share, in the order of csrc/tensor_network.cpp."""
    return (
        ctypes.c_int64(rows),
        ctypes.c_int64(feature),
        _pointers(sources),
        _int64s([source.stride(0) for source in sources]),
        _int64s([source.stride(1) for source in sources]),
        ctypes.c_int64(len(loads)),
        _pointer(loads),
        ctypes.c_int64(len(code)),
        _pointer(code),
        _pointer(weight),
        ctypes.c_int32(_FUSE[fuse]),
        ctypes.c_int32(_NORM[norm]),
        ctypes.c_double(eps),
    )


def _outside(exports: list[Tensor]) -> tuple[Any, Any]:
    """Addresses and row strides of taps, carry and done, or of their gradients."""
    return _pointers(exports), _int64s([part.stride(0) for part in exports])


def _side_by_side(part: Tensor) -> Tensor:
    """A tensor whose neurons are neighbours in memory; the caller holds on to it while its address is in use."""
    return part if part.stride(2) == 1 and part.stride(1) == part.shape[2] else part.contiguous()


def _unit_stride(source: Tensor) -> Tensor:
    return source if source.shape[2] == 1 or source.stride(2) == 1 else source.contiguous()


def _pointer(tensor: Tensor) -> ctypes.c_void_p:
    """The address, or NULL for an empty tensor, which stands for "not there"."""
    return ctypes.c_void_p(tensor.data_ptr() if tensor.numel() else None)


def _pointers(tensors: Sequence[Tensor]) -> Any:
    return (ctypes.c_void_p * max(len(tensors), 1))(
        *[tensor.data_ptr() if tensor.numel() else None for tensor in tensors]
    )


def _int64s(values: Sequence[int]) -> Any:
    return (ctypes.c_int64 * max(len(values), 1))(*values)


def _check(status: int) -> None:
    if status:
        raise MemoryError("the tensor network's native program could not get its scratch memory; use smaller batches")


def _function(name: str, dtype: torch.dtype) -> Callable[..., int]:
    library = load_library()
    if library is None:
        raise RuntimeError("the native library is not built; run pip install again with a C++ compiler at hand")
    return getattr(library, f"tensor_network_{name}_{_NAMES[dtype]}")
