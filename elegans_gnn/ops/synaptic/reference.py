"""The synaptic convolution written as loops that one can check by eye: what every other backend must equal.

x: [B, N, C, H, W], weight: [E, C or 1, kh, kw]. Half-precision inputs are summed in float32 and rounded once.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import pad

from elegans_gnn.ops.reference import Graph, accumulation_dtype


def forward(x: Tensor, weight: Tensor, graph: Graph) -> Tensor:
    """y[b, v, c, p] = sum over e = (u -> v) and taps t of weight[e, c, t] * x[b, u, c, p + offset_t]."""
    wide = accumulation_dtype(x.dtype)
    y = torch.zeros(x.shape, dtype=wide, device=x.device)
    for u, v, e in edges(graph):
        for i, j in taps(weight):
            y[:, v] += weight[e, :, i, j, None, None].to(wide) * shifted(x[:, u].to(wide), weight, i, j)
    return y.to(x.dtype)


def backward(
    grad_y: Tensor, x: Tensor, weight: Tensor, graph: Graph, need_x: bool, need_weight: bool
) -> tuple[Tensor, Tensor]:
    """The gradients of x and weight; one that is not needed is empty."""
    wide = accumulation_dtype(x.dtype)
    grad_x = torch.zeros(x.shape, dtype=wide, device=x.device)
    grad_weight = torch.zeros(weight.shape, dtype=wide, device=x.device)
    height, width = weight.shape[2:]
    for u, v, e in edges(graph):
        for i, j in taps(weight):
            # Where the output looked at p + offset, the gradient comes back from p - offset: the mirrored tap.
            back = shifted(grad_y[:, v].to(wide), weight, height - 1 - i, width - 1 - j)
            grad_x[:, u] += weight[e, :, i, j, None, None].to(wide) * back
            share = (grad_y[:, v].to(wide) * shifted(x[:, u].to(wide), weight, i, j)).sum(dim=(0, 2, 3))
            grad_weight[e, :, i, j] += share if weight.shape[1] > 1 else share.sum()
    return (
        grad_x.to(x.dtype) if need_x else x.new_empty(0),
        grad_weight.to(weight.dtype) if need_weight else weight.new_empty(0),
    )


def edges(graph: Graph) -> Iterator[tuple[int, int, int]]:
    """Source, target and edge number, in CSR order."""
    bounds, col, perm = graph.rowptr.tolist(), graph.col.tolist(), graph.perm.tolist()
    for v in range(len(bounds) - 1):
        for place in range(bounds[v], bounds[v + 1]):
            yield col[place], v, perm[place]


def taps(weight: Tensor) -> Iterator[tuple[int, int]]:
    """The rows and columns of the filters."""
    return ((i, j) for i in range(weight.shape[2]) for j in range(weight.shape[3]))


def shifted(maps: Tensor, weight: Tensor, i: int, j: int) -> Tensor:
    """What tap (i, j) sees at each place of the maps [..., H, W]: the neighbour in its direction, zero outside."""
    height, width = maps.shape[-2:]
    above, left = weight.shape[2] // 2, weight.shape[3] // 2
    return pad(maps, (left, left, above, above))[..., i : i + height, j : j + width]
