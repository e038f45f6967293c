"""All stages of a network with dense units as one differentiable operator.

    elegans_gnn::tensor_network_forward    input, parameters, plan -> final states, and what the backward pass needs
    elegans_gnn::tensor_network_backward   gradient of the final states -> gradients of input and parameters

The same steps as composing grouped products, activation and visits in autograd (see `_execute`), with these savings:
the gradients of the units are written where they belong instead of being collected, only the arguments of the
activations and the values between stages are kept (without them, with `recompute`, the products are done again), and no
time is spent on autograd's bookkeeping for some hundred small nodes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from elegans_gnn.nn.tensor_network._stage import (
    FIELDS,
    Flow,
    Grads,
    Settings,
    products_backward,
    stage_backward,
    stage_forward,
    stages_of,
    unit_products,
)
from elegans_gnn.nn.tensor_network._visits import LIBRARY

NOTHING, BOUNDARIES, ARGUMENTS = 0, 1, 2
_ARGUMENTS = (
    "Tensor x, Tensor? carried, Tensor weight, Tensor bias, Tensor edge_weight, Tensor? rows, Tensor inputs, "
    "Tensor[] programs"
)
_SETTINGS = "int[] layout, str activation, bool unit_norm, str fuse, str norm, float eps, int keep"
LIBRARY.define(
    f"tensor_network_forward({_ARGUMENTS}, {_SETTINGS}) -> Tensor[]",
    tags=(torch.Tag.pt2_compliant_tag,),
)
LIBRARY.define(
    f"tensor_network_backward(Tensor grad, Tensor[] kept, {_ARGUMENTS}, {_SETTINGS}) -> Tensor[]",
    tags=(torch.Tag.pt2_compliant_tag,),
)


def run_network(
    x: Tensor,
    carried: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    edge_weight: Tensor | None,
    rows: Tensor | None,
    inputs: Tensor,
    programs: list[Tensor],
    settings: Settings,
) -> Tensor:
    """Final states [R, M, F].

    Args:
        x: [R, F].
        carried: [R, N, F] or None.
        weight, bias: [U, F, F], [U, F].
        edge_weight: [E] or None.
        rows: parameter rows of the unit applications, stage after stage; None if that is every row once, in order.
        inputs: [n_0] what stage 0 takes: 0 for x, v + 1 for neuron v's carried state; empty if everything takes x.
        programs: loads and code of each stage, alternating.
        settings: the rest.
    """
    strengths = x.new_empty(0) if edge_weight is None else edge_weight
    return _Network.apply(x, carried, weight, bias, strengths, rows, inputs, settings, *programs)[0]


class _Network(torch.autograd.Function):
    """Ties the two raw operators together; everything after the final states is there for the backward pass."""

    @staticmethod
    def forward(
        x: Tensor,
        carried: Tensor | None,
        weight: Tensor,
        bias: Tensor,
        edge_weight: Tensor,
        rows: Tensor | None,
        inputs: Tensor,
        settings: Settings,
        *programs: Tensor,
    ) -> tuple[Tensor, ...]:
        found = torch.ops.elegans_gnn.tensor_network_forward.default(
            x, carried, weight, bias, edge_weight, rows, inputs, programs, *settings
        )
        return tuple(found)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        x, carried, weight, bias, edge_weight, rows, index, ctx.settings, *ctx.programs = inputs
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, carried, weight, bias, edge_weight, rows, index, *output[1:])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
        if grad is None:
            return (None,) * (8 + len(ctx.programs))
        *arguments, index = ctx.saved_tensors[:7]
        grads = torch.ops.elegans_gnn.tensor_network_backward.default(
            grad, ctx.saved_tensors[7:], *arguments, index, ctx.programs, *ctx.settings
        )
        wanted = [found if need else None for found, need in zip(grads, ctx.needs_input_grad[:5], strict=True)]
        return *wanted, *[None] * (3 + len(ctx.programs))


def _first_inputs(x: Tensor, carried: Tensor | None, inputs: Tensor) -> Tensor:
    first = x.unsqueeze(1)
    return first if carried is None or not len(inputs) else torch.cat([first, carried], 1).index_select(1, inputs)


def _forward(
    x: Tensor,
    carried: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    edge_weight: Tensor,
    rows: Tensor | None,
    inputs: Tensor,
    programs: list[Tensor],
    *options: Any,
) -> list[Tensor]:
    settings = Settings(*options)
    stateless = settings.linear and not edge_weight.numel()
    carry = x.new_empty((x.shape[0], 0, x.shape[1])) if carried is None else carried
    given, kept = _first_inputs(x, carried, inputs), []
    final, column = x.new_empty((x.shape[0], sum(settings.layout[4::FIELDS]), x.shape[1])), 0
    for stage in stages_of(weight, bias, rows, programs, settings.layout):
        done = final.narrow(1, column, stage.exports[2])
        products, given, carry = stage_forward(Flow(x, given, carry), stage, settings, edge_weight, done)
        column += stage.exports[2]
        kept += _kept(products, given, carry, settings.keep, stateless)
    return [final, *_but_last(kept, settings.keep, stateless)]


def _kept(products: Tensor, taps: Tensor, carry: Tensor, keep: int, stateless: bool) -> list[Tensor]:
    """What a stage leaves for the backward pass."""
    between = [taps] if stateless else [taps, carry]
    return [*([products] if keep == ARGUMENTS else []), *(between if keep else [])]


def _but_last(kept: list[Tensor], keep: int, stateless: bool) -> list[Tensor]:
    """Without the last stage's taps and carry, which are empty."""
    return kept[: len(kept) - (1 if stateless else 2)] if keep else []


