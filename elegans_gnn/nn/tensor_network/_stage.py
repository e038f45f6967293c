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

from elegans_gnn.nn.tensor_network._activations import ACTIVATIONS
from elegans_gnn.nn.tensor_network._memory import buffer
from elegans_gnn.nn.tensor_network._visits import BACKENDS

# A block's units take about this many numbers.
_BLOCK = 1 << 20
_PARTS = 4

# Per stage: units, normed units, exported taps, carry and finished states, whether the program loads the input.
FIELDS = 6


class Settings(NamedTuple):
    """The part of the operators' arguments that are not tensors."""

    layout: list[int]  # per stage: see FIELDS
    activation: str
    unit_norm: bool
    fuse: str
    norm: str
    eps: float
    keep: int  # what to keep for a backward pass: 0 nothing, 1 values between stages, 2 arguments of activations too
    backend: str  # of the visits

    @property
    def linear(self) -> bool:
        """Whether the visits are plain sums; with edge weights their gradient still needs the states."""
        return self.fuse == "add" and self.norm == "none"


@dataclass
class Stage:
    """One stage's slice of the arguments."""

    units: int
    normed: int
    exports: list[int]
    loads_input: int
    weight: Tensor  # [n, F, F]
    bias: Tensor  # [n, F]
    loads: Tensor
    code: Tensor


def stages_of(
    weight: Tensor, bias: Tensor, rows: Tensor | None, programs: list[Tensor], layout: list[int]
) -> list[Stage]:
    sizes = layout[::FIELDS]
    parts = [part if rows is None else part.index_select(0, rows) for part in (weight, bias)]
    weights, biases = (part.split_with_sizes(sizes) for part in parts)
    stages = []
    for k in range(len(sizes)):
        units, normed, *exports, loads_input = layout[FIELDS * k : FIELDS * (k + 1)]
        loads, code = programs[2 * k : 2 * k + 2]
        stages.append(Stage(units, normed, exports, loads_input, weights[k], biases[k], loads, code))
    return stages


@dataclass
class Grads:
    x: Tensor
    weight: Tensor
    bias: Tensor
    edge_weight: Tensor


class Flow(NamedTuple):
    """What goes into a stage besides its parameters; the input [R, F], the others [R, ., F]."""

    x: Tensor
    given: Tensor  # the units' inputs
    carry: Tensor


def stage_forward(
    flow: Flow,
    products: Tensor,
    stage: Stage,
    settings: Settings,
    edge_weight: Tensor,
    exports: tuple[Tensor, Tensor, Tensor],
) -> None:
    """From the units' products to taps, carry and finished states, written into `exports` [R, ., F]."""
    activation, axis = ACTIVATIONS[settings.activation], _row_axis(flow.given)
    for first, count in _blocks(products.numel(), flow.x.shape[0]):
        z, _ = _normalise(_block(products, axis, first, count), stage, settings, 1 - axis)
        made = buffer(z, z.shape)
        activation.into(z, made)
        BACKENDS[settings.backend].forward(
            [_input(flow.x, stage, first, count), _block(flow.carry, 0, first, count), _by_rows(made, axis)],
            edge_weight,
            stage.loads,
            stage.code,
            settings.fuse,
            settings.norm,
            settings.eps,
            [_block(part, 0, first, count) for part in exports],
        )


def stage_backward(
    flow: Flow,
    products: Tensor,
    stage: Stage,
    settings: Settings,
    edge_weight: Tensor,
    out: tuple[Tensor, Tensor, Tensor],
    grads: Grads,
) -> tuple[Tensor, Tensor]:
    """From the gradients of taps, carry and finished states to those of the products and the carry before."""
    activation, axis = ACTIVATIONS[settings.activation], _row_axis(flow.given)
    weighted = edge_weight.numel() > 0
    stateless = settings.linear and not weighted
    samples, feature = flow.x.shape
    grad_products, grad_carry = buffer(products, products.shape), buffer(flow.x, flow.carry.shape)
    neurons = [stage.loads_input, flow.carry.shape[1], stage.units]
    for first, count in _blocks(products.numel(), samples):
        z, factor = _normalise(_block(products, axis, first, count), stage, settings, 1 - axis)
        made = z
        if not stateless or activation.from_result:
            made = buffer(z, z.shape)
            activation.into(z, made)
        given = _input(flow.x, stage, first, count)
        grad_input = given.new_empty((count, stage.loads_input, feature))
        grad_made = _block(grad_products, axis, first, count)
        grad_edges = BACKENDS[settings.backend].backward(
            [_block(part, 0, first, count) for part in out],
            [] if stateless else [given, _block(flow.carry, 0, first, count), _by_rows(made, axis)],
            edge_weight,
            [grad_input, _block(grad_carry, 0, first, count), _by_rows(grad_made, axis)],
            neurons,
            weighted,
            stage.loads,
            stage.code,
            settings.fuse,
            settings.norm,
            settings.eps,
        )
        if stage.loads_input:
            _block(grads.x, 0, first, count).add_(grad_input[:, 0])
        if weighted:
            grads.edge_weight += grad_edges
        activation.gradient(grad_made, z, made)
        if factor is not None:
            _normalise_backward(grad_made, z, factor, stage, 1 - axis)
    return grad_products, grad_carry


