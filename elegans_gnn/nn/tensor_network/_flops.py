"""What the fused passes cost, registered with torch for FlopCounterMode; visits, element by element, do not count."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils.flop_counter import register_flop_formula

from elegans_gnn.nn.tensor_network import _fused as _fused  # the operators must be there
from elegans_gnn.nn.tensor_network._stage import FIELDS


@register_flop_formula(torch.ops.elegans_gnn.tensor_network_forward)
def _network_forward(
    x: tuple[int, ...],
    carried: Any,
    weight: Any,
    bias: Any,
    edge_weight: Any,
    rows: Any,
    inputs: Any,
    programs: Any,
    layout: list[int],
    *_: Any,
    **__: Any,
) -> int:
    """One product [R, F] @ [F, F] for each application of a unit."""
    samples, features = x
    return 2 * samples * features**2 * sum(layout[0::FIELDS])


@register_flop_formula(torch.ops.elegans_gnn.tensor_network_backward)
def _network_backward(grad: Any, kept: Any, *arguments: Any, **__: Any) -> int:
    """The products for the gradients of input and weight, and the forward ones again where they were not kept."""
    recomputed = arguments[-1] != 2
    return (3 if recomputed else 2) * _network_forward(*arguments)
