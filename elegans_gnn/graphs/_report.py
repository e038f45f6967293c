"""Tables of figures: one connectome's summary, and what two connectomes have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from elegans_gnn.connectome import ROLES, Connectome
from elegans_gnn.graphs import statistics
from elegans_gnn.graphs._layers import IntArray, Layer, layers_of

_EMPTY = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Summary:
    """Named figures of one connectome; prints as a table."""

    name: str
    values: Mapping[str, int | float]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; figures that are undefined are None."""
        figures = {quantity: None if value != value else value for quantity, value in self.values.items()}
        return {"name": self.name, "values": figures}

    def __str__(self) -> str:
        cells = {key: f"{value:,}" if isinstance(value, int) else f"{value:.4f}" for key, value in self.values.items()}
        left, right = (max(map(len, column)) for column in (cells, cells.values()))
        return "\n".join([self.name, *(f"{key:<{left}}  {cell:>{right}}" for key, cell in cells.items())])


def summary(connectome: Connectome) -> Summary:
    """Counts by role and kind, and the statistics that need no random graph; definitions as in ``statistics``."""
    values: dict[str, int | float] = {"neurons": connectome.num_neurons, "wired neurons": int(connectome.wired.sum())}
    values |= {f"{role} neurons": number for role in ROLES if (number := len(connectome.role_index(role)))}
    for layer in layers_of(connectome):
        rows = np.concatenate([layer.entry, layer.loop_entry])
        values[f"{layer.kind} {'edges' if layer.directed else 'pairs'}"] = layer.num_links
        values[f"{layer.kind} self-loops"] = len(layer.loops)
        values[f"{layer.kind} synapses"] = int(connectome.counts[rows].sum())
    values["directed entries"] = connectome.num_edges
    values["merged ordered pairs"] = connectome.merged().num_edges
    values["density"] = statistics.density(connectome)
    values["reciprocity"] = statistics.reciprocity(connectome)
    if connectome.num_neurons:
        values["mean degree (in + out)"] = float(statistics.degrees(connectome).mean())
        values["largest degree (in + out)"] = int(statistics.degrees(connectome).max())
        values["mean strength (in + out)"] = float(statistics.strengths(connectome).mean())
    values["largest strong component"] = connectome.select(component="strong").num_neurons
    values["largest weak component"] = connectome.select(component="weak").num_neurons
    values["path length"] = statistics.path_length(connectome)
    values["clustering"] = statistics.clustering(connectome)
    values["homophilic share of links"] = statistics.role_flow(connectome).homophilic
    if len(connectome.role_index("sensory")) and len(connectome.role_index("motor")):
        found = statistics.reach(connectome, 3)
        for step, share in zip(found.steps.tolist(), found.targets.tolist(), strict=True):
            values[f"motor neurons within {step} of a sensory one"] = share
    return Summary(connectome.name, MappingProxyType(values))


@dataclass(frozen=True)
class MatchRow:
    """One quantity of both graphs.

    Args:
        scope: ``graph``, ``merged``, or the kind of synapse.
        quantity: what is compared. "... alike" counts neurons (or links): how many there are in `a`, and how many of
            them have the same value in `b`.
        a, b: its values.
        same: whether it is preserved.
    """

    scope: str
    quantity: str
    a: int
    b: int
    same: bool


@dataclass(frozen=True)
class MatchReport:
    """All rows of a comparison; prints as a table."""

    a: str
    b: str
    rows: tuple[MatchRow, ...]

    def row(self, scope: str, quantity: str) -> MatchRow:
        """One row by name; KeyError where there is none."""
        for row in self.rows:
            if (row.scope, row.quantity) == (scope, quantity):
                return row
        raise KeyError((scope, quantity))

    @property
    def preserved(self) -> tuple[MatchRow, ...]:
        """The rows that are equal."""
        return tuple(row for row in self.rows if row.same)

    @property
    def differing(self) -> tuple[MatchRow, ...]:
        """The rows that are not."""
        return tuple(row for row in self.rows if not row.same)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        head = ("scope", "quantity", "a", "b", "")
        verdict = {True: "=", False: "differs"}
        cells = [(row.scope, row.quantity, f"{row.a:,}", f"{row.b:,}", verdict[row.same]) for row in self.rows]
        width = [max(len(line[column]) for line in (head, *cells)) for column in range(4)]
        lines = [f"a: {self.a}", f"b: {self.b}"]
        for scope, quantity, a, b, outcome in (head, *cells):
            left = f"{scope:<{width[0]}}  {quantity:<{width[1]}}"
            lines.append(f"{left}  {a:>{width[2]}}  {b:>{width[3]}}  {outcome}".rstrip())
        return "\n".join(lines)


def match_report(a: Connectome, b: Connectome) -> MatchReport:
    """Compare a connectome with a random graph drawn for it (or any two connectomes).

    Neurons are compared by position; quantities of single neurons appear only where both graphs have as many neurons.
    """
    left, right = ({layer.kind: layer for layer in layers_of(graph)} for graph in (a, b))
    rows = list(_graph_rows(a, b))
    for kind in sorted({*left, *right}):
        rows += _layer_rows(a, b, left.get(kind) or _empty_layer(kind, a), right.get(kind) or _empty_layer(kind, b))
    merged_a, merged_b = _pairs(a), _pairs(b)
    rows.append(_plain("merged", "ordered pairs", len(merged_a), len(merged_b)))
    shared = (int((np.bincount(np.unique(_places(graph), return_inverse=True)[1]) > 1).sum()) for graph in (a, b))
    rows.append(_plain("merged", "pairs of several kinds", *shared))
    if a.num_neurons == b.num_neurons:
        rows.append(_alike("merged", "pairs in place", len(merged_a), int(np.isin(merged_a, merged_b).sum())))
    return MatchReport(a.name, b.name, tuple(rows))


