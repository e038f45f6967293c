"""The differences between two connectomes: neurons, roles, edges, counts, weights, and slipped labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, Generic

import numpy as np
from numpy.typing import NDArray

from elegans_gnn.connectome._columns import NEURON_COLUMNS, Columns, Graph
from elegans_gnn.connectome._slip import find_slip, undo
from elegans_gnn.connectome._values import plain_name

# Neurons are matched by name; roles and the visiting order have a report of their own.
_ANNOTATIONS = tuple(c.field for c in NEURON_COLUMNS if c.field not in ("names", "roles", "visit_rank"))
_SHOWN = 5

Edge = tuple[str, str, str]


@dataclass(frozen=True)
class LabelSlip(Generic[Graph]):
    """What a shift of names against the wiring would explain.

    Attributes:
        first, last: names at the ends of the run, in the row order of the graph that slipped.
        neurons: length of the run.
        shift: row i of the run carries the wiring of the name `shift` rows further on (the run taken as a ring).
        common_before, common_after: entries that both graphs have, as labelled and with the slip undone.
        roles_misplaced: neurons of the run whose shifted name brings another role.
        repaired: the graph with the slip undone.
        after: its comparison with the other graph.
    """

    first: str
    last: str
    neurons: int
    shift: int
    common_before: int
    common_after: int
    roles_misplaced: int
    repaired: Graph
    after: ConnectomeDiff[Graph]


@dataclass(frozen=True)
class ConnectomeDiff(Generic[Graph]):
    """The differences between graphs `a` and `b`; neurons are matched by name, edges by (pre, post, kind).

    Attributes:
        names: titles of a and b.
        neurons_only: names that only a has, names that only b has.
        roles: (neuron, role in a, role in b).
        annotations: (neuron, column, value in a, value in b) for class, side, transmitter and sex.
        order_differs: whether the common neurons have another order on the neuron axis.
        visit_order_differs: whether they are visited in another order.
        edges_only: edges that only a has, edges that only b has, each (pre, post, kind).
        edges_common: how many edges both have.
        counts: (pre, post, kind, count in a, count in b) of common edges.
        weights: the same for weights; None for a graph without weights.
        label_slip: a shift of a run of a's names that explains most of the missing edges, if there is one.
    """

    names: tuple[str, str]
    neurons_only: tuple[tuple[str, ...], tuple[str, ...]]
    roles: tuple[tuple[str, str, str], ...]
    annotations: tuple[tuple[str, str, str, str], ...]
    order_differs: bool
    visit_order_differs: bool
    edges_only: tuple[tuple[Edge, ...], tuple[Edge, ...]]
    edges_common: int
    counts: tuple[tuple[str, str, str, int, int], ...]
    weights: tuple[tuple[str, str, str, float | None, float | None], ...]
    label_slip: LabelSlip[Graph] | None

    @property
    def identical(self) -> bool:
        """Whether nothing differs."""
        lists = (*self.neurons_only, *self.edges_only, self.roles, self.annotations, self.counts, self.weights)
        return not (any(lists) or self.order_differs or self.visit_order_differs)

    def to_dict(self) -> dict[str, Any]:
        """Plain lists and numbers, for JSON."""
        return {"identical": self.identical} | {item.name: _plain(getattr(self, item.name)) for item in fields(self)}

    def lines(self) -> list[str]:
        """The report, one difference a line."""
        roles = [f"{neuron} {old} | {new}" for neuron, old, new in self.roles]
        annotations = [f"{neuron} {old or '-'} | {new or '-'}" for neuron, _, old, new in self.annotations]
        report = [
            _line(f"neurons only in {self._title(0)}", self.neurons_only[0]),
            _line(f"neurons only in {self._title(1)}", self.neurons_only[1]),
            _line("roles", roles),
            _line("annotations", annotations),
            "the neuron axis is in another order" if self.order_differs else "",
            "neurons are visited in another order" if self.visit_order_differs else "",
            *self.edge_lines(),
        ]
        if self.label_slip is not None:
            report += _slip_lines(self.label_slip)
        return [line for line in report if line]

    def edge_lines(self) -> list[str]:
        """The part of the report about edges, counts and weights."""
        report = [f"edges in common: {self.edges_common:,}"]
        for which, edges in enumerate(self.edges_only):
            report.append(_line(f"edges only in {self._title(which)}", [f"{u} -> {v} {kind}" for u, v, kind in edges]))
        report += [_changes("counts", self.counts), _changes("weights", self.weights)]
        return [line for line in report if line]

    def _title(self, which: int) -> str:
        return self.names[which] if self.names[which] and self.names[0] != self.names[1] else "ab"[which]

    def __str__(self) -> str:
        title = f"{self.names[0]} | {self.names[1]}"
        return f"{title}: identical" if self.identical else "\n  ".join([title, *self.lines()])


def diff(a: Graph, b: Graph) -> ConnectomeDiff[Graph]:
    """Compare two connectomes.

    Neurons are matched by name, also without leading zeros (DD06 and DD6). Where the edges disagree, the rows of `a`
    are searched for a run of names that is shifted against the wiring (graphs of up to 2,000 neurons). The GraphML file
    of the worm that is in circulation has such a shift, by one row from DD6 on.

    >>> from elegans_gnn import load_connectome
    >>> worm = load_connectome("varshney2011")
    >>> print(diff(worm, worm))
    varshney2011 | varshney2011: identical
    """
    return _compare(a, b, look_for_slip=True)


def _compare(a: Graph, b: Graph, *, look_for_slip: bool) -> ConnectomeDiff[Graph]:
    to_b = _matched(a, b)
    in_a = np.flatnonzero(to_b >= 0)
    in_b = to_b[in_a]
    lacking_b = np.setdiff1d(np.arange(b.num_neurons), in_b)
    # Neurons that b lacks get numbers of their own, so that their edges have keys that nothing in b equals.
    place = np.where(to_b >= 0, to_b, b.num_neurons + np.arange(a.num_neurons))
    kinds = np.unique(np.concatenate([a.kinds, b.kinds]))
    base = a.num_neurons + b.num_neurons + len(kinds) + 1
    code_a, code_b = np.searchsorted(kinds, a.kinds), np.searchsorted(kinds, b.kinds)
    # One integer per entry: the base exceeds every index and code.
    keys_a = (place[a.pre] * base + place[a.post]) * base + code_a
    keys_b = (b.pre * base + b.post) * base + code_b
    _, common_a, common_b = np.intersect1d(keys_a, keys_b, assume_unique=True, return_indices=True)
    in_order = np.argsort(common_a)
    common_a, common_b = common_a[in_order], common_b[in_order]
    only_a, only_b = _without(a.num_edges, common_a), _without(b.num_edges, common_b)
    slip = None

    def present(pre: NDArray[np.int64], post: NDArray[np.int64]) -> NDArray[np.bool_]:
        wanted = (pre * base + post) * base + code_a
        at_or_after = np.append(keys_b, -1)[np.searchsorted(keys_b, wanted)]
        return (at_or_after == wanted) & (pre >= 0) & (post >= 0)

    if look_for_slip and len(only_a):
        found = find_slip(a, to_b, present)
        slip = None if found is None else _describe(a, b, len(common_a), *found)
    return ConnectomeDiff(
        names=(a.name, b.name),
        neurons_only=(tuple(a.names[to_b < 0].tolist()), tuple(b.names[lacking_b].tolist())),
        roles=tuple(_changed(a.names[in_a], a.roles[in_a], b.roles[in_b])),
        annotations=tuple(
            (neuron, column, old, new)
            for column in _ANNOTATIONS
            for neuron, old, new in _changed(a.names[in_a], getattr(a, column)[in_a], getattr(b, column)[in_b])
        ),
        order_differs=bool((np.diff(in_b) < 0).any()),
        visit_order_differs=not np.array_equal(np.argsort(a.visit_rank[in_a]), np.argsort(b.visit_rank[in_b])),
        edges_only=(_edges(a, only_a), _edges(b, only_b)),
        edges_common=len(common_a),
        counts=_value_changes(a, common_a, a.counts, common_b, b.counts),
        weights=_value_changes(a, common_a, a.weights, common_b, b.weights),
        label_slip=slip,
    )


def _matched(a: Columns, b: Columns) -> NDArray[np.int64]:
    """[N of a] each neuron's index in b, -1 for none."""
    position = {name: row for row, name in enumerate(b.names.tolist())}
    exact = set(position) & set(a.names.tolist())
    plain: dict[str, list[int]] = {}
    for name, row in position.items():
        if name not in exact:
            plain.setdefault(plain_name(name), []).append(row)
    result, taken = np.full(a.num_neurons, -1), set()
    for row, name in enumerate(a.names.tolist()):
        if name in exact:
            result[row] = position[name]
        elif len(plain.get(plain_name(name), ())) == 1 and plain_name(name) not in taken:
            taken.add(plain_name(name))
            result[row] = plain[plain_name(name)][0]
    return result


