"""A fixed directed graph in the two sorted forms that the aggregation reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from elegans_gnn._shapes import Int
from elegans_gnn.errors import invalid

if TYPE_CHECKING:
    from elegans_gnn.connectome import Connectome

# A dense, sparse or index tensor, PyG's SparseTensor, or our own adjacency; `to_adjacency` distinguishes them.
GraphLike: TypeAlias = Any

_SPARSE_LAYOUTS = (torch.sparse_coo, torch.sparse_csr, torch.sparse_csc)
# Row pointers and edge numbers are 32-bit: half the index traffic of the kernels.
_MAX_INT32 = 2**31 - 1


class SparseAdjacency:
    """The edges u -> v of a graph in the caller's order, in CSR by target and in CSC by source.

    Weights stay in the caller's order, that of `edge_index`; `perm` and `csc_perm` lead from the sorted forms to it.
    Both sorts are stable, so parallel edges (duplicates) keep the order in which they were given. Self-loops,
    duplicates, isolated neurons and an empty edge set are allowed. Treat instances as immutable.

    Args:
        edge_index: sources in row 0, targets in row 1, values in 0 .. num_neurons - 1.
        num_neurons: the number of neurons N; neurons without edges count.

    Attributes:
        edge_index: int64 [2, E], as given.
        in_degree: int64 [N], number of incoming edges.
        rowptr, col, perm: int32 [N + 1], [E], [E]. Edges into v are rowptr[v] .. rowptr[v + 1]; col holds their
            sources, perm their positions in `edge_index`.
        colptr, row, csc_perm: int32 [N + 1], [E], [E]. The same by source; row holds the targets.

    Raises:
        ValueError: edge_index has another shape or type, an index is out of range, or num_neurons is not positive.

    >>> graph = SparseAdjacency(torch.tensor([[0, 2, 1], [1, 1, 0]]), num_neurons=3)
    >>> graph.rowptr.tolist(), graph.col.tolist(), graph.perm.tolist()
    ([0, 1, 3, 3], [1, 0, 2], [2, 0, 1])
    """

    edge_index: Tensor
    in_degree: Tensor
    rowptr: Tensor
    col: Tensor
    perm: Tensor
    colptr: Tensor
    row: Tensor
    csc_perm: Tensor

    def __init__(self, edge_index: Int[Tensor, "2 edge"], num_neurons: int) -> None:
        edge_index = _validated(edge_index, num_neurons)
        source, target = edge_index
        self.num_neurons = num_neurons
        self.num_edges = edge_index.shape[1]
        self.edge_index = edge_index
        self.in_degree = torch.bincount(target, minlength=num_neurons)
        self.rowptr, self.col, self.perm = _compress(target, source, num_neurons)
        self.colptr, self.row, self.csc_perm = _compress(source, target, num_neurons)

    @classmethod
    def from_connectome(cls, connectome: Connectome) -> SparseAdjacency:
        """The wiring of a connectome, edges in its (pre, post, kind) order."""
        return cls(torch.tensor(connectome.edge_index), connectome.num_neurons)

    @property
    def device(self) -> torch.device:
        """Where the index tensors live."""
        return self.edge_index.device

    def to(self, device: torch.device | str) -> SparseAdjacency:
        """This graph on another device, or this very object if it is there already."""
        device = torch.empty(0, device=device).device
        if device == self.device:
            return self
        moved = object.__new__(SparseAdjacency)
        moved.num_neurons = self.num_neurons
        moved.num_edges = self.num_edges
        for name in _TENSORS:
            setattr(moved, name, getattr(self, name).to(device))
        return moved

    def __repr__(self) -> str:
        return (
            f"SparseAdjacency(num_neurons={self.num_neurons}, num_edges={self.num_edges}, device={str(self.device)!r})"
        )


_TENSORS = ("edge_index", "in_degree", "rowptr", "col", "perm", "colptr", "row", "csc_perm")


def _validated(edge_index: Tensor, num_neurons: int) -> Tensor:
    """Check once what the kernels rely on: type, shape, size and range."""
    if not isinstance(edge_index, Tensor) or edge_index.dtype not in (torch.int64, torch.int32):
        got: object = edge_index.dtype if isinstance(edge_index, Tensor) else type(edge_index).__name__
        raise invalid("edge_index", "an int64 tensor", got, "use torch.as_tensor(edges, dtype=torch.int64)")
    if edge_index.dim() != 2 or edge_index.shape[0] != 2:
        remedy = "pass sources in row 0 and targets in row 1 (a list of pairs needs .T)"
        raise invalid("edge_index", "of shape [2, E]", list(edge_index.shape), remedy)
    if isinstance(num_neurons, bool) or not isinstance(num_neurons, int) or num_neurons < 1:
        raise invalid("num_neurons", "a positive integer", repr(num_neurons), "pass the number of rows of the state")
    if max(num_neurons, edge_index.shape[1]) > _MAX_INT32:
        size = f"{num_neurons} neurons and {edge_index.shape[1]} edges"
        raise invalid("edge_index", f"a graph of at most {_MAX_INT32} neurons and edges", size, "split the graph")
    if edge_index.shape[1]:
        low, high = (int(bound) for bound in torch.aminmax(edge_index))
        if low < 0 or high >= num_neurons:
            span = f"values in {low} .. {high}"
            raise invalid("edge_index", f"made of values in 0 .. {num_neurons - 1}", span, "check num_neurons")
    # A private copy: a later write into the caller's tensor would bypass the range check.
    return edge_index.detach().to(torch.int64, copy=True).contiguous()


def _compress(keys: Tensor, others: Tensor, num_neurons: int) -> tuple[Tensor, Tensor, Tensor]:
    """Stable compressed form: pointers over `keys`, the partner of each sorted edge, and its original position."""
    order = torch.argsort(keys, stable=True)
    pointers = torch.zeros(num_neurons + 1, dtype=torch.int64, device=keys.device)
    torch.cumsum(torch.bincount(keys, minlength=num_neurons), dim=0, out=pointers[1:])
    return pointers.to(torch.int32), others[order].to(torch.int32), order.to(torch.int32)


def to_adjacency(graph: GraphLike, num_neurons: int) -> tuple[SparseAdjacency, Tensor | None]:
    """The adjacency of a graph in any of the forms that a layer accepts, and its weights.

    An integer tensor (or PyG's EdgeIndex) is an ``edge_index``. A matrix, dense or sparse, is PyG's transposed
    adjacency: entry (v, u) is the weight of the edge u -> v, so that ``matrix @ x`` gathers what arrives at v.
    The adjacency of a tensor is built once and kept while that tensor exists and its edges stay the same.

    Args:
        graph: an ``edge_index`` [2, E], a dense or sparse tensor [N, N], PyG's SparseTensor, or a
            :class:`SparseAdjacency`, which is returned as it is.
        num_neurons: the number of neurons N.

    Returns:
        The adjacency, and the weights [E] of a matrix in its edge order; None for a graph without weights.

    Raises:
        ValueError: a graph of another form or size.
    """
    if isinstance(graph, SparseAdjacency):
        return graph, None
    if is_edge_index(graph):
        return _built(graph, plain_edges(graph), num_neurons), None
    if isinstance(graph, Tensor) and graph.layout == torch.strided:
        _check_square(list(graph.shape), num_neurons)
        target, source = graph.nonzero(as_tuple=True)
        return _built(graph, torch.stack([source, target]), num_neurons), graph[target, source]
    if isinstance(graph, Tensor) and graph.layout in _SPARSE_LAYOUTS:
        _check_square(list(graph.shape), num_neurons)
        matrix = graph.to_sparse_coo().coalesce()
        return _built(graph, matrix.indices().flip(0), num_neurons), matrix.values()
    if hasattr(graph, "coo") and hasattr(graph, "sparse_sizes"):
        _check_square(list(graph.sparse_sizes()), num_neurons)
        target, source, value = graph.coo()
        return _built(source, torch.stack([source, target]), num_neurons), value
    got = type(graph).__name__
    raise invalid(
        "edge_index", "an edge_index, a dense or sparse [N, N] matrix or a SparseAdjacency", got, "convert it"
    )


def is_edge_index(graph: GraphLike) -> bool:
    """Whether the graph is given by its edges [2, E], not by a matrix."""
    return isinstance(graph, Tensor) and graph.layout == torch.strided and not graph.is_floating_point()


def plain_edges(edge_index: Tensor) -> Tensor:
    """An edge_index as a plain tensor, without PyG's subclass."""
    return edge_index.as_tensor() if hasattr(edge_index, "as_tensor") else edge_index


_BUILT = WeakTensorKeyDictionary()  # the caller's tensor -> its adjacency


def _built(graph: Tensor, edge_index: Tensor, num_neurons: int) -> SparseAdjacency:
    """The adjacency of these edges. Comparing them costs far less than sorting, and notices every later change."""
    known: SparseAdjacency | None = _BUILT.get(graph)
    if known is None or known.num_neurons != num_neurons or not same_edges(known.edge_index, edge_index):
        known = _BUILT[graph] = SparseAdjacency(edge_index, num_neurons)
    return known


def same_edges(one: Tensor, other: Tensor) -> bool:
    """Whether two edge indices are equal, whatever their integer type."""
    return one.device == other.device and one.shape == other.shape and torch.equal(one, other.to(one.dtype))


def _check_square(shape: list[int], num_neurons: int) -> None:
    if shape != [num_neurons, num_neurons]:
        remedy = "pass the transposed adjacency, row = target; an edge_index must be of integer type"
        raise invalid("edge_index", f"a matrix of shape [{num_neurons}, {num_neurons}]", shape, remedy)


def disjoint_union(edge_index: Tensor, copies: int, num_neurons: int) -> Tensor:
    """[2, copies * E]: the edges of several copies of a graph, copy by copy, as PyG batches them."""
    offset = num_neurons * torch.arange(copies, device=edge_index.device)
    return (edge_index[:, None, :] + offset[:, None]).flatten(1)


def repeats(own: SparseAdjacency, edges: Tensor, copies: int) -> bool:
    """Whether the same E edges come in each copy, as PyG batches equal samples: then matching E of them is enough."""
    if edges.shape != (2, copies * own.num_edges):
        return False
    first = edges[:, : own.num_edges]
    inside = not own.num_edges or bool(first.max() < own.num_neurons)
    return inside and same_edges(disjoint_union(first, copies, own.num_neurons), edges)


def sorted_pairs(edge_index: Tensor, num_neurons: int) -> tuple[Tensor, Tensor]:
    """A number per ordered pair, ascending, and the places of these edges; parallel edges keep their order."""
    keys, order = torch.sort(edge_index[1].long() * num_neurons + edge_index[0], stable=True)
    return keys, order


class Match(NamedTuple):
    """How the edges of a graph are those of copies of another one.

    Attributes:
        own_edge: [E'], the edge at each place; None where parallel edges are given as one entry.
        multiplicity: [E'], the number of edges between the neurons of each entry.
    """

    own_edge: Tensor | None
    multiplicity: Tensor


# The given graph -> the own one -> their match.
_MATCHES: WeakKeyDictionary[SparseAdjacency, Any] = WeakKeyDictionary()


def match_edges(own: SparseAdjacency, given: SparseAdjacency, copies: int) -> Match | None:
    """Find `copies` copies of a graph in another one; None if these are not its edges. Found once for each pair."""
    if not copies:
        return None
    known = _MATCHES.setdefault(given, WeakKeyDictionary())
    if own not in known:
        known[own] = _matched(own, given, copies)
    return known[own]


def _matched(own: SparseAdjacency, given: SparseAdjacency, copies: int) -> Match | None:
    expected = disjoint_union(own.edge_index, copies, own.num_neurons)
    own_keys, own_order = sorted_pairs(expected, given.num_neurons)
    keys, order = sorted_pairs(given.edge_index.to(own.device), given.num_neurons)
    own_pairs, own_count = own_keys.unique_consecutive(return_counts=True)
    pairs, place, count = keys.unique_consecutive(return_inverse=True, return_counts=True)
    if not torch.equal(own_pairs, pairs):
        return None
    every = torch.equal(own_count, count)
    if not every and not bool((count == 1).all()):
        return None
    own_edge = torch.empty_like(order).index_copy_(0, order, own_order % max(own.num_edges, 1)) if every else None
    return Match(own_edge, torch.empty_like(order).index_copy_(0, order, own_count[place]))
