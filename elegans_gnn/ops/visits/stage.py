"""One stage of a network with dense units: grouped products, norm, activation and visits, forwards and back.

Between the products, which want all samples at once, the samples go through in blocks that stay in cache: whatever
lives between a product and its visits is made and consumed block by block.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from elegans_gnn.ops._buffers import buffer
from elegans_gnn.ops.visits.activations import ACTIVATIONS
from elegans_gnn.ops.visits.contract import NetworkCall
from elegans_gnn.ops.visits.program import Program, StageSizes, stage_sizes
from elegans_gnn.ops.visits.visits import BACKENDS

# A block's units take about this many numbers.
BLOCK = 1 << 20
_PARTS = 4
_layer_norm_backward = torch.ops.aten.native_layer_norm_backward.default


class DenseStage(NamedTuple):
    """One stage's slice of a call: its parameters and its program."""

    size: StageSizes
    weight: Tensor  # [n, F, F]
    bias: Tensor  # [n, F]
    program: Program


def dense_stages(call: NetworkCall) -> list[DenseStage]:
    """Cut the parameters and programs of a call into stages."""
    sizes = stage_sizes(call.settings.layout)
    counts = [size.units for size in sizes]
    parts = [part if call.rows is None else part.index_select(0, call.rows) for part in (call.weight, call.bias)]
    columns = (part.split_with_sizes(counts) for part in parts)
    pairs = zip(call.programs[::2], call.programs[1::2], strict=True)
    programs = [Program(loads, code, call.edge_weight, *call.settings.arithmetic) for loads, code in pairs]
    return [DenseStage(*fields) for fields in zip(sizes, *columns, programs, strict=True)]


@dataclass
class Gradients:
    """Of the input and the parameters, shaped like them."""

    x: Tensor
    weight: Tensor
    bias: Tensor
    edge_weight: Tensor


class StageInputs(NamedTuple):
    """What goes into a stage besides its parameters; the input [R, F], the others [R, ., F]."""

    x: Tensor
    unit_inputs: Tensor
    carry: Tensor


def stage_forward(
    inputs: StageInputs,
    products: Tensor,
    factor: Tensor | None,
    stage: DenseStage,
    call: NetworkCall,
    exports: tuple[Tensor, Tensor, Tensor],
) -> None:
    """From the units' products to unit inputs, carry and finished states, written into `exports` [R, ., F].

    With `factor`, the norm's factors go there and the normed products take the place of the products, for the backward
    pass.
    """
    settings = call.settings
    activation, axis = ACTIVATIONS[settings.activation], _row_axis(inputs.unit_inputs)
    for first, count in _blocks(products.numel(), inputs.x.shape[0]):
        raw = _block(products, axis, first, count)
        z, found = _normalise(raw, stage, call, 1 - axis)
        if factor is not None and found is not None:
            raw.copy_(z)
            _block(factor, axis, first, count).copy_(found)
        made = buffer(z, z.shape)
        activation.into(z, made)
        BACKENDS[settings.backend].forward(
            stage.program,
            [_input(inputs.x, stage, first, count), _block(inputs.carry, 0, first, count), _by_rows(made, axis)],
            [_block(part, 0, first, count) for part in exports],
        )


def stage_backward(
    inputs: StageInputs,
    arguments: Tensor,
    factor: Tensor | None,
    stage: DenseStage,
    call: NetworkCall,
    grad_exports: tuple[Tensor, Tensor, Tensor],
    grads: Gradients,
) -> tuple[Tensor, Tensor]:
    """From the gradients of the exports to those of the products and of the carry before.

    `arguments` are the normed products that belong to `factor`, or without it the products.
    """
    settings, weighted, stateless = call.settings, call.edge_weight.numel() > 0, stage.program.stateless
    activation, axis = ACTIVATIONS[settings.activation], _row_axis(inputs.unit_inputs)
    samples, feature = inputs.x.shape
    grad_products, grad_carry = buffer(arguments, arguments.shape), buffer(inputs.x, inputs.carry.shape)
    neurons = [stage.size.loads_input, inputs.carry.shape[1], stage.size.units]
    for first, count in _blocks(arguments.numel(), samples):
        z = _block(arguments, axis, first, count)
        if factor is None:
            z, divisor = _normalise(z, stage, call, 1 - axis)
        else:
            divisor = _block(factor, axis, first, count)
        made = z
        if not stateless or activation.from_result:
            made = buffer(z, z.shape)
            activation.into(z, made)
        x = _input(inputs.x, stage, first, count)
        grad_input = x.new_empty((count, stage.size.loads_input, feature))
        grad_made = _block(grad_products, axis, first, count)
        grad_edges = BACKENDS[settings.backend].backward(
            stage.program,
            [_block(part, 0, first, count) for part in grad_exports],
            [] if stateless else [x, _block(inputs.carry, 0, first, count), _by_rows(made, axis)],
            [grad_input, _block(grad_carry, 0, first, count), _by_rows(grad_made, axis)],
            neurons,
            weighted,
        )
        if stage.size.loads_input:
            _block(grads.x, 0, first, count).add_(grad_input[:, 0])
        if weighted:
            grads.edge_weight += grad_edges
        activation.gradient(grad_made, z, made)
        if divisor is not None:
            _normalise_backward(grad_made, z, divisor, stage, 1 - axis)
    return grad_products, grad_carry


