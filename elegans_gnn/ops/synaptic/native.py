"""The synaptic convolution and step on the CPU in C++: csrc/synaptic.cpp through a plain C interface."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from typing import NamedTuple

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


class StepArguments(NamedTuple):
    """What a step has beside states, filters and graph."""

    scale: Tensor
    shift: Tensor
    leak: Tensor | None
    activation: str
    eps: float


def forward(x: Tensor, weight: Tensor, graph: Graph, step: StepArguments | None = None) -> Tensor:
    """See `elegans_gnn.ops.synaptic.reference.forward`; with `step`, `elegans_gnn.ops.synaptic.step.composed_step`."""
    y = empty(x, x.shape)
    _call(_forward, x, weight, graph, step, y=y)
    return y


def backward(
    grad_y: Tensor, x: Tensor, weight: Tensor, graph: Graph, need_x: bool, need_weight: bool
) -> tuple[Tensor, Tensor]:
    """See `elegans_gnn.ops.synaptic.reference.backward`."""
    grad_x = empty(x, x.shape if need_x else torch.Size([0]))
    grad_weight = weight.new_empty(weight.shape if need_weight else (0,))
    _call(_backward, x, weight, graph, grad=grad_y, grad_x=grad_x, grad_weight=grad_weight)
    return grad_x, grad_weight


def step_backward(
    grad_y: Tensor, x: Tensor, weight: Tensor, graph: Graph, step: StepArguments, needs: tuple[bool, bool, bool, bool]
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients of x, weight, scale and shift, and leak; one that is not needed is empty."""
    need_x, need_weight, need_affine, need_leak = needs
    grad_x = empty(x, x.shape if need_x else torch.Size([0]))
    grad_weight = weight.new_empty(weight.shape if need_weight else (0,))
    scale = step.scale
    grad_scale, grad_shift = (scale.new_empty(scale.shape if need_affine else (0,)) for _ in range(2))
    grad_leak = scale.new_empty(scale.shape[:1] if need_leak else (0,))
    _call(
        _backward, x, weight, graph, step,
        grad=grad_y, grad_x=grad_x, grad_weight=grad_weight, of_step=(grad_scale, grad_shift, grad_leak),
    )  # fmt: skip
    return grad_x, grad_weight, grad_scale, grad_shift, grad_leak


def _call(
    function: Callable[[bytes], int],
    x: Tensor,
    weight: Tensor,
    graph: Graph,
    step: StepArguments | None = None,
    *,
    grad: Tensor | None = None,
    y: Tensor | None = None,
    grad_x: Tensor | None = None,
    grad_weight: Tensor | None = None,
    of_step: tuple[Tensor | None, ...] = (None, None, None),
) -> None:
    """Describe the call in one block of numbers, and run it."""
    x, weight = whole_maps(x), weight.contiguous()
    grad = None if grad is None else whole_maps(grad)
    gradient = (0, 0, 0, 0) if grad is None else (grad.data_ptr(), *grad.stride()[:3])
    activation, eps = "none", 0.0
    affine: list[Tensor | None] = [None] * 3
    if step is not None:
        activation, eps = step.activation, step.eps
        affine = [None if each is None else each.contiguous() for each in step[:3]]
    block = _pack(
        _DTYPE[x.dtype], _DTYPE[weight.dtype], instruction_set, torch.get_num_threads(), *x.shape, *weight.shape,
        x.data_ptr(), *x.stride()[:3], *gradient, weight.data_ptr(), *map(_address, (y, grad_x, grad_weight)),
        *[index.data_ptr() for index in graph], codes.ACTIVATION[activation], eps, *map(_address, (*affine, *of_step)),
    )  # fmt: skip
    status = function(block)
    if status:
        what = "convolution" if step is None else "step"
        raise RuntimeError(f"the native synaptic {what} failed: {codes.STATUS[status]}")


def _address(tensor: Tensor | None) -> int:
    """Zero for what is absent; an empty tensor has no memory."""
    return 0 if tensor is None else tensor.data_ptr()
