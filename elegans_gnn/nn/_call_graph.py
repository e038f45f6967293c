"""The graph that a layer is called with: its own in any order, several copies of it, or another one with weights."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from elegans_gnn.errors import InvalidArgumentError, invalid
from elegans_gnn.sparse import (
    GraphLike,
    Match,
    SparseAdjacency,
    disjoint_union,
    is_edge_index,
    match_edges,
    plain_edges,
    repeats,
    same_edges,
    sorted_pairs,
    to_adjacency,
)


class CallGraph(NamedTuple):
    """The graph of one call, in the caller's edge order.

    Attributes:
        edges: [2, E'].
        copies: of how many copies of the layer's own graph it consists; 0 for another graph.
        own_edge: [E'], the own edge at each place; None for the own order (copy by copy) and for another graph.
        weight: the weights [E', ...] that the caller gave; None for the layer's own.
        adjacency: the sorted edges; None as long as no one needs them.
    """

    edges: Tensor
    copies: int
    own_edge: Tensor | None
    weight: Tensor | None
    adjacency: SparseAdjacency | None

    def of_edges(self, values: Tensor) -> Tensor:
        """Values of the own edges [E, ...], brought into the order of the call."""
        if self.own_edge is not None:
            return values.index_select(0, self.own_edge)
        return values if self.copies < 2 else values.repeat(self.copies, *[1] * (values.dim() - 1))


def call_graph(own: SparseAdjacency, graph: GraphLike | None, weight: Tensor | None, neurons: int) -> CallGraph:
    """Recognise the graph of a call.

    An ``edge_index`` is compared as a multiset: parallel edges must be there as often as in the own graph, and the
    i-th edge of the call between two neurons is the i-th own edge between them. A matrix may also hold one entry for
    all edges of a pair. The values of a matrix are weights unless they only count edges.

    Args:
        own: the layer's graph.
        graph: what the caller gave.
        weight: weights [E', ...] in the order of the given edges.
        neurons: the neurons N' of the state: k N for k copies.

    Raises:
        ValueError: another graph without weights, or weights of another length.
    """
    found = _recognised(own, graph, weight, neurons)
    edges = found.edges.shape[1]
    if found.weight is not None and found.weight.shape[:1] != (edges,):
        expected = f"of shape [{edges}] (one per edge)"
        raise invalid("edge_weight", expected, list(found.weight.shape), "take the order from edge_index")
    return found


def _recognised(own: SparseAdjacency, graph: GraphLike | None, weight: Tensor | None, neurons: int) -> CallGraph:
    if graph is None or graph is own or graph is own.edge_index:
        return CallGraph(own.edge_index, 1, None, weight, own)
    copies = 0 if neurons % own.num_neurons else neurons // own.num_neurons
    listed = is_edge_index(graph)
    if listed and torch.compiler.is_compiling():
        return _traced(own, graph, weight, copies, neurons)
    if listed:
        edges = plain_edges(graph)
        if copies > 1 and repeats(own, edges, copies):
            first = edges[:, : own.num_edges]
            if same_edges(own.edge_index, first):
                return CallGraph(edges, copies, None, weight, None)
            match = match_edges(own, to_adjacency(first, own.num_neurons)[0], 1)
            if match is not None and match.own_edge is not None:
                return CallGraph(edges, copies, match.own_edge.repeat(copies), weight, None)
        if same_edges(own.edge_index, edges):
            return CallGraph(own.edge_index, 1, None, weight, own)
    adjacency, values = to_adjacency(graph, neurons)
    match = match_edges(own, adjacency, copies if adjacency.num_neurons == neurons else 0)
    if weight is None and values is not None and not _counts_edges(values, match):
        weight = values
    own_edge = None if match is None else match.own_edge
    if weight is None and own_edge is None:
        if match is None or listed:
            raise _another_graph(own, neurons, adjacency.num_edges, listed)
        return CallGraph(disjoint_union(own.edge_index, copies, own.num_neurons), copies, None, None, None)
    return CallGraph(adjacency.edge_index, 0 if own_edge is None else copies, own_edge, weight, adjacency)


def _another_graph(own: SparseAdjacency, neurons: int, edges: int, listed: bool = True) -> InvalidArgumentError:
    expected = f"the layer's own graph ({own.num_neurons} neurons, {own.num_edges} edges in any order) or copies of it"
    remedy = "pass edge_weight= to use another graph, or build the layer on that graph (self-loops included)"
    if not listed:
        remedy += "; the rows of a matrix are the targets"
    return invalid("edge_index", expected, f"another graph ({neurons} neurons, {edges} edges)", remedy)


def _counts_edges(values: Tensor, match: Match | None) -> bool:
    """Whether the values of a matrix only say where edges are: all 1, or the number of own edges at each entry."""
    if values.requires_grad or values.dim() != 1:
        return False
    return bool((values == 1).all()) or (match is not None and torch.equal(values, match.multiplicity.to(values)))


def _traced(own: SparseAdjacency, graph: Tensor, weight: Tensor | None, copies: int, neurons: int) -> CallGraph:
    """While torch traces, nothing can depend on the values of the edges: the compiled code asserts that they match."""
    edges = plain_edges(graph)
    if weight is not None:
        return CallGraph(edges, 0, None, weight, None)
    if not copies or edges.shape[1] != copies * own.num_edges:
        raise _another_graph(own, neurons, edges.shape[1])
    own_keys, own_order = sorted_pairs(disjoint_union(own.edge_index, copies, own.num_neurons), neurons)
    keys, order = sorted_pairs(edges, neurons)
    in_range = (edges >= 0).all() & (edges < neurons).all()
    torch._assert_async(in_range & (keys == own_keys).all(), str(_another_graph(own, neurons, edges.shape[1])))
    own_edge = torch.empty_like(order).index_copy(0, order, own_order % max(own.num_edges, 1))
    return CallGraph(edges, copies, own_edge, None, None)


def one_tensor(x: Tensor | tuple[Tensor, Tensor]) -> Tensor:
    """The one tensor of PyG's pair (sources, targets)."""
    if isinstance(x, Tensor):
        return x
    if not isinstance(x, tuple):
        raise invalid("x", "a tensor", type(x).__name__, "use torch.as_tensor(x)")
    if len(x) == 2 and x[0] is x[1]:
        return x[0]
    raise invalid("x", "one tensor", "different sources and targets", "a connectome has one set of neurons: pass x")
