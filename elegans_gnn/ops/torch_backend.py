"""The aggregation in plain PyTorch: runs on every device that torch supports, with bounded extra memory.

sum and mean are sparse products, one per channel: y = A x, grad_x = A^T grad_y, and grad_weight the product grad_y x^T
sampled at the edges. mul and max form the messages of a few features at a time.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from elegans_gnn.ops import codes
from elegans_gnn.ops.reference import Graph, Pair, Problem, accumulation_dtype

# Messages held at once: 4M elements are 16 MB in float32, far below a state of benchmark size.
_CHUNK_ELEMENTS = 1 << 22

# torch announces once per process that CSR is in beta; taken here so that it reaches no caller.
with warnings.catch_warnings():
    warnings.simplefilter("ignore", UserWarning)
    torch.sparse_csr_tensor(torch.tensor([0, 1]), torch.tensor([0]), torch.ones(1), (1, 1))


def forward(problem: Problem) -> Pair:
    """See `elegans_gnn.ops.reference.forward`."""
    x, weight, graph, reduce = problem
    if reduce == "sum" or reduce in codes.SHARES:
        share = _share(graph, reduce)
        share = share if share is None else share[_targets(graph)]
        y = _product(x, weight, graph.rowptr, graph.col, graph.perm, share)
        return y, x.new_empty(0, dtype=torch.int32)
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    winner = torch.empty_like(y, dtype=torch.int32) if reduce == "max" else x.new_empty(0, dtype=torch.int32)
    for chunk in _chunks(x.shape, graph.col.numel()):
        messages = _rows(x, chunk)[graph.col] * _edge_weight(weight, graph, chunk)
        if reduce == "mul":
            _store(y, chunk, _segments(messages, graph.rowptr, "prod", empty=1.0))
        else:
            best = _segments(messages, graph.rowptr, "max", empty=0.0)
            _store(y, chunk, best)
            _store(winner, chunk, _first_winner(messages, best, graph))
    return y, winner


def backward(problem: Problem, grad_y: Tensor, winner: Tensor, need_x: bool, need_weight: bool) -> Pair:
    """See `elegans_gnn.ops.reference.backward`."""
    x, weight, graph, reduce = problem
    if reduce == "sum" or reduce in codes.SHARES:
        share = _share(graph, reduce)
        grad_x, grad_weight = x.new_empty(0), weight.new_empty(0)
        if need_x:
            out = share[graph.row] if share is not None else None
            grad_x = _product(grad_y, weight, graph.colptr, graph.row, graph.csc_perm, out)
        if need_weight:
            grad_weight = _sampled(grad_y, x, weight, graph, share)
        return grad_x, grad_weight
    grad_x = torch.empty_like(x, memory_format=torch.contiguous_format) if need_x else x.new_empty(0)
    grad_weight = weight.new_zeros(weight.shape, dtype=accumulation_dtype(weight.dtype))
    target = _targets(graph)
    by_source = torch.argsort(graph.perm)[graph.csc_perm]
    for chunk in _chunks(x.shape, graph.col.numel()):
        sources, edge_weight = _rows(x, chunk)[graph.col], _edge_weight(weight, graph, chunk)
        grad_messages = _rows(grad_y, chunk)[target]
        if reduce == "mul":
            grad_messages *= _product_of_others(sources * edge_weight, graph)
        else:
            lost = _rows(winner, chunk, widen=False)[target] != graph.perm[:, None, None]
            grad_messages.masked_fill_(lost, 0.0)
        if need_x:
            _store(grad_x, chunk, _segments((grad_messages * edge_weight)[by_source], graph.colptr, "sum", empty=0.0))
        share = grad_messages.mul_(sources).sum(dim=2)
        if weight.shape[1] > 1:
            grad_weight[graph.perm, chunk.channels] += share
        else:
            grad_weight[graph.perm] += share.sum(dim=1, keepdim=True)
    return grad_x, grad_weight.to(weight.dtype) if need_weight else weight.new_empty(0)


def _product(
    x: Tensor, weight: Tensor, pointers: Tensor, partners: Tensor, perm: Tensor, share: Tensor | None
) -> Tensor:
    """Sparse matrix times states, channel by channel, in torch's fastest sparse layout."""
    batch, neurons, channels, _ = x.shape
    wide = accumulation_dtype(x.dtype)
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    for c in range(channels if weight.shape[1] > 1 else 1):
        values = weight[perm, c].to(wide)
        if share is not None:
            values = values * share.to(wide)
        part = slice(c, c + 1) if weight.shape[1] > 1 else slice(None)
        columns = x[:, :, part].transpose(0, 1).reshape(neurons, -1).to(wide)
        matrix = torch.sparse_csr_tensor(pointers, partners, values, (neurons, neurons), check_invariants=False)
        result = (matrix @ columns).view(neurons, batch, -1, x.shape[3])
        y[:, :, part] = result.transpose(0, 1)
    return y


def _share(graph: Graph, reduce: str) -> Tensor | None:
    """What one edge of each target counts in a scaled sum, float64 [N]; None for the plain sum."""
    if reduce not in codes.SHARES:
        return None
    share: Tensor = codes.SHARES[reduce](graph.rowptr.diff().clamp(min=1).to(torch.float64))
    return share


