"""What the operators cost, registered with torch: FlopCounterMode counts them like the sparse products they are."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import register_flop_formula

from elegans_gnn.ops import _contract as _contract  # the operators must be there


@register_flop_formula(torch.ops.elegans_gnn.aggregate_forward)
def _aggregate_forward(x: tuple[int, ...], weight: tuple[int, ...], *_: Any, **__: Any) -> int:
    batch, _neurons, channels, features = x
    return 2 * weight[0] * batch * channels * features


@register_flop_formula(torch.ops.elegans_gnn.aggregate_backward)
def _aggregate_backward(
    grad_y: tuple[int, ...], x: tuple[int, ...], weight: tuple[int, ...], *rest: Any, **__: Any
) -> int:
    need_x, need_weight = rest[-2:]
    return (bool(need_x) + bool(need_weight)) * _aggregate_forward(x, weight)