def _graph_rows(a: Connectome, b: Connectome) -> Iterator[MatchRow]:
    yield _plain("graph", "neurons", a.num_neurons, b.num_neurons)
    for role in ROLES:
        numbers = len(a.role_index(role)), len(b.role_index(role))
        if any(numbers):
            yield _plain("graph", f"{role} neurons", *numbers)
    if a.num_neurons == b.num_neurons:
        yield _alike("graph", "names alike", a.num_neurons, int((a.names == b.names).sum()))
        yield _alike("graph", "visit ranks alike", a.num_neurons, int((a.visit_rank == b.visit_rank).sum()))


def _layer_rows(a: Connectome, b: Connectome, left: Layer, right: Layer) -> Iterator[MatchRow]:
    kind = left.kind
    yield _plain(kind, "links", left.num_links, right.num_links)
    yield _plain(kind, "self-loops", len(left.loops), len(right.loops))
    rows_a, rows_b = (np.concatenate([layer.entry, layer.loop_entry]) for layer in (left, right))
    yield _plain(kind, "synapses", int(a.counts[rows_a].sum()), int(b.counts[rows_b].sum()))
    yield _multiset(kind, "counts alike", a.counts[rows_a], b.counts[rows_b])
    if a.weights is not None and b.weights is not None:
        yield _multiset(kind, "weights alike", a.weights[rows_a], b.weights[rows_b])
    if left.directed:
        yield _plain(kind, "mutual pairs", _mutual(left), _mutual(right))
    if a.num_neurons != b.num_neurons:
        return
    for end, degree in (("out-", "pre"), ("in-", "post")) if left.directed else (("", "pre"),):
        for what, weighted in (("degrees", False), ("strengths", True)):
            one, other = (_per_neuron(graph, kind, degree, weighted) for graph in (a, b))
            yield _alike(kind, f"{end}{what} alike", len(one), int((one == other).sum()))
    for quantity, weighted in (("role blocks", False), ("role blocks, synapses", True)):
        one, other = _role_blocks(a, kind, weighted), _role_blocks(b, kind, weighted)
        used = (one > 0) | (other > 0)
        yield _alike(kind, quantity, int(used.sum()), int((one == other)[used].sum()))
    places = np.isin(left.tail * left.size + left.head, _both_ways(right))
    yield _alike(kind, "links in place", left.num_links, int(places.sum()), left.num_links == right.num_links)


def _plain(scope: str, quantity: str, a: int, b: int) -> MatchRow:
    return MatchRow(scope, quantity, a, b, a == b)


def _alike(scope: str, quantity: str, total: int, alike: int, comparable: bool = True) -> MatchRow:
    return MatchRow(scope, quantity, total, alike, comparable and total == alike)


def _multiset(scope: str, quantity: str, a: np.ndarray, b: np.ndarray) -> MatchRow:
    values, which = np.unique(np.concatenate([a, b]), return_inverse=True)
    number_a, number_b = (np.bincount(part, minlength=len(values)) for part in (which[: len(a)], which[len(a) :]))
    return _alike(scope, quantity, len(a), int(np.minimum(number_a, number_b).sum()), len(a) == len(b))


def _empty_layer(kind: str, graph: Connectome) -> Layer:
    return Layer(kind, graph.num_neurons, _EMPTY, _EMPTY, _EMPTY, _EMPTY, _EMPTY)


def _mutual(layer: Layer) -> int:
    forward, backward = layer.tail * layer.size + layer.head, layer.head * layer.size + layer.tail
    return int(np.isin(forward, backward).sum()) // 2


def _both_ways(layer: Layer) -> IntArray:
    forward, backward = layer.tail * layer.size + layer.head, layer.head * layer.size + layer.tail
    return forward if layer.directed else np.concatenate([forward, backward])


def _per_neuron(graph: Connectome, kind: str, end: str, weighted: bool) -> IntArray:
    of_kind = graph.kinds == kind
    totals = np.zeros(graph.num_neurons, dtype=np.int64)
    np.add.at(totals, getattr(graph, end)[of_kind], graph.counts[of_kind] if weighted else 1)
    return totals


def _role_blocks(graph: Connectome, kind: str, weighted: bool) -> IntArray:
    of_kind = graph.kinds == kind
    role = np.array([ROLES.index(name) for name in graph.roles.tolist()], dtype=np.int64)
    blocks = np.zeros((len(ROLES), len(ROLES)), dtype=np.int64)
    ends = role[graph.pre[of_kind]], role[graph.post[of_kind]]
    np.add.at(blocks, ends, graph.counts[of_kind] if weighted else 1)
    return blocks


def _places(graph: Connectome) -> IntArray:
    return graph.pre * max(graph.num_neurons, 1) + graph.post


def _pairs(graph: Connectome) -> IntArray:
    return np.unique(_places(graph))
