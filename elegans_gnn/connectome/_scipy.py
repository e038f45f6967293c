"""Connectomes to and from SciPy sparse matrices, rows presynaptic, columns postsynaptic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elegans_gnn.connectome import _select
from elegans_gnn.connectome._columns import Columns, in_order, neuron_columns
from elegans_gnn.errors import invalid, unknown_name

if TYPE_CHECKING:
    from scipy.sparse import csr_array

_VALUES = ("count", "weight")


def to_scipy(connectome: Columns, *, kind: str | None = None, values: str = "count") -> csr_array:
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
        return _matrix(_select.merged(connectome), values)
    return _matrix(_select.select(connectome, kinds=kind), values)


def to_scipy_by_kind(connectome: Columns, *, values: str = "count") -> dict[str, csr_array]:
    """One adjacency matrix per kind of synapse; :meth:`Connectome.from_scipy` reads them back."""
    return {kind: to_scipy(connectome, kind=kind, values=values) for kind in connectome.kind_names}


def read_columns(
    counts: Any,
    *,
    weights: Any = None,
    kind: str = "chemical",
    like: Columns | None = None,
    names: Sequence[str] | NDArray[np.str_] | None = None,
    name: str | None = None,
    **columns: Any,
) -> dict[str, Any]:
    """The arguments of :meth:`Connectome.from_edges`; arguments and errors as in :meth:`Connectome.from_scipy`."""
    if counts is None and weights is None:
        raise invalid("counts", "a matrix or {kind: matrix}", None, "give counts, weights or both")
    known_size = len(names) if names is not None else like.num_neurons if like is not None else 0
    given = {
        argument: None if value is None else _entries(argument, value, kind, known_size)
        for argument, value in (("counts", counts), ("weights", weights))
    }
    first = next(table for table in given.values() if table is not None)
    size, entries = first
    for argument, table in given.items():
        if table is None:
            continue
        same = [np.array_equal(table[1][key], entries[key]) for key in ("pre", "post", "kinds")]
        if table[0] != size or not all(same):
            raise invalid("weights", "a matrix with the entries of counts", "other entries", "store zeros explicitly")
        entries[argument] = table[1]["values"]
    del entries["values"]
    known = {} if like is None else {"name": like.name, "source": like.source, **neuron_columns(like)}
    chosen = {"name": name, "names": names}
    columns = known | {key: value for key, value in chosen.items() if value is not None} | columns
    labels = columns.setdefault("names", [str(row) for row in range(size)])
    if len(labels) != size:
        raise invalid("names", f"of length {size} (the side of the matrix)", len(labels), "name every row")
    return {"name": "", **entries, **columns}


def _matrix(connectome: Columns, values: str) -> csr_array:
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


def _entries(argument: str, value: Any, kind: str, known_size: int) -> tuple[int, dict[str, Any]]:
    """The size, and the columns and `values` of every stored entry in canonical order."""
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
    columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    return sizes.pop(), in_order(dict(zip(("pre", "post", "kinds", "values"), columns, strict=True)))
