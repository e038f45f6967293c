"""The connectome: a frozen, validated, columnar table of neurons and synapses."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elegans_gnn.connectome import _select
from elegans_gnn.connectome._validate import (
    ROLES,
    as_index,
    check_edges,
    check_neurons,
    float_column,
    full_column,
    integer_column,
    text_column,
)
from elegans_gnn.errors import invalid, unknown_name

if TYPE_CHECKING:
    from elegans_gnn.connectome._diff import ConnectomeDiff

_NEURON_TEXT = ("roles", "classes", "sides", "transmitters", "sexes")
_SELF_EXCLUDED = ("name", "source")
# Default of columns whose length only __post_init__ knows; it leaves none of them as None.
_FILLED_LATER: Any = None


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that counts digits as numbers: DA1, DA2, ..., DA9, DA10."""
    parts = re.findall(r"\d+|\D+", name)
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts)


def plain_name(name: str) -> str:
    """The name without leading zeros, as the tables have it: DD06 -> DD6."""
    return re.sub(r"(?<=[A-Za-z])0+(?=[0-9])", "", name)


@dataclass(frozen=True, eq=False, repr=False)
class Connectome:
    r"""A wiring diagram: neurons with their roles, and directed synapses with their kind and count.

    The columns are NumPy arrays of equal length, read-only, one row a neuron [N] or one row a synapse entry [E].
    An entry is an ordered pair (pre, post) of one kind with the number of synapses the source counted. A gap junction
    has no direction and stands as two entries of equal count, (u, v) and (v, u); a gap junction of a neuron with itself
    stands as one. Use :meth:`from_edges` to build one from names, :func:`elegans_gnn.load_connectome` for a published
    one.

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
        visit_rank: [N] the position of each neuron in the order in which a tensor network visits them.
        source: paper, DOI and licence of the data.

    Raises:
        ValueError: a column has the wrong length, type or value, entries are not sorted by (pre, post, kind) or repeat,
            or a gap junction lacks its other direction.
    """

    name: str
    names: NDArray[np.str_]
    roles: NDArray[np.str_]
    pre: NDArray[np.int64]
    post: NDArray[np.int64]
    kinds: NDArray[np.str_]
    counts: NDArray[np.int64]
    weights: NDArray[np.float64] | None = None
    classes: NDArray[np.str_] = _FILLED_LATER
    sides: NDArray[np.str_] = _FILLED_LATER
    transmitters: NDArray[np.str_] = _FILLED_LATER
    sexes: NDArray[np.str_] = _FILLED_LATER
    visit_rank: NDArray[np.int64] = _FILLED_LATER
    source: str = ""

    def __post_init__(self) -> None:
        size = len(self.names)
        columns: dict[str, Any] = {"names": text_column("names", self.names, size)}
        for column in _NEURON_TEXT:
            given = getattr(self, column)
            columns[column] = text_column(column, np.full(size, "") if given is None else given, size)
        edges = len(self.pre)
        columns["pre"] = integer_column("pre", self.pre, edges)
        columns["post"] = integer_column("post", self.post, edges)
        columns["kinds"] = text_column("kinds", self.kinds, edges)
        columns["counts"] = integer_column("counts", self.counts, edges)
        if self.weights is not None:
            columns["weights"] = float_column("weights", self.weights, edges)
        rank = np.arange(size) if self.visit_rank is None else self.visit_rank
        columns["visit_rank"] = integer_column("visit_rank", rank, size)
        for column, values in columns.items():
            values.flags.writeable = False
            object.__setattr__(self, column, values)
        check_neurons(self)
        check_edges(self)

    @classmethod
    def from_edges(
        cls,
        name: str,
        names: Sequence[str] | NDArray[np.str_],
        pre: ArrayLike,
        post: ArrayLike,
        *,
        kinds: str | ArrayLike = "chemical",
        counts: int | ArrayLike = 1,
        weights: ArrayLike | None = None,
        roles: str | ArrayLike = "unknown",
        **columns: Any,
    ) -> Connectome:
        """Build a connectome from entries in any order; scalars stand for a whole column.

        Args:
            name: what the graph is called.
            names: [N] neuron names, in the order wanted for the neuron axis.
            pre, post: [E] neuron names or indices.
            kinds, counts, weights: [E] or a scalar.
            roles: [N] or a scalar.
            columns: further columns of :class:`Connectome` (classes, sides, transmitters, sexes, visit_rank, source).
        """
        labels = np.asarray(names, dtype=np.str_)
        sources, targets = as_index("pre", pre, labels), as_index("post", post, labels)
        size, edges = len(labels), len(sources)
        if len(targets) != edges:
            raise invalid("post", f"[{edges}] (one per entry of pre)", f"[{len(targets)}]", "give both columns in full")
        kind = full_column("kinds", kinds, edges, np.str_)
        count = full_column("counts", counts, edges)
        weight = None if weights is None else full_column("weights", weights, edges, np.float64)
        order = np.lexsort((kind, targets, sources))
        return cls(
            name=name,
            names=labels,
            roles=full_column("roles", roles, size, np.str_),
            pre=sources[order],
            post=targets[order],
            kinds=kind[order],
            counts=count[order],
            weights=None if weight is None else weight[order],
            **columns,
        )

    @property
    def num_neurons(self) -> int:
        """N, the length of the neuron axis."""
        return len(self.names)

    @property
    def num_edges(self) -> int:
        """E, the number of directed entries (a gap junction between two neurons counts twice)."""
        return len(self.pre)

    @property
    def edge_index(self) -> NDArray[np.int64]:
        """[2, E] row 0 the presynaptic, row 1 the postsynaptic neuron: PyG's source and target."""
        return np.stack([self.pre, self.post])

    @property
    def kind_names(self) -> tuple[str, ...]:
        """The kinds of synapse present, sorted."""
        return tuple(str(kind) for kind in np.unique(self.kinds))

    @property
    def wired(self) -> NDArray[np.bool_]:
        """[N] whether a neuron has at least one synapse."""
        has_synapse = np.zeros(self.num_neurons, dtype=bool)
        has_synapse[self.pre] = True
        has_synapse[self.post] = True
        return has_synapse

    @cached_property
    def _index_of(self) -> dict[str, int]:
        return {str(name): position for position, name in enumerate(self.names)}

    def index(self, names: str | Iterable[str]) -> NDArray[np.int64]:
        """Indices of neurons by name, in the order asked for; DD06 finds DD6 where no neuron is called DD06.

        Raises:
            ValueError: a name is unknown; the message names the nearest one.
        """
        given = [names] if isinstance(names, str) else [str(name) for name in names]
        wanted = [name if name in self._index_of else plain_name(name) for name in given]
        missing = [name for name in wanted if name not in self._index_of]
        if missing:
            raise unknown_name("names", given[wanted.index(missing[0])], sorted(self._index_of, key=natural_key))
        return np.array([self._index_of[name] for name in wanted], dtype=np.int64)

    def role_index(self, role: str) -> NDArray[np.int64]:
        """Indices of the neurons of one role, ascending (possibly none)."""
        if role not in ROLES:
            raise unknown_name("role", role, ROLES)
        return np.flatnonzero(self.roles == role)

    def subset(self, neurons: ArrayLike) -> Connectome:
        """The induced graph on some neurons (indices or a mask [N]), in their present order, visit ranks closed up."""
        return _select.subset(self, np.asarray(neurons))

    def select(
        self,
        *,
        roles: str | Iterable[str] | None = None,
        kinds: str | Iterable[str] | None = None,
        names: Iterable[str] | None = None,
        component: str | None = None,
    ) -> Connectome:
        """The part of the graph that meets all conditions given.

        Args:
            roles: keep the neurons of these roles.
            kinds: keep the entries of these kinds (and all neurons).
            names: keep these neurons.
            component: after the other conditions, keep the largest ``"weak"`` or ``"strong"`` component.
        """
        return _select.select(self, roles=roles, kinds=kinds, names=names, component=component)

    def merged(self) -> Connectome:
        """One entry per ordered pair: counts and weights of all kinds added up, kind ``merged``."""
        return _select.merged(self)

    def relabel(self, order: ArrayLike) -> Connectome:
        """The same graph with its neuron axis permuted: neuron i of the result is neuron ``order[i]`` of this one.

        Visit ranks travel with their neurons, so whatever depends on the visiting order is unchanged.
        """
        return _select.relabel(self, np.asarray(order))

    def diff(self, other: Connectome) -> ConnectomeDiff:
        """What differs from another connectome: neurons, roles, edges, counts, weights, slipped labels."""
        from elegans_gnn.connectome._diff import diff

        return diff(self, other)

    def rename(self, name: str) -> Connectome:
        """The same graph under another title."""
        return replace(self, name=name)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and strings, as checkpoints and JSON files hold it; :meth:`from_dict` reads it back."""
        plain = {}
        for item in fields(self):
            value = getattr(self, item.name)
            plain[item.name] = value.tolist() if isinstance(value, np.ndarray) else value
        return plain

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Connectome:
        """Rebuild (and validate again) what :meth:`to_dict` wrote."""
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