def _describe(
    a: Graph, b: Graph, before: int, rows: NDArray[np.int64], start: int, stop: int, shift: int
) -> LabelSlip[Graph]:
    repaired = undo(a, rows)
    after = _compare(repaired, b, look_for_slip=False)
    return LabelSlip(
        first=str(a.names[start]),
        last=str(a.names[stop - 1]),
        neurons=stop - start,
        shift=shift,
        common_before=before,
        common_after=after.edges_common,
        roles_misplaced=int((a.roles != a.roles[rows]).sum()),
        repaired=repaired,
        after=after,
    )


def _without(length: int, taken: NDArray[np.int64]) -> NDArray[np.int64]:
    left = np.ones(length, dtype=bool)
    left[taken] = False
    return np.flatnonzero(left)


def _edges(graph: Columns, entries: NDArray[np.int64]) -> tuple[Edge, ...]:
    names = graph.names
    columns = (names[graph.pre[entries]], names[graph.post[entries]], graph.kinds[entries])
    return tuple(zip(*(column.tolist() for column in columns), strict=True))


def _changed(names: NDArray[np.str_], old: NDArray[np.str_], new: NDArray[np.str_]) -> list[tuple[str, str, str]]:
    differs = old != new
    return list(zip(names[differs].tolist(), old[differs].tolist(), new[differs].tolist(), strict=True))


