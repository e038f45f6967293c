"""What the forward pass leaves for the backward pass: which tensors, and where in one flat block they lie."""

from __future__ import annotations

import torch
from torch import Tensor

from elegans_gnn.nn.tensor_network._memory import cut
from elegans_gnn.nn.tensor_network._stage import FIELDS, Settings, products_shape

NOTHING, BOUNDARIES, ARGUMENTS = 0, 1, 2
Shape = tuple[int, int, int]
StageShapes = tuple[Shape, Shape, Shape]


def first_inputs(x: Tensor, carried: Tensor | None, inputs: Tensor) -> Tensor:
    first = x.unsqueeze(1)
    return first if carried is None or not len(inputs) else torch.cat([first, carried], 1).index_select(1, inputs)


def first_carry(x: Tensor, carried: Tensor | None) -> Tensor:
    """What the first program may load besides the input and its units."""
    return x.new_empty((x.shape[0], 0, x.shape[1])) if carried is None else carried


def stage_shapes(samples: int, feature: int, first: int, layout: list[int]) -> list[StageShapes]:
    """Of each stage's products, taps and carry, as they lie in memory; `first` counts the inputs of stage 0."""
    shapes, inputs = [], first
    for begin in range(0, len(layout), FIELDS):
        units, _, taps, carry = layout[begin : begin + 4]
        products = products_shape(samples, units, inputs, feature)
        shapes.append((products, (taps, samples, feature), (samples, carry, feature)))
        inputs = taps
    return shapes


def kept_parts(keep: int, stateless: bool) -> tuple[bool, bool, bool]:
    """Whether products, taps and carry stay for the backward pass."""
    return keep == ARGUMENTS, keep != NOTHING, keep != NOTHING and not stateless


def kept_shapes(shapes: list[StageShapes], settings: Settings, stateless: bool) -> list[Shape]:
    """What lies in the block that stays, one after the other."""
    wanted = kept_parts(settings.keep, stateless)
    return [shape for stage in shapes for shape, want in zip(stage, wanted, strict=True) if want]


def kept_values(
    kept: Tensor, x: Tensor, carried: Tensor | None, inputs: Tensor, settings: Settings, stateless: bool
) -> list[tuple[Tensor, Tensor, Tensor | None]]:
    """For each stage its units' inputs, its program's carry (sums need its shape only), and the products if kept."""
    given, carry = first_inputs(x, carried, inputs), first_carry(x, carried)
    shapes = stage_shapes(x.shape[0], x.shape[1], given.shape[1], settings.layout)
    left = iter(cut(kept, kept_shapes(shapes, settings, stateless)))
    found = []
    for _, _, onward in shapes:
        found.append((given, carry, next(left) if settings.keep == ARGUMENTS else None))
        given = next(left).transpose(0, 1)
        carry = x.new_empty(1).expand(onward) if stateless else next(left)
    return found
