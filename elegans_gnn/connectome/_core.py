"""The connectome: its frozen, checked columns, and what can be done with them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elegans_gnn.connectome import _diff, _frames, _graphs, _pyg, _scipy, _select
from elegans_gnn.connectome._columns import Columns, both_ways, in_order
from elegans_gnn.connectome._headers import Options
from elegans_gnn.connectome._values import CHEMICAL, ROLES, UNKNOWN, full_column, integer_column
from elegans_gnn.errors import invalid, unknown_name

if TYPE_CHECKING:
    import igraph
    import networkx as nx
    import pandas as pd
    from torch_geometric.data import Data, HeteroData

_SELF_EXCLUDED = ("name", "source")


@dataclass(frozen=True, eq=False, repr=False)
class Connectome(Columns):
    r"""A wiring diagram: neurons with their roles, and directed synapses with their kind and count.

    The columns are read-only NumPy arrays with one row per neuron [N] or one row per synapse entry [E]. An entry is an
    ordered pair (pre, post) of one kind with the number of synapses that the source counted. A gap junction has no
    direction: it is two entries of equal count, (u, v) and (v, u). A gap junction of a neuron with itself is one entry.
    :meth:`from_edges` builds a connectome from names, :func:`elegans_gnn.load_connectome` loads a published one.

    Args:
        name: what the graph is called in tables and file names.
        names: [N] unique neuron names; their order is the order of the neuron axis everywhere.
        roles: [N] one of ``sensory``, ``inter``, ``motor``, ``polymodal``, ``unknown``.
        pre: [E] index of the presynaptic neuron.
        post: [E] index of the postsynaptic neuron.
        kinds: [E] ``chemical``, ``gap``, ``merged``, or a further kind of the source.
        counts: [E] number of synapses, an integer >= 0.
        weights: [E] optional finite floats of a user's own graph.
        classes, sides, transmitters, sexes: [N] text, empty where unknown.
        visit_rank: [N] the position of each neuron in the order in which a tensor network visits the neurons.
        source: paper, DOI and licence of the data.

    Raises:
        ValueError: a column has the wrong length, type or value, entries are not sorted by (pre, post, kind) or repeat,
            or a gap junction lacks its other direction.
    """

    @classmethod
    def from_edges(
        cls,
        name: str,
        names: Sequence[str] | NDArray[np.str_],
        pre: ArrayLike,
        post: ArrayLike,
        *,
        kinds: str | ArrayLike = CHEMICAL,
        counts: int | ArrayLike = 1,
        weights: ArrayLike | None = None,
        roles: str | ArrayLike | Mapping[str, str | Iterable[str]] = UNKNOWN,
        **columns: Any,
    ) -> Connectome:
        """Build a connectome from entries in any order; a scalar fills a whole column.

        Gap junctions may be given once each, or all of them in both directions.

        Args:
            name: what the graph is called.
            names: [N] neuron names, in the order of the neuron axis.
            pre, post: [E] neuron names or indices.
            kinds, counts, weights: [E] or a scalar.
            roles: [N], a scalar, or ``{role: names}``, where all other neurons are unknown.
            columns: further columns of :class:`Connectome` (classes, sides, transmitters, sexes, visit_rank, source).
        """
        labels = np.asarray(names, dtype=np.str_)
        sources, targets = _ends("pre", pre, labels), _ends("post", post, labels)
        edges = len(sources)
        if len(targets) != edges:
            raise invalid("post", f"[{edges}] (one per entry of pre)", f"[{len(targets)}]", "give both columns in full")
        if isinstance(roles, Mapping):
            roles = _roles_of(roles, labels)
        entries = {
            "pre": sources,
            "post": targets,
            "kinds": full_column("kinds", kinds, edges, np.str_),
            "counts": full_column("counts", counts, edges),
            "weights": None if weights is None else full_column("weights", weights, edges, np.float64),
        }
        role = full_column("roles", roles, len(labels), np.str_)
        return cls(name=name, names=labels, roles=role, **in_order(both_ways(entries)), **columns)

    @classmethod
    def from_networkx(cls, graph: nx.Graph, *, name: str | None = None, **options: Unpack[Options]) -> Connectome:
        """A connectome from any NetworkX graph; the order of its nodes becomes the neuron axis.

        The name of a neuron is its attribute ``name``, else ``label`` (if every node has one), else its node. The other
        attributes that :func:`to_networkx` writes are read, edges' also under the names of :meth:`from_pandas`; all
        further ones are ignored. Graphs with the attributes of the published Elegans-AI file (``cell_name``,
        ``synapse_type``, ``weight`` as a number of synapses) are read too.

        Args:
            graph: Graph, DiGraph, MultiGraph or MultiDiGraph. An undirected edge becomes an entry in each direction.
            name: title of the result; by default the graph's own.
            attributes: where to read one of our attributes from, such as ``{"weight": "strength"}``;
                ``{"role": None}`` ignores one.
            kind: the kind of edges without one, by default ``chemical``. Undirected edges need it: ``"gap"`` (one
                strength for both directions) or ``"chemical"`` (a synapse each way).
            parallel: ``"refuse"`` or ``"sum"`` several edges of one kind between the same two neurons.
            roles: instead of those of the graph, as in :meth:`from_edges`.

        Raises:
            ValueError: an attribute has a value that its column cannot take; the message says where.
        """
        return cls.from_edges(**_graphs.networkx_columns(graph, name=name, **options))

    @classmethod
    def from_igraph(cls, graph: igraph.Graph, *, name: str | None = None, **options: Unpack[Options]) -> Connectome:
        """A connectome from any igraph graph; attributes, arguments and errors as in :meth:`from_networkx`.

        The name of a vertex without ``name`` or ``label`` is its number.
        """
        return cls.from_edges(**_graphs.igraph_columns(graph, name=name, **options))

    @classmethod
    def from_pandas(
        cls, edges: pd.DataFrame, neurons: pd.DataFrame | None = None, *, name: str = "", **options: Unpack[Options]
    ) -> Connectome:
        """A connectome from a table of edges, and optionally one of neurons, whose order becomes the neuron axis.

        Columns are found by our names or those of the field: ``pre`` (``source``, ``from``, ``pre_id``), ``post``
        (``target``, ``to``, ``post_id``), ``kind`` (``type``), ``count`` (``synapses``, ``n``,
        ``number_of_synapses``), ``weight``; of neurons ``name`` (``neuron``, ``cell``), ``role``, ``class``, ``side``,
        ``transmitter``, ``sex``, ``visit_rank``. A count is a whole number >= 0 (3 or 3.0). A ``weight`` is the count
        if there is no other and all weights are whole and >= 0; else, or if ``attributes={"weight": "weight"}`` says
        so, it is kept as the weights.

        Args:
            edges: one row per entry.
            neurons: one row per neuron; without it the neurons are those of the edges, in natural order.
            name: title of the result.
            attributes, kind, parallel, roles: as in :meth:`from_networkx`; ``pre`` and ``post`` can be assigned too.

        Raises:
            ValueError: a column is missing, unknown or repeated, or a value does not suit its column.
        """
        return cls.from_edges(**_frames.read_columns(edges, neurons, name=name, **options))

    @classmethod
    def from_pyg(
        cls, data: Data | HeteroData, *, name: str | None = None, kind: str = CHEMICAL, roles: Any = None
    ) -> Connectome:
        """A connectome from PyG `Data` or `HeteroData`, from :func:`to_pyg`, :func:`to_pyg_hetero` or elsewhere.

        Without ``names`` the neurons are ``"0"``, ``"1"``, ...; without ``role`` the roles are unknown.
        ``edge_weight``, else an ``edge_attr`` with one column, becomes the weights, ``edge_count`` the counts (or 1).

        Args:
            data: one node type; in `HeteroData` the relation names become the kinds.
            name: title of the result; by default ``data.title``.
            kind: the kind of edges in a `Data` without ``edge_kind``.
            roles: instead of those of the data, as in :meth:`from_edges`.

        Raises:
            ValueError: several node types, parallel edges of one kind, or values that a connectome cannot hold.
        """
        return cls.from_edges(**_pyg.read_columns(data, name=name, kind=kind, roles=roles))

    @classmethod
    def from_scipy(
        cls,
        counts: Any,
        *,
        weights: Any = None,
        kind: str = CHEMICAL,
        like: Connectome | None = None,
        names: Sequence[str] | NDArray[np.str_] | None = None,
        name: str | None = None,
        **columns: Any,
    ) -> Connectome:
        """A connectome from adjacency matrices [N, N] (any SciPy sparse format, or dense), rows presynaptic.

        Every stored entry of a sparse matrix becomes an entry, stored zeros too; of a dense matrix, every non-zero.

        Args:
            counts: a matrix of whole numbers, or ``{kind: matrix}``. Pass measured strengths (other floats) as
                ``weights``, with ``counts=None``.
            weights: like ``counts``, with the same entries; without ``counts`` all counts are 1.
            kind: the kind of a single matrix.
            like: take the name, the source and the columns of the neurons from this connectome.
            names: [N] neuron names; by default those of `like`, else ``"0"``, ``"1"``, ....
            name: title of the result.
            columns: further columns of :meth:`from_edges` (roles, classes, ..., visit_rank, source).

        Raises:
            ValueError: matrices of unequal or non-square shape, counts that are no whole numbers >= 0, weights that
                are not finite, or counts and weights with different entries.
        """
        options: dict[str, Any] = {"weights": weights, "kind": kind, "like": like, "names": names, "name": name}
        return cls.from_edges(**_scipy.read_columns(counts, **options, **columns))

    subset, select, merged = _select.subset, _select.select, _select.merged
    reverse, relabel = _select.reverse, _select.relabel
    diff = _diff.diff

    def rename(self, name: str) -> Connectome:
        """The same graph under another title."""
        return replace(self, name=name)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and strings, for checkpoints and JSON files; :meth:`from_dict` reads them back."""
        plain = {}
        for item in fields(self):
            value = getattr(self, item.name)
            plain[item.name] = value.tolist() if isinstance(value, np.ndarray) else value
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Connectome:
        """Rebuild, and check again, what :meth:`to_dict` wrote."""
        return cls(**plain)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of all columns (not of the title and the source note): equal graphs have equal fingerprints."""
        digest = hashlib.sha256()
        for item in fields(self):
            value = getattr(self, item.name)
            if item.name in _SELF_EXCLUDED:
                continue
            digest.update(f"{item.name}:".encode())
            if value is None:
                continue
            if value.dtype.kind == "U":
                digest.update("\0".join(value.tolist()).encode())
            else:
                digest.update(np.ascontiguousarray(value, dtype=value.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Connectome) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(getattr(self, item.name) for item in fields(self))

    def __repr__(self) -> str:
        roles = ", ".join(f"{role} {n}" for role in ROLES if (n := int((self.roles == role).sum())))
        kinds = ", ".join(f"{kind} {int((self.kinds == kind).sum())}" for kind in self.kind_names)
        return f"Connectome({self.name!r}, neurons={self.num_neurons} ({roles}), edges={self.num_edges} ({kinds}))"


def _ends(argument: str, values: ArrayLike, labels: NDArray[np.str_]) -> NDArray[np.int64]:
    """One end of each entry as indices, from names or indices."""
    array = np.asarray(values)
    if array.dtype.kind == "O":  # a column of pandas
        array = np.array(array.tolist())
    if array.dtype.kind not in "US":
        return integer_column(argument, array, len(array))
    row_of = {str(label): row for row, label in enumerate(labels)}
    names = [str(value) for value in array.tolist()]
    for name in names:
        if name not in row_of:
            raise unknown_name(argument, name, row_of)
    return np.array([row_of[name] for name in names], dtype=np.int64)


def _roles_of(roles: Mapping[str, str | Iterable[str]], labels: NDArray[np.str_]) -> NDArray[np.str_]:
    """[N] from {role: names}."""
    role_of: dict[str, str] = {}
    for role, names in roles.items():
        for name in [names] if isinstance(names, str) else names:
            if name in role_of:
                raise invalid("roles", "one for each neuron", f"{role_of[name]} and {role} for {name}", "keep one")
            role_of[name] = role
    for name in role_of.keys() - {*labels.tolist()}:
        raise unknown_name("roles", name, labels.tolist())
    return np.array([role_of.get(name, UNKNOWN) for name in labels.tolist()], dtype=np.str_)