def _forward_fake(
    x: Tensor,
    carried: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    edge_weight: Tensor,
    rows: Tensor | None,
    inputs: Tensor,
    programs: list[Tensor],
    *options: Any,
) -> list[Tensor]:
    settings = Settings(*options)
    samples, feature = x.shape
    kept: list[Tensor] = []
    shared = carried is None or len(inputs) <= 1
    layout, stateless = settings.layout, settings.linear and not edge_weight.numel()
    for first in range(0, len(layout), FIELDS):
        units, _, taps, carry = layout[first : first + 4]
        products = x.new_empty((samples, units, feature) if shared else (units, samples, feature))
        given, onward = (x.new_empty((samples, count, feature)) for count in (taps, carry))
        kept += _kept(products, given, onward, settings.keep, stateless)
        shared = taps == 1
    final = x.new_empty((samples, sum(layout[4::FIELDS]), feature))
    return [final, *_but_last(kept, settings.keep, stateless)]


def _backward(
    grad: Tensor,
    kept: list[Tensor],
    x: Tensor,
    carried: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    edge_weight: Tensor,
    rows: Tensor | None,
    inputs: Tensor,
    programs: list[Tensor],
    *options: Any,
) -> list[Tensor]:
    settings = Settings(*options)
    stages = list(stages_of(weight, bias, rows, programs, settings.layout))
    values = _values(kept, x, carried, inputs, settings, settings.linear and not edge_weight.numel())
    blank = torch.empty_like if rows is None else torch.zeros_like
    grads = Grads(torch.zeros_like(x), blank(weight), blank(bias), torch.zeros_like(edge_weight))
    grad_taps = grad_carry = x.new_empty((x.shape[0], 0, x.shape[1]))
    for number in reversed(range(len(stages))):
        stage, (given, carry, products) = stages[number], values.pop()
        products = unit_products(given, stage) if products is None else products
        column = sum(settings.layout[4 : FIELDS * number : FIELDS])
        out = (grad_taps, grad_carry, grad.narrow(1, column, stage.exports[2]))
        flow = Flow(x, given, carry)
        grad_products, grad_carry = stage_backward(flow, products, stage, settings, edge_weight, out, grads)
        begin = sum(settings.layout[0 : FIELDS * number : FIELDS])
        where = slice(begin, begin + stage.units) if rows is None else rows[begin : begin + stage.units]
        grad_taps = products_backward(grad_products, given, stage, grads, where)
    return _finish(grads, grad_taps, grad_carry, carried, inputs)


def _values(
    kept: list[Tensor], x: Tensor, carried: Tensor | None, inputs: Tensor, settings: Settings, stateless: bool
) -> list[tuple[Tensor, Tensor, Tensor | None]]:
    """For each stage its units' inputs, its program's carry (sums need its shape only), and the products if kept."""
    given = _first_inputs(x, carried, inputs)
    carry = x.new_empty((x.shape[0], 0, x.shape[1])) if carried is None else carried
    left, found = list(kept), []
    for carried_on in settings.layout[3::FIELDS]:
        products = left.pop(0) if settings.keep == ARGUMENTS else None
        found.append((given, carry, products))
        if left:
            given = left.pop(0)
            carry = x.new_empty(1).expand(x.shape[0], carried_on, x.shape[1]) if stateless else left.pop(0)
    return found


def _finish(
    grads: Grads, grad_first: Tensor, grad_carry: Tensor, carried: Tensor | None, inputs: Tensor
) -> list[Tensor]:
    """Send the gradient of stage 0's inputs to the network's input and to the carried states."""
    if carried is None or not len(inputs):
        grads.x += grad_first[:, 0]
        grad_carried = grad_carry
    else:
        both = torch.cat([grads.x.unsqueeze(1), grad_carry], 1).index_add_(1, inputs, grad_first)
        grads.x, grad_carried = both[:, 0].clone(), both[:, 1:].clone()
    return [grads.x, grad_carried, grads.weight, grads.bias, grads.edge_weight]


def _backward_fake(
    grad: Tensor,
    kept: list[Tensor],
    x: Tensor,
    carried: Tensor | None,
    weight: Tensor,
    bias: Tensor,
    edge_weight: Tensor,
    *_: Any,
) -> list[Tensor]:
    states = x.new_empty((x.shape[0], 0, x.shape[1])) if carried is None else torch.empty_like(carried)
    return [torch.empty_like(x), states, *[torch.empty_like(part) for part in (weight, bias, edge_weight)]]


for _name, _kernel, _fake in (
    ("tensor_network_forward", _forward, _forward_fake),
    ("tensor_network_backward", _backward, _backward_fake),
):
    LIBRARY.impl(_name, _kernel, "CompositeExplicitAutograd")
    torch.library.register_fake(f"elegans_gnn::{_name}", _fake, lib=LIBRARY)