def _blocks(numbers: int, samples: int) -> Iterator[tuple[int, int]]:
    """First sample and number of samples of each block."""
    size = max(1, _BLOCK * samples // max(numbers, 1))
    for first in range(0, samples, size):
        yield first, min(size, samples - first)


def _block(tensor: Tensor, axis: int, first: int, count: int) -> Tensor:
    """A block's rows; all of them is the common case, and saves the view."""
    return tensor if count == tensor.shape[axis] else tensor.narrow(axis, first, count)


def _row_axis(given: Tensor) -> int:
    """Products lie as [R, n, F] if the units share one input, otherwise as [n, R, F]."""
    return 0 if given.shape[1] == 1 else 1


def _by_rows(products: Tensor, row_axis: int) -> Tensor:
    """The products as [R, n, F], whatever lies underneath."""
    return products.transpose(0, 1) if row_axis else products


def _input(x: Tensor, stage: Stage, first: int, count: int) -> Tensor:
    """The network's input as a program loads it, or nothing."""
    if not stage.loads_input:
        return x.new_empty((count, 0, x.shape[1]))
    return _block(x, 0, first, count).unsqueeze(1)


def products_shape(samples: int, units: int, inputs: int, feature: int) -> tuple[int, int, int]:
    """Where the products of a stage go; `inputs` is 1 if the units share their input."""
    return (samples, units, feature) if inputs == 1 else (units, samples, feature)


def unit_products(inputs: Tensor, stage: Stage, out: Tensor) -> None:
    """Arguments of the norm or activation, for inputs [R, n, F] or [R, 1, F]."""
    if inputs.shape[1] == 1:
        torch.addmm(stage.bias.flatten(), inputs[:, 0], stage.weight.flatten(0, 1).t(), out=out.flatten(1))
    else:
        torch.baddbmm(stage.bias.unsqueeze(1), inputs.transpose(0, 1), stage.weight.transpose(1, 2), out=out)


def products_backward(grad: Tensor, given: Tensor, stage: Stage, grads: Grads, where: slice | Tensor) -> Tensor:
    """Writes the parameters' gradients and gives the inputs', [R, n, F] or [R, 1, F]."""
    exact = not isinstance(where, Tensor)
    weight = grads.weight[where] if exact else torch.empty_like(stage.weight)
    bias = grads.bias[where] if exact else torch.empty_like(stage.bias)
    if given.shape[1] == 1:
        flat = grad.flatten(1)
        torch.mm(flat.t(), given[:, 0], out=weight.flatten(0, 1))
        torch.sum(flat, 0, out=bias.flatten())
        found = _long_product(flat, stage.weight.flatten(0, 1)).unsqueeze(1)
    else:
        torch.bmm(grad.transpose(1, 2), given.transpose(0, 1), out=weight)
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


def _normalise(z: Tensor, stage: Stage, settings: Settings, axis: int) -> tuple[Tensor, Tensor | None]:
    """Normalise the units of first arrivals, which lie along `axis`; gives the factor too."""
    if not settings.unit_norm or not stage.normed:
        return z, None
    part = z.narrow(axis, 0, stage.normed)
    normed, _, factor = torch.native_layer_norm(part, part.shape[-1:], None, None, settings.eps)
    if stage.normed < stage.units:
        normed = torch.cat([normed, z.narrow(axis, stage.normed, stage.units - stage.normed)], axis)
    return normed, factor


def _normalise_backward(grad: Tensor, z: Tensor, factor: Tensor, stage: Stage, axis: int) -> None:
    """In place; `z` is what the norm gave."""
    g, y = grad.narrow(axis, 0, stage.normed), z.narrow(axis, 0, stage.normed)
    along = (g * y).mean(-1, keepdim=True)
    g.sub_(g.mean(-1, keepdim=True)).addcmul_(y, along, value=-1).mul_(factor)
