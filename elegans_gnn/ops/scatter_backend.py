"""The aggregation through torch_scatter, for comparison with it: forms the messages [B, E, C, K] in full.

Where torch_scatter defines no result, or another one, the call is refused: its maximum overlooks NaN, and its gradient
of a product divides by the factors, so it has none at zeros. Among equal maxima the first edge wins, as elsewhere, on
the CPU only; on a GPU torch_scatter names any one of them.
"""

from __future__ import annotations

import torch
from torch import Tensor

from elegans_gnn.errors import invalid, require
from elegans_gnn.ops import codes
from elegans_gnn.ops.reference import Graph, Pair, Problem, accumulation_dtype

_scatter = require("torch_scatter")


def forward(problem: Problem) -> Pair:
    """See `elegans_gnn.ops.reference.forward`.

    Raises:
        ValueError: max of messages that contain NaN.
    """
    x, weight, graph, reduce = problem
    messages, _ = _messages(x, weight, graph)
    winner = x.new_empty(0, dtype=torch.int32)
    if reduce == "mul":
        y = _product(messages, graph)
    elif reduce == "max":
        if bool(messages.isnan().any()):
            raise invalid("x and weight", "free of NaN for max in torch_scatter", "NaN", 'use backend "torch"')
        y, place = _scatter.segment_max_csr(messages, _pointers(graph.rowptr, x))
        edges = graph.perm.numel()
        names = torch.cat([graph.perm, graph.perm.new_tensor([-1])])
        winner = names[place.clamp(max=edges)]
    else:
        y = _scatter.segment_csr(_scaled(messages, graph, reduce), _pointers(graph.rowptr, x), reduce="sum")
    return y.to(x.dtype), winner


def backward(problem: Problem, grad_y: Tensor, winner: Tensor, need_x: bool, need_weight: bool) -> Pair:
    """See `elegans_gnn.ops.reference.backward`.

    Raises:
        ValueError: the gradient of mul where a message is zero.
    """
    x, weight, graph, reduce = problem
    messages, edge_weight = _messages(x, weight, graph)
    rows = _pointers(graph.rowptr, x)
    grad_messages = _scatter.gather_csr(grad_y.to(messages.dtype).contiguous(), rows)
    if reduce == "mul":
        if bool((messages == 0).any()):
            raise invalid(
                "x and weight", "without zero messages for torch_scatter's mul", "zeros", 'use backend "torch"'
            )
        grad_messages = grad_messages * _scatter.gather_csr(_product(messages, graph), rows) / messages
    elif reduce == "max":
        won = _scatter.gather_csr(winner.long(), rows) == graph.perm[:, None, None]
        grad_messages = torch.where(won, grad_messages, 0.0)
    else:
        grad_messages = _scaled(grad_messages, graph, reduce)
    grad_x, grad_weight = x.new_empty(0), weight.new_empty(0)
    if need_x:
        by_source = torch.argsort(graph.perm)[graph.csc_perm]
        shares = (grad_messages * edge_weight)[:, by_source]
        grad_x = _scatter.segment_csr(shares, _pointers(graph.colptr, x), reduce="sum").to(x.dtype)
    if need_weight:
        shares = (grad_messages * x[:, graph.col].to(messages.dtype)).sum(dim=(0, 3))
        grad_weight = torch.empty_like(weight)
        grad_weight[graph.perm] = shares.sum_to_size(weight.shape).to(weight.dtype)
    return grad_x, grad_weight


def _messages(x: Tensor, weight: Tensor, graph: Graph) -> tuple[Tensor, Tensor]:
    """Every edge's message in CSR order [B, E, C, K], and their weights."""
    wide = accumulation_dtype(x.dtype)
    edge_weight = weight[graph.perm].to(wide)[:, :, None]
    return edge_weight * x[:, graph.col].to(wide), edge_weight


def _product(messages: Tensor, graph: Graph) -> Tensor:
    degree = graph.rowptr.diff()
    if not messages.numel():
        # torch_scatter gives zeros here: it forgets that an empty product is one.
        return messages.new_ones(messages.shape[0], degree.numel(), *messages.shape[2:])
    targets = torch.arange(degree.numel(), device=degree.device).repeat_interleave(degree)
    return _scatter.scatter_mul(messages, targets, dim=1, dim_size=degree.numel())


def _scaled(messages: Tensor, graph: Graph, reduce: str) -> Tensor:
    """What each message counts in the sum of its target."""
    if reduce not in codes.SHARES:
        return messages
    degree = graph.rowptr.diff()
    return messages * codes.SHARES[reduce](degree.repeat_interleave(degree).to(messages.dtype))[:, None, None]


def _pointers(pointers: Tensor, x: Tensor) -> Tensor:
    return pointers.long().expand(x.shape[0], -1)
