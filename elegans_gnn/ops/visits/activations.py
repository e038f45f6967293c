"""Activations by name, with their gradients, written into memory that exists already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

# Operators are looked up once: the look-up takes as long as a small call.
_aten = torch.ops.aten
_threshold_backward = _aten.threshold_backward.grad_input
_leaky_relu_into, _leaky_relu_backward = _aten.leaky_relu.out, _aten.leaky_relu_backward.grad_input
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


class Activation(NamedTuple):
    """An activation and its gradient."""

    apply: Callable[[Tensor], Tensor]  # differentiable
    into: Callable[[Tensor, Tensor], object]  # (argument, result): writes the result
    # (gradient, argument, result): turns the gradient of the result into that of the argument, in place.
    gradient: Callable[[Tensor, Tensor, Tensor], object]
    from_result: bool = False  # whether the gradient needs the result, not the argument


def _of_torch(apply: Callable[[Tensor], Tensor], into: Any, gradient: Any, *constants: float) -> Activation:
    """An activation whose operators take (argument, constants) and (gradient, argument, constants)."""
    return Activation(
        apply,
        lambda z, y: into(z, *constants, out=y),
        lambda g, z, y: gradient(g, z, *constants, grad_input=g),
    )


def _elu(apply: Callable[[Tensor], Tensor], alpha: float = 1, scale: float = 1) -> Activation:
    into, gradient = _aten.elu.out, _aten.elu_backward.grad_input
    return Activation(
        apply,
        lambda z, y: into(z, alpha, scale, 1, out=y),
        lambda g, z, y: gradient(g, alpha, scale, 1, False, z, grad_input=g),
    )


def _from_result(apply: Any, gradient: Any) -> Activation:
    return Activation(apply, lambda z, y: apply(z, out=y), lambda g, z, y: gradient(g, y, grad_input=g), True)


ACTIVATIONS = {
    "gelu": _of_torch(F.gelu, _aten.gelu.out, _aten.gelu_backward.grad_input),
    "relu": Activation(
        F.relu, lambda z, y: torch.clamp_min(z, 0, out=y), lambda g, z, y: _threshold_backward(g, z, 0, grad_input=g)
    ),
    "leaky_relu": Activation(
        F.leaky_relu,
        lambda z, y: _leaky_relu_into(z, 0.01, out=y),
        lambda g, z, y: _leaky_relu_backward(g, z, 0.01, False, grad_input=g),
    ),
    "elu": _elu(F.elu),
    "celu": _elu(F.celu),
    "selu": _elu(F.selu, _SELU_ALPHA, _SELU_SCALE),
    "silu": _of_torch(F.silu, _aten.silu.out, _aten.silu_backward.grad_input),
    "softplus": _of_torch(F.softplus, _aten.softplus.out, _aten.softplus_backward.grad_input, 1, 20),
    "hardtanh": _of_torch(F.hardtanh, _aten.hardtanh.out, _aten.hardtanh_backward.grad_input, -1, 1),
    "tanh": _from_result(torch.tanh, _aten.tanh_backward.grad_input),
    "sigmoid": _from_result(torch.sigmoid, _aten.sigmoid_backward.grad_input),
    "linear": Activation(lambda z: z, lambda z, y: y.copy_(z), lambda g, z, y: None),
}
