"""All stages of a network with dense units as one differentiable operator.

    elegans_gnn::tensor_network_forward    input, parameters, plan -> final states, and a block of what backward needs
    elegans_gnn::tensor_network_backward   gradient of the final states -> gradients of input and parameters

The same steps as composing grouped products, activation and visits in autograd (see `_execute`), with these savings:
the gradients of the units are written where they belong instead of being collected, only the arguments of the
activations and the values between stages are kept (without them, with `recompute`, the products are done again), and no
time is spent on autograd's bookkeeping for some hundred small nodes.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from elegans_gnn.nn.tensor_network._kept import (
    first_carry,
    first_inputs,
    kept_parts,
    kept_shapes,
    kept_values,
    stage_shapes,
)
from elegans_gnn.nn.tensor_network._memory import buffer, cut
from elegans_gnn.nn.tensor_network._stage import (
    FIELDS,
    Flow,
    Grads,
    Settings,
    products_backward,
    products_shape,
    stage_backward,
    stage_forward,
    stages_of,
    unit_products,
)
from elegans_gnn.nn.tensor_network._visits import LIBRARY

_ARGUMENTS = (
    "Tensor x, Tensor? carried, Tensor weight, Tensor bias, Tensor edge_weight, Tensor? rows, Tensor inputs, "
    "Tensor[] programs"
)
_SETTINGS = "int[] layout, str activation, bool unit_norm, str fuse, str norm, float eps, int keep, str backend"
LIBRARY.define(
    f"tensor_network_forward({_ARGUMENTS}, {_SETTINGS}) -> (Tensor final, Tensor kept)",
    tags=(torch.Tag.pt2_compliant_tag,),
)
LIBRARY.define(
    f"tensor_network_backward(Tensor grad, Tensor kept, {_ARGUMENTS}, {_SETTINGS}) -> Tensor[]",
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
    arguments = (x, carried, weight, bias, strengths, rows, inputs)
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active() or type(x) is not Tensor:
        return _Transformable.apply(*arguments, settings, *programs)[0]
    if settings.keep:
        return _Eager.apply(*arguments, settings, programs)
    return _forward(*arguments, programs, *settings)[0]


class _Eager(torch.autograd.Function):
    """Runs the two passes as they are: no dispatcher and one node, which is a good part of a small network's time."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        *arguments, settings, programs = inputs
        final, kept = _forward(*arguments, programs, *settings)
        # The inputs themselves, not views of them: only so is a later change in place noticed.
        ctx.save_for_backward(kept, *arguments)
        ctx.settings, ctx.programs = settings, programs
        return final

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grads = _backward(grad, *ctx.saved_tensors, ctx.programs, *ctx.settings)
        wanted = [found if need else None for found, need in zip(grads, ctx.needs_input_grad[:5], strict=True)]
        return *wanted, None, None, None, None


class _Transformable(torch.autograd.Function):
    """The same through the registered operators, for torch.compile, torch.export and torch.func."""

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
    ) -> tuple[Tensor, Tensor]:
        return torch.ops.elegans_gnn.tensor_network_forward.default(
            x, carried, weight, bias, edge_weight, rows, inputs, programs, *settings
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        x, carried, weight, bias, edge_weight, rows, index, ctx.settings, *ctx.programs = inputs
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(output[1], x, carried, weight, bias, edge_weight, rows, index)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None, _: Any) -> tuple[Tensor | None, ...]:
        if grad is None:
            return (None,) * (8 + len(ctx.programs))
        grads = torch.ops.elegans_gnn.tensor_network_backward.default(
            grad, *ctx.saved_tensors, ctx.programs, *ctx.settings
        )
        wanted = [found if need else None for found, need in zip(grads, ctx.needs_input_grad[:5], strict=True)]
        return *wanted, *[None] * (3 + len(ctx.programs))


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
) -> tuple[Tensor, Tensor]:
    settings = Settings(*options)
    samples, feature = x.shape
    stateless = settings.linear and not edge_weight.numel()
    given, carry = first_inputs(x, carried, inputs), first_carry(x, carried)
    shapes = stage_shapes(samples, feature, given.shape[1], settings.layout)
    staying = kept_shapes(shapes, settings, stateless)
    kept = buffer(x, [sum(map(math.prod, staying))])
    left = iter(cut(kept, staying))
    final, column = buffer(x, (samples, sum(settings.layout[4::FIELDS]), feature)), 0
    for stage, lying in zip(stages_of(weight, bias, rows, programs, settings.layout), shapes, strict=True):
        products, taps, onward = (
            next(left) if stays else buffer(x, shape)
            for shape, stays in zip(lying, kept_parts(settings.keep, stateless), strict=True)
        )
        unit_products(given, stage, products)
        taps = taps.transpose(0, 1)
        done = final.narrow(1, column, stage.exports[2])
        stage_forward(Flow(x, given, carry), products, stage, settings, edge_weight, (taps, onward, done))
        given, carry, column = taps, onward, column + stage.exports[2]
    return final, kept


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
) -> tuple[Tensor, Tensor]:
    settings = Settings(*options)
    samples, feature = x.shape
    first = 1 if carried is None or not len(inputs) else len(inputs)
    shapes = stage_shapes(samples, feature, first, settings.layout)
    staying = kept_shapes(shapes, settings, settings.linear and not edge_weight.numel())
    final = x.new_empty((samples, sum(settings.layout[4::FIELDS]), feature))
    return final, x.new_empty(sum(map(math.prod, staying)))


def _backward(
    grad: Tensor,
    kept: Tensor,
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
    layout = settings.layout
    stages = stages_of(weight, bias, rows, programs, layout)
    values = kept_values(kept, x, carried, inputs, settings, settings.linear and not edge_weight.numel())
    grads = Grads(
        torch.zeros_like(x), buffer(weight, weight.shape), torch.empty_like(bias), torch.zeros_like(edge_weight)
    )
    if rows is not None:
        grads.weight.zero_()
        grads.bias.zero_()
    grad_taps = grad_carry = x.new_empty((x.shape[0], 0, x.shape[1]))
    for number in reversed(range(len(stages))):
        stage, (given, carry, products) = stages[number], values.pop()
        if products is None:
            products = buffer(x, products_shape(x.shape[0], stage.units, given.shape[1], x.shape[1]))
            unit_products(given, stage, products)
        out = (grad_taps, grad_carry, grad.narrow(1, sum(layout[4 : FIELDS * number : FIELDS]), stage.exports[2]))
        flow = Flow(x, given, carry)
        grad_products, grad_carry = stage_backward(flow, products, stage, settings, edge_weight, out, grads)
        begin = sum(layout[0 : FIELDS * number : FIELDS])
        where = slice(begin, begin + stage.units) if rows is None else rows[begin : begin + stage.units]
        grad_taps = products_backward(grad_products, given, stage, grads, where)
    return _finish(grads, grad_taps, grad_carry, carried, inputs)


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
    kept: Tensor,
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
    # Called from an exported program, gradients may be on.
    LIBRARY.impl(_name, torch.no_grad()(_kernel), "CompositeExplicitAutograd")
    torch.library.register_fake(f"elegans_gnn::{_name}", _fake, lib=LIBRARY)