def _blocks(numbers: int, samples: int) -> Iterator[tuple[int, int]]:
    """First sample and number of samples of each block."""
    size = max(1, BLOCK * samples // max(numbers, 1))
    for first in range(0, samples, size):
        yield first, min(size, samples - first)


def _block(tensor: Tensor, axis: int, first: int, count: int) -> Tensor:
    """A block's rows; all of them is the common case, and saves the view."""
    return tensor if count == tensor.shape[axis] else tensor.narrow(axis, first, count)


def _row_axis(unit_inputs: Tensor) -> int:
    """Where the samples are in the products, see `StageShapes`."""
    return 0 if unit_inputs.shape[1] == 1 else 1


def _by_rows(products: Tensor, row_axis: int) -> Tensor:
    """The products as [R, n, F], whatever their layout in memory."""
    return products.transpose(0, 1) if row_axis else products


def _input(x: Tensor, stage: DenseStage, first: int, count: int) -> Tensor:
    """The network's input as a program loads it, or nothing."""
    if not stage.size.loads_input:
        return x.new_empty((count, 0, x.shape[1]))
    return _block(x, 0, first, count).unsqueeze(1)


def unit_products(unit_inputs: Tensor, stage: DenseStage, out: Tensor) -> None:
    """Arguments of the norm or activation, for inputs [R, n, F] or [R, 1, F]."""
    if unit_inputs.shape[1] == 1:
        torch.addmm(stage.bias.flatten(), unit_inputs[:, 0], stage.weight.flatten(0, 1).t(), out=out.flatten(1))
    else:
        torch.baddbmm(stage.bias.unsqueeze(1), unit_inputs.transpose(0, 1), stage.weight.transpose(1, 2), out=out)


def products_backward(
    grad: Tensor, unit_inputs: Tensor, stage: DenseStage, grads: Gradients, where: slice | Tensor
) -> Tensor:
    """Writes the parameters' gradients and gives the inputs', [R, n, F] or [R, 1, F]."""
    exact = not isinstance(where, Tensor)
    weight = grads.weight[where] if exact else torch.empty_like(stage.weight)
    bias = grads.bias[where] if exact else torch.empty_like(stage.bias)
    if unit_inputs.shape[1] == 1:
        flat = grad.flatten(1)
        torch.mm(flat.t(), unit_inputs[:, 0], out=weight.flatten(0, 1))
        torch.sum(flat, 0, out=bias.flatten())
        found = _long_product(flat, stage.weight.flatten(0, 1)).unsqueeze(1)
    else:
        torch.bmm(grad.transpose(1, 2), unit_inputs.transpose(0, 1), out=weight)
        torch.sum(grad, 1, out=bias)
        found = torch.bmm(grad, stage.weight).transpose(0, 1)
    if isinstance(where, Tensor):
        grads.weight.index_add_(0, where, weight)
        grads.bias.index_add_(0, where, bias)
    return found


def _long_product(a: Tensor, b: Tensor) -> Tensor:
    """a b for small results of long sums: in parts, of which the threads can take one each."""
    (rows, length), columns = a.shape, b.shape[1]
    if length % _PARTS or length < _PARTS * columns:
        return torch.mm(a, b)
    part = length // _PARTS
    return torch.bmm(a.view(rows, _PARTS, part).transpose(0, 1), b.view(_PARTS, part, columns)).sum(0)


def _normalise(z: Tensor, stage: DenseStage, call: NetworkCall, axis: int) -> tuple[Tensor, Tensor | None]:
    """Normalise the units of first arrivals, which lie along `axis`; gives the factor too."""
    units, normed = stage.size.units, stage.size.normed
    if not call.settings.unit_norm or not normed:
        return z, None
    part = z.narrow(axis, 0, normed)
    y, _, factor = torch.native_layer_norm(part, part.shape[-1:], None, None, call.settings.eps)
    if normed < units:
        y = torch.cat([y, z.narrow(axis, normed, units - normed)], axis)
    return y, factor


def _normalise_backward(grad: Tensor, z: Tensor, factor: Tensor, stage: DenseStage, axis: int) -> None:
    """In place; `z` is what the norm gave."""
    g, y = grad.narrow(axis, 0, stage.size.normed), z.narrow(axis, 0, stage.size.normed)
    mean, unit = factor.new_zeros(factor.shape), factor.new_ones(factor.shape)
    found, _, _ = _layer_norm_backward(g, y, y.shape[-1:], mean, unit, None, None, [True, False, False])
    torch.mul(found, factor, out=g)
