"""The contract of the synaptic convolution and of the step around it: schema, fake and FLOPs, side by side.

    elegans_gnn::synaptic_forward    x [B, N, C, H, W], weight [E, 1 or C, kh, kw] -> y like x
    elegans_gnn::synaptic_backward   the same and grad_y -> grad_x, grad_weight (one that is not needed is empty)
    elegans_gnn::step_forward        x, weight, scale [N, C], shift [N, C], leak [N] or none -> y like x
    elegans_gnn::step_backward       the same and grad_y -> a gradient of each (one that is not needed is empty)

Registered like the aggregation, see ops/_contract.py. The step's operators have one implementation, the native one, and
take scale, shift and leak in the dtype that sums are formed in. Elsewhere a step is composed of other operators.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from elegans_gnn.ops._backends import AGGREGATION
from elegans_gnn.ops._contract import GRAPH, define

SYNAPTIC = AGGREGATION._replace(title="a synaptic convolution", backends=("reference", "torch", "native", "triton"))
STEP = SYNAPTIC._replace(title="a synaptic step")


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


def _step_backward_fake(
    grad_y: Tensor, x: Tensor, weight: Tensor, scale: Tensor, shift: Tensor, leak: Tensor | None, *rest: Any
) -> tuple[Tensor, ...]:
    need_x, need_weight, need_affine, need_leak = rest[-4:]
    grad_x, grad_weight = _backward_fake(grad_y, x, weight, need_x, need_weight)
    affine = scale.shape if need_affine else (0,)
    grad_leak = scale.new_empty(scale.shape[:1] if need_leak else (0,))
    return grad_x, grad_weight, scale.new_empty(affine), scale.new_empty(affine), grad_leak


# A step counts as its convolution: norm and activation are counted nowhere.
def _step_backward_flops(
    grad_y: tuple[int, ...], x: tuple[int, ...], weight: tuple[int, ...], *rest: Any, **__: Any
) -> int:
    need_x, need_weight, need_affine, _need_leak = rest[-4:]
    return (bool(need_x or need_affine) + bool(need_weight)) * _forward_flops(x, weight)


synaptic_forward = define(
    f"synaptic_forward(Tensor x, Tensor weight, {GRAPH}, str backend) -> Tensor", _forward_fake, _forward_flops
)
synaptic_backward = define(
    f"synaptic_backward(Tensor grad_y, Tensor x, Tensor weight, {GRAPH}, str backend, bool need_x, bool need_weight) "
    "-> (Tensor grad_x, Tensor grad_weight)",
    _backward_fake,
    _backward_flops,
)

_STEP = f"Tensor weight, Tensor scale, Tensor shift, Tensor? leak, {GRAPH}, str activation, float eps"
step_forward = define(f"step_forward(Tensor x, {_STEP}) -> Tensor", _forward_fake, _forward_flops)
step_backward = define(
    f"step_backward(Tensor grad_y, Tensor x, {_STEP}, bool need_x, bool need_weight, bool need_affine, bool need_leak) "
    "-> (Tensor grad_x, Tensor grad_weight, Tensor grad_scale, Tensor grad_shift, Tensor grad_leak)",
    _step_backward_fake,
    _step_backward_flops,
)
