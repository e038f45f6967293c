"""Which neurons and edges are silenced: masks that are 1, and 0 where something was cut."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from elegans_gnn.errors import invalid


def edge_numbers(edges: Iterable[int], count: int) -> Tensor:
    """int64 numbers of the edges chosen by numbers or by a boolean mask [E]."""
    chosen = edges if isinstance(edges, Tensor) else torch.as_tensor(np.asarray(list(edges)))
    if chosen.dtype == torch.bool and chosen.shape == (count,):
        return chosen.nonzero()[:, 0]
    if not chosen.numel():
        return torch.empty(0, dtype=torch.int64)
    whole = not chosen.is_floating_point() and chosen.dtype != torch.bool and chosen.dim() == 1
    if not whole or chosen.min() < 0 or chosen.max() >= count:
        raise invalid("edges", f"edge numbers in 0..{count - 1} or a mask [{count}]", chosen.tolist(), "see edge_index")
    return chosen.to(torch.int64)


def silenced(mask: Tensor | None, length: int, index: Tensor, like: Tensor) -> Tensor | None:
    """The mask with zeros at `index` too; None while nothing is silenced. A new one is made like `like`."""
    if not index.numel():
        return mask
    whole = like.new_ones(length) if mask is None else mask
    return whole.detach().index_fill(0, index.to(whole.device), 0.0)
