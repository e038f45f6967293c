"""Activations by name, with their gradients, written into memory that exists already."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

_aten = torch.ops.aten
# Looked up once: the look-up takes as long as a small call.
_elu_into = _aten.elu.out
_elu_backward = _aten.elu_backward.grad_input
_gelu_into = _aten.gelu.out
_gelu_backward = _aten.gelu_backward.grad_input
_hardtanh_into = _aten.hardtanh.out
_hardtanh_backward = _aten.hardtanh_backward.grad_input
_leaky_relu_into = _aten.leaky_relu.out
_leaky_relu_backward = _aten.leaky_relu_backward.grad_input
_sigmoid_backward = _aten.sigmoid_backward.grad_input
_silu_into = _aten.silu.out
_silu_backward = _aten.silu_backward.grad_input
_softplus_into = _aten.softplus.out
_softplus_backward = _aten.softplus_backward.grad_input
_tanh_backward = _aten.tanh_backward.grad_input
_threshold_backward = _aten.threshold_backward.grad_input
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


class Activation(NamedTuple):
    """One activation.

    Args:
        apply: the differentiable function.
        into: (argument, result): writes the result.
        gradient: (gradient, argument, result): turns the gradient of the result into that of the argument, in place.
        from_result: whether the gradient is made from the result; then the argument is not looked at.
    """

    apply: Callable[[Tensor], Tensor]
    into: Callable[[Tensor, Tensor], object]
    gradient: Callable[[Tensor, Tensor, Tensor], object]
    from_result: bool = False


def _nothing(g: Tensor, z: Tensor, y: Tensor) -> None:
    """The gradient of the identity."""


ACTIVATIONS = {
    "gelu": Activation(
        F.gelu,
        lambda z, y: _gelu_into(z, out=y),
        lambda g, z, y: _gelu_backward(g, z, grad_input=g),
    ),
    "relu": Activation(
        F.relu,
        lambda z, y: torch.clamp_min(z, 0, out=y),
        lambda g, z, y: _threshold_backward(g, z, 0, grad_input=g),
    ),
    "leaky_relu": Activation(
        F.leaky_relu,
        lambda z, y: _leaky_relu_into(z, 0.01, out=y),
        lambda g, z, y: _leaky_relu_backward(g, z, 0.01, False, grad_input=g),
    ),
    "elu": Activation(
        F.elu,
        lambda z, y: _elu_into(z, out=y),
        lambda g, z, y: _elu_backward(g, 1, 1, 1, False, z, grad_input=g),
    ),
    "celu": Activation(
        F.celu,
        lambda z, y: _elu_into(z, out=y),
        lambda g, z, y: _elu_backward(g, 1, 1, 1, False, z, grad_input=g),
    ),
    "selu": Activation(
        F.selu,
        lambda z, y: _elu_into(z, _SELU_ALPHA, _SELU_SCALE, 1, out=y),
        lambda g, z, y: _elu_backward(g, _SELU_ALPHA, _SELU_SCALE, 1, False, z, grad_input=g),
    ),
    "silu": Activation(
        F.silu,
        lambda z, y: _silu_into(z, out=y),
        lambda g, z, y: _silu_backward(g, z, grad_input=g),
    ),
    "softplus": Activation(
        F.softplus,
        lambda z, y: _softplus_into(z, 1, 20, out=y),
        lambda g, z, y: _softplus_backward(g, z, 1, 20, grad_input=g),
    ),
    "hardtanh": Activation(
        F.hardtanh,
        lambda z, y: _hardtanh_into(z, -1, 1, out=y),
        lambda g, z, y: _hardtanh_backward(g, z, -1, 1, grad_input=g),
    ),
    "tanh": Activation(
        torch.tanh,
        lambda z, y: torch.tanh(z, out=y),
        lambda g, z, y: _tanh_backward(g, y, grad_input=g),
        from_result=True,
    ),
    "sigmoid": Activation(
        torch.sigmoid,
        lambda z, y: torch.sigmoid(z, out=y),
        lambda g, z, y: _sigmoid_backward(g, y, grad_input=g),
        from_result=True,
    ),
    "linear": Activation(lambda z: z, lambda z, y: y.copy_(z), _nothing),
}
