"""Connectomes from graphs in memory: NetworkX, igraph, PyG and SciPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elegans_gnn.connectome import _igraph, _networkx, _pyg, _scipy
from elegans_gnn.connectome._core import Connectome

if TYPE_CHECKING:
    import igraph
    import networkx as nx
    from torch_geometric.data import Data, HeteroData


def from_networkx(
    graph: nx.Graph,
    *,
    name: str | None = None,
    attributes: Mapping[str, str | None] | None = None,
    kind: str | None = None,
    parallel: str = "refuse",
) -> Connectome:
    """A connectome from any NetworkX graph; the order of its nodes becomes the neuron axis.

    The name of a neuron is its attribute ``name``, else ``label`` (if every node has one), else its node. The other
    attributes that :func:`to_networkx` writes are read, and all further ones are ignored; ``weight`` becomes the
    connectome's weights, ``count`` its counts (1 if no edge has one). Graphs with the attributes of the published
    Elegans-AI file (``cell_name``, ``synapse_type``, ``weight`` as a number of synapses) are read too.

    Args:
        graph: Graph, DiGraph, MultiGraph or MultiDiGraph. An undirected edge becomes an entry in each direction.
        name: title of the result; by default the graph's own.
        attributes: where to read one of our attributes from, such as ``{"weight": "strength"}``; ``{"role": None}``
            ignores one.
        kind: the kind of edges without one; by default ``chemical``, and ``gap`` for undirected edges.
        parallel: ``"refuse"`` or ``"sum"`` several edges of one kind between the same two neurons.

    Raises:
        ValueError: an attribute has a value that its column cannot take; the message says where.
    """
    options: dict[str, Any] = {"attributes": attributes, "kind": kind, "parallel": parallel}
    return Connectome.from_edges(**_networkx.read_columns(graph, name=name, **options))


def from_igraph(
    graph: igraph.Graph,
    *,
    name: str | None = None,
    attributes: Mapping[str, str | None] | None = None,
    kind: str | None = None,
    parallel: str = "refuse",
) -> Connectome:
    """A connectome from any igraph graph; attributes, arguments and errors as in :func:`from_networkx`.

    The name of a vertex without ``name`` or ``label`` is its number.
    """
    options: dict[str, Any] = {"attributes": attributes, "kind": kind, "parallel": parallel}
    return Connectome.from_edges(**_igraph.read_columns(graph, name=name, **options))


def from_pyg(data: Data | HeteroData, *, name: str | None = None, kind: str = "chemical") -> Connectome:
    """A connectome from PyG `Data` or `HeteroData`, from :func:`to_pyg`, :func:`to_pyg_hetero` or elsewhere.

    Without ``names`` the neurons are ``"0"``, ``"1"``, ...; without ``role`` the roles are unknown. ``edge_weight``,
    else an ``edge_attr`` with one column, becomes the weights, and ``edge_count`` the counts (default 1).

    Args:
        data: one node type; in `HeteroData` the relation names become the kinds.
        name: title of the result; by default ``data.title``.
        kind: the kind of edges in a `Data` without ``edge_kind``.

    Raises:
        ValueError: several node types, parallel edges of one kind, or values that a connectome cannot hold.
    """
    return Connectome.from_edges(**_pyg.read_columns(data, name=name, kind=kind))


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

    Every stored entry of a sparse matrix becomes an entry, stored zeros too; of a dense matrix, every non-zero.

    Args:
        counts: a matrix of integers, or ``{kind: matrix}``. Pass measured strengths (other floats) as ``weights``,
            with ``counts=None``.
        weights: like ``counts``, with the same entries; without ``counts`` all counts are 1.
        kind: the kind of a single matrix.
        like: take the name, the source and the columns of the neurons from this connectome.
        names: [N] neuron names; by default those of `like`, else ``"0"``, ``"1"``, ....
        name: title of the result.
        columns: further columns of :class:`Connectome` (roles, classes, ..., visit_rank, source).

    Raises:
        ValueError: matrices of unequal or non-square shape, counts that are not integers >= 0, weights that are not
            finite, or counts and weights with different entries.
    """
    options: dict[str, Any] = {"weights": weights, "kind": kind, "like": like, "names": names, "name": name}
    return Connectome.from_edges(**_scipy.read_columns(counts, **options, **columns))
