"""The compiler from a connectome and the visiting rules to the visits with an effect, and what runs at the same time.

The rules of the tensor network are a loop over synapses. Which branch of the loop a synapse takes depends on the graph
and on the options only, never on the input, so the loop can be run once, on names instead of tensors:

1. Every visit is resolved to nothing (its source is undefined), a first arrival, a fused arrival or a re-applied unit.
2. Visits that no output depends on are dropped. Under the default order that is more than half of them.
3. What is left gets its dependence depth: a visit waits for the last write of its source and of its target, and may not
   overwrite a state that another visit still reads. Within a depth all reads come before all writes, so a state may be
   overwritten at the depth of its last read. Plain sums commute, so a run of additions into one neuron shares a depth.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elegans_gnn.connectome import Connectome
from elegans_gnn.errors import invalid
from elegans_gnn.nn.tensor_network.rules import (
    DEFAULT_ORDER,
    Phase,
    check_rank,
    parse_order,
    parse_relations,
    role_letters,
)

FIRST, FUSE, REAPPLY = 0, 1, 2
Visit = tuple[int, int, int, int, int]  # edge, source, target, phase, kind


@dataclass(frozen=True, eq=False, repr=False)
class Schedule:
    """The visits that matter, in the order of the rules, each with the depth at which it can run.

    Build one with :meth:`compile`. Arrays over visits have one entry a visit [V].

    Args:
        letters: [N] role letters S, I, M.
        phases: the phases in order.
        edge: [V] index of the synapse among the (merged) edges.
        source, target: [V] neurons.
        phase: [V] index into phases.
        kind: [V] FIRST (the target's unit is applied to the source's state), FUSE or REAPPLY.
        wavefront: [V] dependence depth, 1 for visits that wait for nothing.
        commuting: whether fused arrivals are plain sums, which commute.
        outputs: the defined output neurons, ascending.
        defined: [N] whether the neuron has a state at the end.
        carried: [N] whether the neuron starts with a state from before (see ``recurrence`` of :class:`TensorNetwork`).
        silent: (relation, number) of visited synapses whose source never had a state, hence never did anything.
        unvisited: (relation, number) of synapses in no phase, or ignored.
        fired: number of visits with an effect on some state, before those without effect on the outputs were dropped.
    """

    letters: NDArray[Any]
    phases: tuple[Phase, ...]
    edge: NDArray[np.int64]
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    phase: NDArray[np.int64]
    kind: NDArray[np.int64]
    wavefront: NDArray[np.int64]
    commuting: bool
    outputs: NDArray[np.int64]
    defined: NDArray[np.bool_]
    carried: NDArray[np.bool_]
    silent: tuple[tuple[str, int], ...]
    unvisited: tuple[tuple[str, int], ...]
    fired: int

    @classmethod
    def compile(
        cls,
        connectome: Connectome,
        *,
        order: str | Sequence[str] = DEFAULT_ORDER,
        reapply: Iterable[str] = (),
        ignored_relations: Iterable[str] = (),
        commuting: bool = False,
        outputs: str = "motor",
        visit_rank: ArrayLike | None = None,
        carried: ArrayLike | None = None,
    ) -> Schedule:
        """Run the rules once, symbolically.

        Args:
            connectome, order, reapply, ignored_relations, visit_rank: see :class:`TensorNetwork`.
            commuting: True if a fused arrival is a plain sum (fuse="add" without unit_norm).
            outputs: ``"motor"``: keep what the motor neurons' final states depend on; ``"all"``: what any state does.
            carried: [N] mask of the neurons that already have a state; their first arrival re-applies the unit.

        Raises:
            ValueError: an option is malformed, or no sensory neuron exists, or no motor neuron ever gets a state.
        """
        phases = parse_order(order)
        again = parse_relations("reapply", reapply)
        ignored = parse_relations("ignored_relations", ignored_relations)
        if outputs not in ("motor", "all"):
            raise invalid("outputs", "'motor' or 'all'", repr(outputs), "use 'motor' for what the readout sees")
        graph = connectome if len(connectome.kind_names) < 2 else connectome.merged()
        rank = check_rank(graph.visit_rank if visit_rank is None else visit_rank, graph.num_neurons)
        letters = role_letters(graph.roles)
        before = np.zeros(graph.num_neurons, bool)
        if carried is not None:
            before = np.array(carried, dtype=bool) & (letters != "S")
        relation = np.char.add(letters[graph.pre], letters[graph.post])
        walk = _Walk(letters, before)
        walk.run(graph, relation, rank, phases, again, ignored)
        visited = {name for phase in phases for name in phase.relations} - ignored
        never = Counter(str(name) for name in relation if name not in visited)
        defined = np.array(walk.defined, dtype=bool)
        _check_reached(letters, defined, phases)
        wanted = defined if outputs == "all" else defined & (letters == "M")
        return cls(
            letters=letters,
            phases=phases,
            **_columns(_live(walk.visits, wanted), graph.num_neurons, commuting),
            commuting=commuting,
            outputs=np.flatnonzero(wanted),
            defined=defined,
            carried=before,
            silent=_silent(walk, relation),
            unvisited=tuple(sorted(never.items())),
            fired=len(walk.visits),
        )

    @property
    def num_visits(self) -> int:
        """Visits that the outputs depend on."""
        return len(self.edge)

    @property
    def num_wavefronts(self) -> int:
        """Length of the longest chain of dependent visits."""
        return int(self.wavefront.max(initial=0))

    @cached_property
    def widths(self) -> NDArray[np.int64]:
        """[W] visits in each wavefront."""
        return np.bincount(self.wavefront, minlength=self.num_wavefronts + 1)[1:]

    @property
    def num_silent(self) -> int:
        """Visits without a source state."""
        return sum(count for _, count in self.silent)

    def summary(self) -> str:
        """A table of phases and wavefronts for people."""
        lines = [f"{'phase':<8}{'visits':>8}{'first':>8}{'fused':>8}{'reapplied':>11}{'wavefronts':>14}"]
        for position, phase in enumerate(self.phases):
            inside = self.phase == position
            counts = [int((inside & (self.kind == kind)).sum()) for kind in (FIRST, FUSE, REAPPLY)]
            depth = self.wavefront[inside]
            span = f"{depth.min()}-{depth.max()}" if len(depth) else "-"
            lines.append(f"{phase.name:<8}{sum(counts):>8}{counts[0]:>8}{counts[1]:>8}{counts[2]:>11}{span:>14}")
        widest, mean = int(self.widths.max(initial=0)), float(self.widths.mean()) if len(self.widths) else 0.0
        lines += [
            f"{self.num_visits} visits in {self.num_wavefronts} wavefronts (widest {widest}, mean {mean:.1f})",
            f"{self.fired - self.num_visits} further visits change states that no output depends on, and are dropped",
            f"visits without a source state: {_relation_counts(self.silent)}",
            f"synapses in no phase or ignored: {_relation_counts(self.unvisited)}",
            f"output neurons with a state: {len(self.outputs)}",
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return (
            f"Schedule(visits={self.num_visits}, wavefronts={self.num_wavefronts}, phases={len(self.phases)}, "
            f"silent={self.num_silent}, outputs={len(self.outputs)})"
        )


class _Walk:
    """The loop of the rules, with a flag in place of each state."""

    def __init__(self, letters: NDArray[Any], carried: NDArray[np.bool_]) -> None:
        self.fresh = (letters == "S").tolist()
        self.due = carried.tolist()
        self.defined = ((letters == "S") | carried).tolist()
        self.visits: list[Visit] = []
        self.without_source: list[int] = []

    def run(
        self,
        graph: Connectome,
        relation: NDArray[Any],
        rank: NDArray[np.int64],
        phases: tuple[Phase, ...],
        again: frozenset[str],
        ignored: frozenset[str],
    ) -> None:
        """Visit the synapses phase by phase, by the rank of the source, then of the target."""
        by_rank = np.lexsort((rank[graph.post], rank[graph.pre]))
        for position, phase in enumerate(phases):
            wanted = [name for name in phase.relations if name not in ignored]
            for edge in by_rank[np.isin(relation[by_rank], wanted)].tolist():
                self.visit(edge, int(graph.pre[edge]), int(graph.post[edge]), position, relation[edge] in again)

    def visit(self, edge: int, source: int, target: int, phase: int, reapply: bool) -> None:
        if not self.defined[source]:
            self.without_source.append(edge)
            return
        if self.fresh[target] or not self.defined[target]:
            kind = FIRST
        else:
            kind = REAPPLY if reapply or self.due[target] else FUSE
        self.defined[target], self.fresh[target], self.due[target] = True, False, False
        self.visits.append((edge, source, target, phase, kind))


def _live(visits: list[Visit], wanted: NDArray[np.bool_]) -> list[Visit]:
    """The visits that the final states of the wanted neurons depend on, in the same order."""
    needed = wanted.tolist()
    kept = []
    for visit in reversed(visits):
        _, source, target, _, kind = visit
        if needed[target]:
            kept.append(visit)
            # A first arrival overwrites: what the target was before it does not matter.
            needed[target] = kind != FIRST
            needed[source] = True
    return kept[::-1]


def _columns(visits: list[Visit], neurons: int, commuting: bool) -> dict[str, NDArray[np.int64]]:
    """Visits as arrays by field, with their depths."""
    waves = Wavefronts(neurons, commuting)
    depths = [waves.visit(source, target, first=kind == FIRST) for _, source, target, _, kind in visits]
    table = np.array(visits, dtype=np.int64).reshape(-1, 5).T
    columns = dict(zip(("edge", "source", "target", "phase", "kind"), table, strict=True))
    return columns | {"wavefront": np.array(depths, dtype=np.int64)}


class Wavefronts:
    """The earliest depth of each visit; see the top of this file for what waits for what.

    Args:
        places: neurons, or slots of a program, all undefined or with their state from the start.
        commuting: whether fused arrivals are plain sums.

    Attributes:
        ready: depth at which the present state of a place is complete.
        opened: earliest depth at which the present run of additions may write.
        last_read: deepest read of the present state, 0 if nothing has read it yet.
    """

    def __init__(self, places: int, commuting: bool) -> None:
        self.commuting = commuting
        self.ready, self.opened, self.last_read = [0] * places, [0] * places, [0] * places

    def visit(self, u: int, v: int, *, first: bool = False) -> int:
        """The depth of a visit from u to v, after all visits before it; `first`: what v was does not matter."""
        ready, opened, last_read = self.ready, self.opened, self.last_read
        if first:
            # What the target was before is the input or nothing, and the input is kept apart: no need to wait for
            # readers.
            depth = ready[u] + 1
            ready[v], opened[v], last_read[v] = depth, depth + 1, 0
        elif self.commuting:
            if last_read[v]:
                opened[v], last_read[v] = last_read[v], 0
            depth = max(ready[u] + 1, opened[v])
            ready[v] = max(ready[v], depth)
            if u == v:
                opened[v] = depth
        else:
            depth = max(ready[u] + 1, ready[v] + 1, last_read[v])
            ready[v], last_read[v] = depth, 0
        if u != v:
            last_read[u] = max(last_read[u], depth)
        return depth


def _silent(walk: _Walk, relation: NDArray[Any]) -> tuple[tuple[str, int], ...]:
    """Synapses that were visited and never found a state at their source."""
    fired = {visit[0] for visit in walk.visits}
    never = sorted(set(walk.without_source) - fired)
    return tuple(sorted(Counter(str(relation[edge]) for edge in never).items()))


def _relation_counts(counts: tuple[tuple[str, int], ...]) -> str:
    return ", ".join(f"{relation} {count}" for relation, count in counts) or "none"


def _check_reached(letters: NDArray[Any], defined: NDArray[np.bool_], phases: tuple[Phase, ...]) -> None:
    order = ", ".join(phase.name for phase in phases)
    if not (letters == "S").any():
        raise invalid("connectome", "a graph with sensory neurons", "none", "set the role 'sensory' on the inputs")
    if not (defined & (letters == "M")).any():
        got = f"none of {int((letters == 'M').sum())} reached"
        remedy = f"add a phase to order={order!r} that leads to M, or check the roles"
        raise invalid("connectome", "a graph whose signals reach a motor neuron", got, remedy)
