"""Connectomes to and from SciPy sparse matrices, rows presynaptic, columns postsynaptic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elegans_gnn.connectome._attributes import NODE_ATTRIBUTES
from elegans_gnn.connectome._core import Connectome
from elegans_gnn.errors import invalid, unknown_name

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_VALUES = ("count", "weight")


def to_scipy(connectome: Connectome, *, kind: str | None = None, values: str = "count") -> csr_array:
    """The adjacency matrix [N, N]: entry [u, v] is the count (int64) or weight (float64) of the synapse u -> v.

    Entries of count or weight 0 are stored like all others.

    Args:
        connectome: the graph to convert.
        kind: one kind; None adds up all of them.
        values: ``"count"`` or ``"weight"``.

    Raises:
        ValueError: no such kind, or the connectome has no weights.
    """
    if kind is None:
        return _matrix(connectome.merged(), values)
    return _matrix(connectome.select(kinds=kind), values)


def to_scipy_by_kind(connectome: Connectome, *, values: str = "count") -> dict[str, csr_array]:
    """One adjacency matrix per kind of synapse; :func:`from_scipy` reads them back."""
    return {kind: to_scipy(connectome, kind=kind, values=values) for kind in connectome.kind_names}


def from_scipy(
    counts: Any,
    *,
    weights: Any = None,
    kind: str = "chemical",
    like: Connectome | None = None,
    names: Sequence[str] | NDArray[np.str_] | None = None,
    name: str | None = None,
    **columns: Any,
) -> Connectome:
    """A connectome from adjacency matrices [N, N] (any SciPy sparse format, or dense), rows presynaptic.

    Every stored entry of a sparse matrix becomes a synapse entry, explicit zeros too; of a dense one every non-zero.

    Args:
        counts: a matrix of integers, or ``{kind: matrix}``. A matrix of measured strengths (floats that are no
            integers) goes to ``weights``, with ``counts=None``.
        weights: like ``counts``, with the same entries, or alone; counts are then 1.
        kind: the kind of a single matrix.
        like: take name, neuron names, roles, classes and visit ranks from this connectome.
        names: [N] neuron names; ``"0"``, ``"1"``, ... if neither is given.
        name: title of the result.
        columns: further columns of :class:`Connectome` (roles, classes, ..., visit_rank, source).

    Raises:
        ValueError: matrices of unequal or non-square shape, counts that are no integers >= 0, weights that are not
            finite, or counts and weights with different entries.
    """
    if counts is None and weights is None:
        raise invalid("counts", "a matrix or {kind: matrix}", None, "give counts, weights or both")
    known_size = len(names) if names is not None else like.num_neurons if like is not None else 0
    given = {
        argument: None if value is None else _entries(argument, value, kind, known_size)
        for argument, value in (("counts", counts), ("weights", weights))
    }
    first = next(table for table in given.values() if table is not None)
    size, pre, post, kinds, _ = first
    entries: dict[str, Any] = {}
    for argument, table in given.items():
        if table is None:
            continue
        if table[0] != size or not all(np.array_equal(a, b) for a, b in zip(table[1:4], first[1:4], strict=True)):
            raise invalid("weights", "a matrix with the entries of counts", "other entries", "store zeros explicitly")
        entries[argument] = table[4]
    if like is not None:
        columns = {column: getattr(like, column) for column in ("source", *NODE_ATTRIBUTES.values())} | columns
        names = like.names if names is None else names
        name = like.name if name is None else name
    labels = [str(row) for row in range(size)] if names is None else names
    if len(labels) != size:
        raise invalid("names", f"of length {size} (the side of the matrix)", len(labels), "name every row")
    return Connectome.from_edges(name or "", labels, pre, post, kinds=kinds, **entries, **columns)


def _matrix(connectome: Connectome, values: str) -> csr_array:
    from scipy.sparse import csr_array

    if values not in _VALUES:
        raise unknown_name("values", str(values), _VALUES)
    data = connectome.counts if values == "count" else connectome.weights
    if data is None:
        raise invalid("values", "'count' for a connectome without weights", "'weight'", "take values='count'")
    size = connectome.num_neurons
    # Entries are sorted by (pre, post) and unique, which is canonical CSR already: no sum, no zero is dropped.
    rowptr = np.searchsorted(connectome.pre, np.arange(size + 1))
    return csr_array((data.copy(), connectome.post.copy(), rowptr), shape=(size, size))


def _entries(argument: str, value: Any, kind: str, known_size: int) -> tuple[int, Any, Any, Any, Any]:
    """Size, pre, post, kind and value of every stored entry, sorted by (pre, post, kind)."""
    from scipy.sparse import coo_array

    by_kind = value if isinstance(value, Mapping) else {kind: value}
    # A graph without synapses has no kinds, hence no matrices: its size comes from the names.
    by_kind = by_kind or {kind: coo_array((known_size, known_size), dtype=np.int64)}
    sizes, parts = set(), []
    for label, matrix in by_kind.items():
        coo = coo_array(matrix, copy=True)
        if coo.ndim != 2 or coo.shape[0] != coo.shape[1]:
            raise invalid(f"{argument}[{label!r}]", "square", list(coo.shape), "give one row and one column per neuron")
        coo.sum_duplicates()  # SciPy's reading of repeated entries; zeros stay
        sizes.add(coo.shape[0])
        parts.append((coo.row.astype(np.int64), coo.col.astype(np.int64), np.full(coo.nnz, label), coo.data))
    if len(sizes) != 1:
        raise invalid(argument, "matrices of one size", sorted(sizes), "give every kind all neurons")
    pre, post, kinds, data = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((kinds, post, pre))
    return sizes.pop(), pre[order], post[order], kinds[order], data[order]
