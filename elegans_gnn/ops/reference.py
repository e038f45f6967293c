"""The aggregation written as loops that one can check by eye: what every other backend must equal.

x: [B, N, C, K], weight: [E, C], one row v after another, its incoming edges in CSR order. Half-precision inputs are
summed in float32. Outputs are y [B, N, C, K] and, for max, the winning edge's position in `edge_index` (-1: no edge).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from elegans_gnn.ops import codes


class Graph(NamedTuple):
    """CSR by target and CSC by source, both with their permutation into the caller's edge order (int32)."""

    rowptr: Tensor
    col: Tensor
    perm: Tensor
    colptr: Tensor
    row: Tensor
    csc_perm: Tensor


class Problem(NamedTuple):
    """What a backend is asked for, checked and in the shapes above; reduce is a key of `codes.REDUCE`."""

    x: Tensor
    weight: Tensor
    graph: Graph
    reduce: str


Pair = tuple[Tensor, Tensor]


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """Sums of half-precision values are formed in float32."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def forward(problem: Problem) -> Pair:
    """y[b, v, c, k] = reduce over e = (u -> v) of weight[e, c] * x[b, u, c, k], and the winners of max."""
    x, weight, graph, reduce = problem
    wide = accumulation_dtype(x.dtype)
    y = torch.full(x.shape, 1.0 if reduce == "mul" else 0.0, dtype=wide, device=x.device)
    winner = torch.full(x.shape if reduce == "max" else (0,), -1, dtype=torch.int32, device=x.device)
    for v, edges in _rows(graph):
        messages = [weight[e, :, None].to(wide) * x[:, u].to(wide) for u, e in edges]
        if reduce == "sum":
            y[:, v] = sum(messages)
        elif reduce in codes.SHARES:
            y[:, v] = sum(messages) * codes.SHARES[reduce](len(messages))
        elif reduce == "mul":
            y[:, v] = torch.stack(messages).prod(dim=0)
        else:
            y[:, v] = messages[0]
            winner[:, v] = edges[0][1]
            for (_, e), message in zip(edges[1:], messages[1:], strict=True):
                better = (message > y[:, v]) | (message.isnan() & ~y[:, v].isnan())
                y[:, v] = torch.where(better, message, y[:, v])
                winner[:, v] = torch.where(better, e, winner[:, v])
    return y.to(x.dtype), winner


def backward(problem: Problem, grad_y: Tensor, winner: Tensor, need_x: bool, need_weight: bool) -> Pair:
    """Gradients for x and weight: first that of each message, then the product rule for message = weight * x."""
    x, weight, graph, reduce = problem
    wide = accumulation_dtype(x.dtype)
    grad_x = torch.zeros(x.shape, dtype=wide, device=x.device)
    grad_weight = torch.zeros(weight.shape, dtype=wide, device=x.device)
    for v, edges in _rows(graph):
        grad = grad_y[:, v].to(wide)
        messages = [weight[e, :, None].to(wide) * x[:, u].to(wide) for u, e in edges]
        for position, (u, e) in enumerate(edges):
            if reduce == "sum":
                grad_message = grad
            elif reduce in codes.SHARES:
                grad_message = grad * codes.SHARES[reduce](len(edges))
            elif reduce == "mul":
                others = messages[:position] + messages[position + 1 :]
                grad_message = grad * torch.stack(others).prod(dim=0) if others else grad
            else:
                grad_message = torch.where(winner[:, v] == e, grad, 0.0)
            grad_x[:, u] += weight[e, :, None].to(wide) * grad_message
            grad_weight[e] += (x[:, u].to(wide) * grad_message).sum(dim=(0, 2))
    return (
        grad_x.to(x.dtype) if need_x else x.new_empty(0),
        grad_weight.to(weight.dtype) if need_weight else weight.new_empty(0),
    )


def _rows(graph: Graph) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Each neuron v that has incoming edges, with its (source, edge number) pairs in CSR order."""
    bounds, col, perm = graph.rowptr.tolist(), graph.col.tolist(), graph.perm.tolist()
    for v in range(len(bounds) - 1):
        span = slice(bounds[v], bounds[v + 1])
        if col[span]:
            yield v, list(zip(col[span], perm[span], strict=True))
