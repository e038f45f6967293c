"""Memory of a step's larger tensors, which the next step finds again."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from elegans_gnn.ops import _buffers

# From here on a new block costs more in page faults than a kept one in bookkeeping.
_SMALLEST = 1 << 19


def buffer(like: Tensor, shape: Sequence[int]) -> Tensor:
    """An uninitialised tensor with dtype and device of `like`; large ones on the CPU are cut from kept blocks."""
    if like.device.type != "cpu" or math.prod(shape) * like.element_size() < _SMALLEST:
        return like.new_empty(shape)
    return _buffers.empty(like, torch.Size(shape), _SMALLEST)


def cut(block: Tensor, shapes: Sequence[Sequence[int]]) -> list[Tensor]:
    """Tensors of these shapes, one after the other out of a flat block."""
    parts = block.split_with_sizes([math.prod(shape) for shape in shapes])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]
