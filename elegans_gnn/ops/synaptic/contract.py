"""The contract of the synaptic convolution: schema, fake and FLOPs of the two raw operators, side by side.

    elegans_gnn::synaptic_forward    x [B, N, C, H, W], weight [E, 1 or C, kh, kw] -> y like x
    elegans_gnn::synaptic_backward   the same and grad_y -> grad_x, grad_weight (one that is not needed is empty)

Registered like the aggregation, see ops/_contract.py.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from elegans_gnn.ops._backends import AGGREGATION
from elegans_gnn.ops._contract import GRAPH, define

SYNAPTIC = AGGREGATION._replace(title="a synaptic convolution", backends=("reference", "torch", "native", "triton"))


def whole_maps(x: Tensor) -> Tensor:
    """Every layout whose maps are contiguous is read in place; others are copied."""
    *_, height, width = x.shape
    neighbours = (x.stride(4) == 1 or width == 1) and (x.stride(3) == width or height == 1)
    return x if neighbours else x.contiguous()


def _forward_fake(x: Tensor, *_: Any) -> Tensor:
    return x.new_empty(x.shape)


def _backward_fake(grad_y: Tensor, x: Tensor, weight: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    need_x, need_weight = rest[-2:]
    return x.new_empty(x.shape if need_x else (0,)), weight.new_empty(weight.shape if need_weight else (0,))


def _forward_flops(x: tuple[int, ...], weight: tuple[int, ...], *_: Any, **__: Any) -> int:
    """One multiplication and one addition per edge, tap and place, padding included, as torch counts a convolution."""
    batch, _neurons, channels, height, width = x
    edges, _channels, kernel_height, kernel_width = weight
    return 2 * edges * kernel_height * kernel_width * batch * channels * height * width


def _backward_flops(grad_y: tuple[int, ...], x: tuple[int, ...], weight: tuple[int, ...], *rest: Any, **__: Any) -> int:
    need_x, need_weight = rest[-2:]
    return (bool(need_x) + bool(need_weight)) * _forward_flops(x, weight)


synaptic_forward = define(
    f"synaptic_forward(Tensor x, Tensor weight, {GRAPH}, str backend) -> Tensor", _forward_fake, _forward_flops
)
synaptic_backward = define(
    f"synaptic_backward(Tensor grad_y, Tensor x, Tensor weight, {GRAPH}, str backend, bool need_x, bool need_weight) "
    "-> (Tensor grad_x, Tensor grad_weight)",
    _backward_fake,
    _backward_flops,
)
