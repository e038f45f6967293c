"""The connectome: its frozen, checked columns, and what can be done with them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elegans_gnn.connectome import _select
from elegans_gnn.connectome._columns import Columns, in_order
from elegans_gnn.connectome._diff import ConnectomeDiff, diff
from elegans_gnn.connectome._values import ROLES, full_column, integer_column
from elegans_gnn.errors import invalid, unknown_name

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
        kinds: str | ArrayLike = "chemical",
        counts: int | ArrayLike = 1,
        weights: ArrayLike | None = None,
        roles: str | ArrayLike = "unknown",
        **columns: Any,
    ) -> Connectome:
        """Build a connectome from entries in any order; a scalar fills a whole column.

        Args:
            name: what the graph is called.
            names: [N] neuron names, in the order of the neuron axis.
            pre, post: [E] neuron names or indices.
            kinds, counts, weights: [E] or a scalar.
            roles: [N] or a scalar.
            columns: further columns of :class:`Connectome` (classes, sides, transmitters, sexes, visit_rank, source).
        """
        labels = np.asarray(names, dtype=np.str_)
        sources, targets = _ends("pre", pre, labels), _ends("post", post, labels)
        edges = len(sources)
        if len(targets) != edges:
            raise invalid("post", f"[{edges}] (one per entry of pre)", f"[{len(targets)}]", "give both columns in full")
        entries = {
            "pre": sources,
            "post": targets,
            "kinds": full_column("kinds", kinds, edges, np.str_),
            "counts": full_column("counts", counts, edges),
            "weights": None if weights is None else full_column("weights", weights, edges, np.float64),
        }
        role = full_column("roles", roles, len(labels), np.str_)
        return cls(name=name, names=labels, roles=role, **in_order(entries), **columns)

    def subset(self, neurons: ArrayLike) -> Connectome:
        """The induced graph on some neurons (indices or a mask [N]); neurons and visit ranks keep their order."""
        return _select.subset(self, np.asarray(neurons))

    def select(
        self,
        *,
        roles: str | Iterable[str] | None = None,
        kinds: str | Iterable[str] | None = None,
        names: Iterable[str] | None = None,
        component: str | None = None,
    ) -> Connectome:
        """The part of the graph that meets all given conditions.

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

        Each neuron keeps its visit rank, so the visiting order does not change.
        """
        return _select.relabel(self, np.asarray(order))

    def diff(self, other: Connectome) -> ConnectomeDiff[Connectome]:
        """The differences from another connectome: neurons, roles, edges, counts, weights, slipped labels."""
        return diff(self, other)

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
    if array.dtype.kind not in "US":
        return integer_column(argument, array, len(array))
    row_of = {str(label): row for row, label in enumerate(labels)}
    names = [str(value) for value in array.tolist()]
    for name in names:
        if name not in row_of:
            raise unknown_name(argument, name, row_of)
    return np.array([row_of[name] for name in names], dtype=np.int64)
