"""The forms in which a caller can hand another graph to a layer, brought to one."""

from __future__ import annotations

from typing import Any, TypeAlias

import torch
from torch import Tensor

from elegans_gnn.errors import invalid
from elegans_gnn.sparse import SparseAdjacency

_SPARSE_LAYOUTS = (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc)

# A dense, sparse or index tensor, PyG's SparseTensor, or our own adjacency; `to_adjacency` tells them apart.
GraphLike: TypeAlias = Any


def to_adjacency(graph: GraphLike, num_neurons: int) -> tuple[SparseAdjacency, Tensor | None]:
    """The graph, and its weights [E] or None, of anything a layer takes for an adjacency.

    An integer tensor (or PyG's EdgeIndex) is an ``edge_index``. A matrix, dense or sparse, is PyG's transposed
    adjacency: entry (v, u) is the weight of the edge u -> v, so that ``matrix @ x`` gathers what arrives at v.
    """
    if isinstance(graph, SparseAdjacency):
        return graph, None
    if isinstance(graph, Tensor) and graph.layout == torch.strided and not graph.is_floating_point():
        return SparseAdjacency(graph.as_subclass(Tensor), num_neurons), None
    if isinstance(graph, Tensor) and graph.layout == torch.strided:
        _check_square(list(graph.shape), num_neurons)
        target, source = graph.nonzero(as_tuple=True)
        return SparseAdjacency(torch.stack([source, target]), num_neurons), graph[target, source]
    if isinstance(graph, Tensor) and graph.layout in _SPARSE_LAYOUTS:
        _check_square(list(graph.shape), num_neurons)
        matrix = graph.to_sparse_coo().coalesce()
        return SparseAdjacency(matrix.indices().flip(0), num_neurons), matrix.values()
    if hasattr(graph, "coo") and hasattr(graph, "sparse_sizes"):
        _check_square(list(graph.sparse_sizes()), num_neurons)
        target, source, value = graph.coo()
        return SparseAdjacency(torch.stack([source, target]), num_neurons), value
    got = type(graph).__name__
    raise invalid(
        "edge_index", "an edge_index, a dense or sparse [N, N] matrix or a SparseAdjacency", got, "convert it"
    )


def _check_square(shape: list[int], num_neurons: int) -> None:
    if shape != [num_neurons, num_neurons]:
        remedy = "give the transposed adjacency, row = target; an edge_index must be of integer type"
        raise invalid("edge_index", f"a matrix of shape [{num_neurons}, {num_neurons}]", shape, remedy)