def _value_changes(
    a: Columns, in_a: NDArray[np.int64], old: NDArray[Any] | None, in_b: NDArray[np.int64], new: NDArray[Any] | None
) -> tuple[tuple[Any, ...], ...]:
    if old is None and new is None:
        return ()
    before = [None] * len(in_a) if old is None else old[in_a].tolist()
    after = [None] * len(in_b) if new is None else new[in_b].tolist()
    triples = _edges(a, in_a)
    return tuple((*edge, was, now) for edge, was, now in zip(triples, before, after, strict=True) if was != now)


def _plain(value: Any) -> Any:
    """Tuples as lists, and a label slip without its repaired graph as a dictionary."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, LabelSlip):
        return {item.name: _plain(getattr(value, item.name)) for item in fields(value) if item.name != "repaired"}
    return value.to_dict() if isinstance(value, ConnectomeDiff) else value


def _line(title: str, items: Iterable[str]) -> str:
    listed = list(items)
    more = f", ... {len(listed) - _SHOWN:,} more" if len(listed) > _SHOWN else ""
    return f"{title}: {len(listed):,} ({', '.join(listed[:_SHOWN])}{more})" if listed else ""


def _changes(title: str, changes: tuple[tuple[Any, ...], ...]) -> str:
    line = _line(title, (f"{pre} -> {post} {kind} {old} | {new}" for pre, post, kind, old, new in changes))
    known = [(old, new) for *_, old, new in changes if old is not None and new is not None]
    if known:
        lower = sum(old < new for old, new in known)
        line += f"; lower in {lower:,}, higher in {len(known) - lower:,}"
    return line


def _slip_lines(slip: LabelSlip[Any]) -> list[str]:
    total = slip.repaired.num_edges
    away = f"{abs(slip.shift)} row{'s' * (abs(slip.shift) > 1)} further {'down' if slip.shift > 0 else 'up'}"
    return [
        f"LABEL SLIP: {slip.neurons} names from {slip.first} to {slip.last} are shifted in a ring: "
        f"each has the wiring of the name {away}",
        f"  edges in common: {slip.common_before:,} of {total:,}, with the shift undone {slip.common_after:,}",
        f"  misplaced roles: {slip.roles_misplaced}",
        *(f"  undone: {line}" for line in slip.after.edge_lines()),
    ]
