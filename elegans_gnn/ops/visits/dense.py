"""All stages of a network with dense units as one differentiable operator.

The same steps as composing grouped products, activation and visits in autograd, with these savings. The gradients of
the units are written where they belong instead of being collected. Only the arguments of the activations, the factors
of the norm and the values between stages are kept (with `KEEP_BOUNDARIES` the values alone, and the products are done
again). Autograd has one node instead of some hundred small ones.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from elegans_gnn.ops._buffers import buffer, cut
from elegans_gnn.ops._contract import implement
from elegans_gnn.ops.visits.contract import NetworkCall, network_backward, network_forward
from elegans_gnn.ops.visits.stage import (
    Gradients,
    StageInputs,
    dense_stages,
    products_backward,
    stage_backward,
    stage_forward,
    unit_products,
)


def run_dense_stages(call: NetworkCall) -> Tensor:
    """Final states [R, M, F]; gradients flow to the input, the carried states, the units and the edge weights."""
    if torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active() or type(call.x) is not Tensor:
        return _Transformable.apply(*call[:7], call.settings, *call.programs)[0]
    if call.settings.keep:
        return _Eager.apply(*call)
    return _forward(*call.flat())[0]


class _Eager(torch.autograd.Function):
    """Runs the two passes as they are: no dispatcher and one node, which is a good part of a small network's time."""

    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> Tensor:
        call = NetworkCall(*arguments)
        final, kept = _forward(*call.flat())
        # The inputs themselves, not views of them: only so is a later change in place noticed.
        ctx.save_for_backward(kept, *call[:7])
        ctx.rest = call[7:]
        return final

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        kept, *tensors = ctx.saved_tensors
        return *_wanted(ctx, _backward(grad, kept, *NetworkCall(*tensors, *ctx.rest).flat())), *[None] * 4


class _Transformable(torch.autograd.Function):
    """The same through the registered operators, for torch.compile, torch.export and torch.func."""

    @staticmethod
    def forward(*arguments: Any) -> tuple[Tensor, Tensor]:
        *tensors, settings = arguments[:8]
        final, kept = network_forward(*tensors, arguments[8:], *settings)
        return final, kept

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        *tensors, ctx.settings = inputs[:8]
        ctx.programs = inputs[8:]
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(output[1], *tensors)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor | None, _: Any) -> tuple[Tensor | None, ...]:
        if grad is None:
            return (None,) * (8 + len(ctx.programs))
        grads = network_backward(grad, *ctx.saved_tensors, ctx.programs, *ctx.settings)
        return *_wanted(ctx, grads), *[None] * (3 + len(ctx.programs))


def _wanted(ctx: Any, grads: list[Tensor]) -> list[Tensor | None]:
    return [grad if need else None for grad, need in zip(grads, ctx.needs_input_grad[:5], strict=True)]


def _first_inputs(call: NetworkCall) -> StageInputs:
    """What goes into stage 0."""
    x, first = call.x, call.x.unsqueeze(1)
    if call.carried is None:
        return StageInputs(x, first, x.new_empty((x.shape[0], 0, x.shape[1])))
    if len(call.inputs):
        first = torch.cat([first, call.carried], 1).index_select(1, call.inputs)
    return StageInputs(x, first, call.carried)


def _forward(*arguments: Any) -> tuple[Tensor, Tensor]:
    call = NetworkCall.read(*arguments)
    shapes, parts = call.shapes()
    x, staying = call.x, call.kept_shapes()
    kept = buffer(x, [sum(map(math.prod, staying))])
    left = iter(cut(kept, staying))
    inputs, final, column = _first_inputs(call), buffer(x, call.final_shape()), 0
    for stage, shape in zip(dense_stages(call), shapes, strict=True):
        products, factor, unit_inputs, carry = (
            next(left) if stays else buffer(x, part) for part, stays in zip(shape, parts, strict=True)
        )
        unit_products(inputs.unit_inputs, stage, products)
        unit_inputs = unit_inputs.transpose(0, 1)
        finished = final.narrow(1, column, stage.size.finished)
        stage_forward(inputs, products, factor if parts[1] else None, stage, call, (unit_inputs, carry, finished))
        inputs, column = StageInputs(x, unit_inputs, carry), column + stage.size.finished
    return final, kept


class _Kept(NamedTuple):
    """What the backward pass of a stage finds."""

    inputs: StageInputs
    arguments: Tensor | None
    factor: Tensor | None


def _kept_stages(kept: Tensor, call: NetworkCall) -> list[_Kept]:
    """Cut the block that the forward pass left into stages; of the carry, sums need the shape only."""
    shapes, (arguments, factors, _, states) = call.shapes()
    left, inputs, found = iter(cut(kept, call.kept_shapes())), _first_inputs(call), []
    for shape in shapes:
        found.append(_Kept(inputs, next(left) if arguments else None, next(left) if factors else None))
        unit_inputs = next(left).transpose(0, 1)
        inputs = StageInputs(call.x, unit_inputs, next(left) if states else call.x.new_empty(1).expand(shape.carry))
    return found


def _backward(grad: Tensor, kept: Tensor, *arguments: Any) -> list[Tensor]:
    call = NetworkCall.read(*arguments)
    x, rows, stages, shapes = call.x, call.rows, dense_stages(call), call.shapes()[0]
    grads = Gradients(
        torch.zeros_like(x),
        buffer(call.weight, call.weight.shape),
        torch.empty_like(call.bias),
        torch.zeros_like(call.edge_weight),
    )
    if rows is not None:
        grads.weight.zero_()
        grads.bias.zero_()
    grad_inputs = grad_carry = x.new_empty((x.shape[0], 0, x.shape[1]))
    end, column = sum(stage.size.units for stage in stages), grad.shape[1]
    for stage, shape, (inputs, products, factor) in reversed(
        list(zip(stages, shapes, _kept_stages(kept, call), strict=True))
    ):
        if products is None:
            products = buffer(x, shape.products)
            unit_products(inputs.unit_inputs, stage, products)
        begin, column = end - stage.size.units, column - stage.size.finished
        exports = (grad_inputs, grad_carry, grad.narrow(1, column, stage.size.finished))
        grad_products, grad_carry = stage_backward(inputs, products, factor, stage, call, exports, grads)
        where = slice(begin, end) if rows is None else rows[begin:end]
        grad_inputs, end = products_backward(grad_products, inputs.unit_inputs, stage, grads, where), begin
    return _finish(grads, grad_inputs, grad_carry, call)


def _finish(grads: Gradients, grad_first: Tensor, grad_carry: Tensor, call: NetworkCall) -> list[Tensor]:
    """Send the gradient of stage 0's inputs to the network's input and to the carried states."""
    if call.carried is None or not len(call.inputs):
        grads.x += grad_first[:, 0]
        grad_carried = grad_carry
    else:
        both = torch.cat([grads.x.unsqueeze(1), grad_carry], 1).index_add_(1, call.inputs, grad_first)
        grads.x, grad_carried = both[:, 0].clone(), both[:, 1:].clone()
    return [grads.x, grad_carried, grads.weight, grads.bias, grads.edge_weight]


# Called from an exported program, gradients may be on.
implement(network_forward, torch.no_grad()(_forward))
implement(network_backward, torch.no_grad()(_backward))
