"""One stage of a network with dense units: grouped products, norm, activation and visits, forwards and back.

Between the products, which want all samples at once, the samples go through in blocks that stay in cache: whatever
lives between a product and its visits is made and consumed block by block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from elegans_gnn.nn.tensor_network._visits import backend_for

_aten = torch.ops.aten
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805
# Activations by name with their gradients, given the gradient of the result, the argument and the result.
ACTIVATIONS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor, Tensor, Tensor], Tensor]]] = {
    "gelu": (F.gelu, lambda g, z, y: _aten.gelu_backward(g, z)),
    "relu": (F.relu, lambda g, z, y: _aten.threshold_backward(g, z, 0)),
    "leaky_relu": (F.leaky_relu, lambda g, z, y: _aten.leaky_relu_backward(g, z, 0.01, False)),
    "elu": (F.elu, lambda g, z, y: _aten.elu_backward(g, 1, 1, 1, False, z)),
    "celu": (F.celu, lambda g, z, y: _aten.elu_backward(g, 1, 1, 1, False, z)),
    "selu": (F.selu, lambda g, z, y: _aten.elu_backward(g, _SELU_ALPHA, _SELU_SCALE, 1, False, z)),
    "silu": (F.silu, lambda g, z, y: _aten.silu_backward(g, z)),
    "softplus": (F.softplus, lambda g, z, y: _aten.softplus_backward(g, z, 1, 20)),
    "hardtanh": (F.hardtanh, lambda g, z, y: _aten.hardtanh_backward(g, z, -1, 1)),
    "tanh": (torch.tanh, lambda g, z, y: _aten.tanh_backward(g, y)),
    "sigmoid": (torch.sigmoid, lambda g, z, y: _aten.sigmoid_backward(g, y)),
    "linear": (lambda z: z, lambda g, z, y: g),
}


# Activations whose gradient is made from the result.
_FROM_RESULT = ("tanh", "sigmoid")
# A block's units take about this many numbers.
_BLOCK = 1 << 20

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
) -> Iterator[Stage]:
    first = 0
    for number in range(len(layout) // FIELDS):
        units, normed, *exports, loads_input = layout[FIELDS * number : FIELDS * (number + 1)]
        if rows is None:
            parameters = [parameter.narrow(0, first, units) for parameter in (weight, bias)]
        else:
            parameters = [parameter.index_select(0, rows.narrow(0, first, units)) for parameter in (weight, bias)]
        yield Stage(units, normed, exports, loads_input, *parameters, *programs[2 * number : 2 * number + 2])
        first += units


@dataclass
class Grads:
    x: Tensor
    weight: Tensor
    bias: Tensor
    edge_weight: Tensor


class Flow(NamedTuple):
    """What goes into a stage besides its parameters, or the gradients of it; the input [R, F], the others [R, ., F]."""

    x: Tensor
    given: Tensor  # the units' inputs
    carry: Tensor


def stage_forward(
    flow: Flow, stage: Stage, settings: Settings, edge_weight: Tensor, done: Tensor
) -> tuple[Tensor, ...]:
    """Products, taps and carry; finished states go into `done` [R, d, F]."""
    activate = ACTIVATIONS[settings.activation][0]
    samples, feature = flow.x.shape
    products = unit_products(flow.given, stage)
    by_rows = _by_rows(products, flow.given)
    taps, carry = (flow.x.new_empty((samples, count, feature)) for count in stage.exports[:2])
    for first, count in _blocks(samples, stage.units * feature):
        made = activate(_normalise(by_rows.narrow(0, first, count), stage, settings)[0])
        backend_for(made).forward(
            [_input(flow.x, stage, first, count), flow.carry.narrow(0, first, count), made],
            edge_weight,
            stage.loads,
            stage.code,
            settings.fuse,
            settings.norm,
            settings.eps,
            [part.narrow(0, first, count) for part in (taps, carry, done)],
        )
    return products, taps, carry


def stage_backward(
    flow: Flow,
    products: Tensor,
    stage: Stage,
    settings: Settings,
    edge_weight: Tensor,
    out: tuple[Tensor, Tensor, Tensor],
    grads: Grads,
) -> tuple[Tensor, Tensor]:
    """From the gradients of taps, carry and finished states to those of the products [R, n, F] and the carry before."""
    activate, activate_backward = ACTIVATIONS[settings.activation]
    weighted = edge_weight.numel() > 0
    stateless = settings.linear and not weighted
    samples, feature = flow.x.shape
    by_rows = _by_rows(products, flow.given)
    grad_products = flow.x.new_empty((samples, stage.units, feature))
    grad_carry = flow.x.new_empty((samples, flow.carry.shape[1], feature))
    for first, count in _blocks(samples, stage.units * feature):
        z, factor = _normalise(by_rows.narrow(0, first, count), stage, settings)
        made = z if stateless and settings.activation not in _FROM_RESULT else activate(z)
        given = _input(flow.x, stage, first, count)
        grad_input, grad_before, grad_made, grad_edges = backend_for(z).backward(
            [part.narrow(0, first, count) for part in out],
            [] if stateless else [given, flow.carry.narrow(0, first, count), made],
            edge_weight,
            [given.shape[1], flow.carry.shape[1], stage.units],
            [True, True, True],
            weighted,
            stage.loads,
            stage.code,
            settings.fuse,
            settings.norm,
            settings.eps,
        )
        grad_carry.narrow(0, first, count).copy_(grad_before)
        if stage.loads_input:
            grads.x.narrow(0, first, count).add_(grad_input[:, 0])
        if weighted:
            grads.edge_weight += grad_edges
        grad_z = activate_backward(grad_made, z, made)
        grad_products.narrow(0, first, count).copy_(_normalise_backward(grad_z, z, factor, stage))
    return grad_products, grad_carry


def _blocks(samples: int, numbers: int) -> Iterator[tuple[int, int]]:
    """First sample and number of samples of each block."""
    size = max(1, _BLOCK // max(numbers, 1))
    for first in range(0, samples, size):
        yield first, min(size, samples - first)


def _input(x: Tensor, stage: Stage, first: int, count: int) -> Tensor:
    """The network's input as a program loads it, or nothing."""
    return x.narrow(0, first, count).unsqueeze(1).narrow(1, 0, 1 if stage.loads_input else 0)


