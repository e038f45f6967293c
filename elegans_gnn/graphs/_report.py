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

_EMPTY = (np.empty(0, dtype=np.int64),) * 5


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
        values[f"{layer.kind} {'edges' if layer.directed else 'pairs'}"] = layer.num_links
        values[f"{layer.kind} self-loops"] = len(layer.loops)
        values[f"{layer.kind} synapses"] = int(connectome.counts[layer.rows].sum())
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
        return {(row.scope, row.quantity): row for row in self.rows}[scope, quantity]

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
        lines = [("scope", "quantity", "a", "b", "")]
        lines += [(r.scope, r.quantity, f"{r.a:,}", f"{r.b:,}", "=" if r.same else "differs") for r in self.rows]
        scope, quantity, a, b, _ = (max(map(len, column)) for column in zip(*lines, strict=True))
        layout = f"{{:<{scope}}}  {{:<{quantity}}}  {{:>{a}}}  {{:>{b}}}  {{}}"
        return "\n".join([f"a: {self.a}", f"b: {self.b}", *(layout.format(*line).rstrip() for line in lines)])


def match_report(a: Connectome, b: Connectome) -> MatchReport:
    """Compare a connectome with a random graph drawn for it (or any two connectomes).

    Neurons are compared by position; quantities of single neurons appear only where both graphs have as many neurons.
    """
    left, right = ({layer.kind: layer for layer in layers_of(graph)} for graph in (a, b))
    rows = list(_graph_rows(a, b))
    for kind in sorted({*left, *right}):
        empty_a, empty_b = (Layer(kind, graph.num_neurons, *_EMPTY) for graph in (a, b))
        rows += _layer_rows(a, b, left.get(kind, empty_a), right.get(kind, empty_b))
    places = (graph.pre * max(graph.num_neurons, 1) + graph.post for graph in (a, b))
    (merged_a, kinds_a), (merged_b, kinds_b) = (np.unique(place, return_counts=True) for place in places)
    rows.append(_plain("merged", "ordered pairs", len(merged_a), len(merged_b)))
    rows.append(_plain("merged", "pairs of several kinds", int((kinds_a > 1).sum()), int((kinds_b > 1).sum())))
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
    yield _plain(kind, "synapses", int(a.counts[left.rows].sum()), int(b.counts[right.rows].sum()))
    yield _multiset(kind, "counts alike", a.counts[left.rows], b.counts[right.rows])
    if a.weights is not None and b.weights is not None:
        yield _multiset(kind, "weights alike", a.weights[left.rows], b.weights[right.rows])
    if left.directed:
        yield _plain(kind, "mutual pairs", *(int(np.isin(*layer.places).sum()) // 2 for layer in (left, right)))
    blocks_a, blocks_b = _role_blocks(a, left), _role_blocks(b, right)
    used = (blocks_a[0] > 0) | (blocks_b[0] > 0)
    for source, target in np.argwhere(used).tolist():
        name = f"{ROLES[source]} {'->' if left.directed else '-'} {ROLES[target]}"
        yield _plain(kind, name, *(int(blocks[0, source, target]) for blocks in (blocks_a, blocks_b)))
    if a.num_neurons != b.num_neurons:
        return
    for end, degree in (("out-", "pre"), ("in-", "post")) if left.directed else (("", "pre"),):
        for what, weighted in (("degrees", False), ("strengths", True)):
            one, other = (_per_neuron(graph, kind, degree, weighted) for graph in (a, b))
            yield _alike(kind, f"{end}{what} alike", len(one), int((one == other).sum()))
    for quantity, same in zip(("role blocks", "role blocks, synapses"), blocks_a == blocks_b, strict=True):
        yield _alike(kind, quantity, int(used.sum()), int(same[used].sum()))
    taken = right.places[:1] if right.directed else right.places
    there = int(np.isin(left.places[0], np.concatenate(taken)).sum())
    yield _alike(kind, "links in place", left.num_links, there, left.num_links == right.num_links)


def _plain(scope: str, quantity: str, a: int, b: int) -> MatchRow:
    return MatchRow(scope, quantity, a, b, a == b)


def _alike(scope: str, quantity: str, total: int, alike: int, comparable: bool = True) -> MatchRow:
    return MatchRow(scope, quantity, total, alike, comparable and total == alike)


def _multiset(scope: str, quantity: str, a: np.ndarray, b: np.ndarray) -> MatchRow:
    values, which = np.unique(np.concatenate([a, b]), return_inverse=True)
    number_a, number_b = (np.bincount(part, minlength=len(values)) for part in (which[: len(a)], which[len(a) :]))
    return _alike(scope, quantity, len(a), int(np.minimum(number_a, number_b).sum()), len(a) == len(b))


def _per_neuron(graph: Connectome, kind: str, end: str, weighted: bool) -> IntArray:
    of_kind = graph.kinds == kind
    totals = np.zeros(graph.num_neurons, dtype=np.int64)
    np.add.at(totals, getattr(graph, end)[of_kind], graph.counts[of_kind] if weighted else 1)
    return totals


def _role_blocks(graph: Connectome, layer: Layer) -> IntArray:
    """[2, R, R] links and synapses from role to role with self-loops; a gap pair counts once, the first role first."""
    role = np.array([ROLES.index(name) for name in graph.roles.tolist()], dtype=np.int64)
    ends = np.stack([role[np.concatenate([end, layer.loops])] for end in (layer.tail, layer.head)])
    source, target = ends if layer.directed else np.sort(ends, axis=0)
    counts, blocks = graph.counts[layer.rows], np.zeros((2, len(ROLES), len(ROLES)), dtype=np.int64)
    np.add.at(blocks[0], (source, target), 1)
    np.add.at(blocks[1], (source, target), counts)
    return blocks