def _sampled(grad_y: Tensor, x: Tensor, weight: Tensor, graph: Graph, share: Tensor | None) -> Tensor:
    """grad_weight[e, c] = sum over b, k of grad_y[b, v, c, k] x[b, u, c, k]: a product sampled at the edges."""
    neurons, channels = x.shape[1], weight.shape[1]
    wide = accumulation_dtype(x.dtype)
    grad_weight = torch.empty_like(weight)
    if not weight.numel():
        return grad_weight
    # More edges than pairs of neurons: the full product is the smaller one, and sampled_addmm refuses such a pattern.
    crowded = graph.col.numel() > neurons * neurons
    if not crowded:
        zeros = torch.zeros(graph.col.shape, dtype=wide, device=x.device)
        pattern = torch.sparse_csr_tensor(graph.rowptr, graph.col, zeros, (neurons, neurons), check_invariants=False)
    for c in range(channels):
        part = slice(c, c + 1) if channels > 1 else slice(None)
        left = grad_y[:, :, part].transpose(0, 1).reshape(neurons, -1).to(wide)
        right = x[:, :, part].transpose(0, 1).reshape(neurons, -1).to(wide)
        if crowded:
            values = (left @ right.t())[_targets(graph), graph.col]
        else:
            values = torch.sparse.sampled_addmm(pattern, left, right.t(), beta=0.0).values()
        if share is not None:
            values = values * share.to(wide)[_targets(graph)]
        grad_weight[graph.perm, c] = values.to(weight.dtype)
    return grad_weight


class _Chunk(NamedTuple):
    """A block of channels, samples and inner features."""

    channels: slice
    batch: slice
    inner: slice


def _chunks(shape: torch.Size, edges: int) -> Iterator[_Chunk]:
    """Cut [B, N, C, K] so that a block's messages stay within the bound."""
    batch, _, channels, inner = shape
    budget = max(1, _CHUNK_ELEMENTS // max(1, edges))
    inner_step = max(1, min(inner, budget))
    batch_step = max(1, min(batch, budget // inner_step))
    channel_step = max(1, min(channels, budget // (inner_step * batch_step)))
    for c in range(0, channels, channel_step):
        for b in range(0, batch, batch_step):
            for k in range(0, inner, inner_step):
                yield _Chunk(slice(c, c + channel_step), slice(b, b + batch_step), slice(k, k + inner_step))


def _block(x: Tensor, chunk: _Chunk) -> Tensor:
    """The chunk of [B, N, C, K] as a view [N, c, b, k]."""
    return x[chunk.batch, :, chunk.channels, chunk.inner].permute(1, 2, 0, 3)


def _rows(x: Tensor, chunk: _Chunk, *, widen: bool = True) -> Tensor:
    """The chunk as [N, c, b * k], in the dtype that sums are formed in."""
    rows = _block(x, chunk).flatten(2)
    return rows.to(accumulation_dtype(rows.dtype)) if widen else rows


def _store(y: Tensor, chunk: _Chunk, rows: Tensor) -> None:
    """Write [N, c, b * k] into the chunk of y."""
    block = _block(y, chunk)
    block.copy_(rows.view(block.shape))


def _edge_weight(weight: Tensor, graph: Graph, chunk: _Chunk) -> Tensor:
    """The chunk's weights in CSR order, [E, c or 1, 1]."""
    part = weight[:, chunk.channels] if weight.shape[1] > 1 else weight
    return part[graph.perm].unsqueeze(2).to(accumulation_dtype(weight.dtype))


def _targets(graph: Graph) -> Tensor:
    """The target of each edge in CSR order."""
    degree = graph.rowptr.diff()
    neurons = torch.arange(degree.numel(), device=degree.device)
    return neurons.repeat_interleave(degree, output_size=graph.col.numel())


def _segments(messages: Tensor, pointers: Tensor, reduce: str, *, empty: float) -> Tensor:
    """Reduce runs of the leading axis with torch's own deterministic segment kernel; empty runs give `empty`."""
    if not messages.numel():
        return messages.new_full((pointers.numel() - 1, *messages.shape[1:]), empty)
    result = torch.segment_reduce(messages, reduce, offsets=pointers.long(), axis=0)
    return result.masked_fill_((pointers.diff() == 0)[:, None, None], empty)


def _first_winner(messages: Tensor, best: Tensor, graph: Graph) -> Tensor:
    """The edge number of the first message of each run that equals its maximum (NaN equals NaN), -1 for empty runs."""
    rivals = best[_targets(graph)]
    wins = (messages == rivals) | (messages.isnan() & rivals.isnan())
    last = graph.col.numel()
    # Double holds every position exactly; the earliest winner has the largest countdown.
    countdown = torch.arange(last, 0, -1, device=messages.device, dtype=torch.float64)[:, None, None]
    first = _segments(countdown * wins, graph.rowptr, "max", empty=0.0)
    winner = graph.perm[(last - first).long().clamp_(max=last - 1)] if last else first
    return winner.to(torch.int32).masked_fill_(first == 0, -1)


def _product_of_others(messages: Tensor, graph: Graph) -> Tensor:
    """For each message the product of the rest of its run: no division, so zeros are right."""
    degree = graph.rowptr.diff()
    place = torch.arange(messages.shape[0], device=messages.device) - graph.rowptr[:-1][_targets(graph)]
    from_end = degree[_targets(graph)] - 1 - place
    return _product_before(messages, place) * _product_before(messages.flip(0), from_end.flip(0)).flip(0)


def _product_before(messages: Tensor, place: Tensor) -> Tensor:
    """The product of the messages before each one in its run, by doubling the reach until it covers the longest run."""
    product = torch.ones_like(messages)
    product[1:] = torch.where((place[1:] > 0)[:, None, None], messages[:-1], 1.0)
    reach, longest = 1, int(place.max()) if place.numel() else 0
    while reach < longest:
        further = torch.where((place[reach:] > reach)[:, None, None], product[:-reach], 1.0)
        product[reach:] = product[reach:] * further
        reach *= 2
    return product