def unit_products(inputs: Tensor, stage: Stage) -> Tensor:
    """Arguments of the norm or activation: [R, n, F] if the units share one input [R, 1, F], otherwise [n, R, F]."""
    if inputs.shape[1] == 1:
        made = torch.addmm(stage.bias.flatten(), inputs[:, 0], stage.weight.flatten(0, 1).t())
        return made.unflatten(1, stage.bias.shape)
    return torch.baddbmm(stage.bias.unsqueeze(1), inputs.transpose(0, 1), stage.weight.transpose(1, 2))


def _by_rows(products: Tensor, inputs: Tensor) -> Tensor:
    """The products as [R, n, F], whatever lies underneath."""
    return products if inputs.shape[1] == 1 else products.transpose(0, 1)


def _normalise(z: Tensor, stage: Stage, settings: Settings) -> tuple[Tensor, Tensor | None]:
    """Normalise the units of first arrivals; gives the factor too."""
    if not settings.unit_norm or not stage.normed:
        return z, None
    part = z[:, : stage.normed]
    normed, _, factor = torch.native_layer_norm(part, part.shape[-1:], None, None, settings.eps)
    return (normed if stage.normed == stage.units else torch.cat([normed, z[:, stage.normed :]], 1)), factor


def _normalise_backward(grad: Tensor, z: Tensor, factor: Tensor | None, stage: Stage) -> Tensor:
    if factor is None:
        return grad
    g, y = grad[:, : stage.normed], z[:, : stage.normed]
    along = (g * y).mean(-1, keepdim=True)
    part = (g - g.mean(-1, keepdim=True)).addcmul_(y, along, value=-1).mul_(factor)
    return part if stage.normed == stage.units else torch.cat([part, grad[:, stage.normed :]], 1)


def products_backward(grad: Tensor, given: Tensor, stage: Stage, grads: Grads, where: slice | Tensor) -> Tensor:
    """Writes the parameters' gradients and gives the inputs', [R, n, F] or [R, 1, F]."""
    exact = not isinstance(where, Tensor)
    weight = grads.weight[where] if exact else torch.empty_like(stage.weight)
    bias = grads.bias[where] if exact else torch.empty_like(stage.bias)
    if given.shape[1] == 1:
        flat = grad.reshape(grad.shape[0], -1)
        torch.mm(flat.t(), given[:, 0], out=weight.view(-1, weight.shape[2]))
        torch.sum(flat, 0, out=bias.view(-1))
        found = torch.mm(flat, stage.weight.flatten(0, 1)).unsqueeze(1)
    else:
        by_unit = grad.transpose(0, 1)
        torch.bmm(by_unit.transpose(1, 2), given.transpose(0, 1), out=weight)
        torch.sum(grad, 0, out=bias)
        found = torch.bmm(by_unit, stage.weight).transpose(0, 1)
    if isinstance(where, Tensor):
        grads.weight.index_add_(0, where, weight)
        grads.bias.index_add_(0, where, bias)
    return found
