"""From the schedule to what the runner runs: stages of one grouped product of units and one program of visits.

Only the units are expensive, and only they are worth batching, so visits are cut by the number of units on the longest
path to them. Stage k applies the units whose source is k units deep (one grouped product), then runs the fused arrivals
that depend on them. On the worm's graph that is 4 stages. A program loads values into slots, works on the slots in
place, and exports copies: the inputs of the next stage's units, in their order; the carry, which is whatever a later
program loads; and the final states of output neurons. So every tensor between stages has exactly one consumer, and its
gradient is one dense tensor, without a sum of several.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elegans_gnn.nn.tensor_network.schedule import FIRST, FUSE, Schedule, Wavefronts
from elegans_gnn.ops.codes import (
    FROM_CARRY,
    FROM_INPUT,
    FROM_UNITS,
    OP_ADD,
    OP_CARRY,
    OP_FINISHED,
    OP_FUSE,
    OP_UNIT_INPUT,
)
from elegans_gnn.ops.visits import Plan, Stage


def make_plan(schedule: Schedule, unit_of: NDArray[np.int64]) -> Plan:
    """Cut a schedule into stages; equal numbers in `unit_of` [N] share a unit, so that equal products are done once."""
    return _Planner(schedule, unit_of).plan()


@dataclass
class _Step:
    """A visit in terms of values: versions of states, and results of re-applied units (the negative numbers)."""

    visit: int
    read: int
    replaced: int
    made: int
    level: int

    @property
    def added(self) -> int:
        """The value that a re-applied unit gives."""
        return -1 - self.visit


class _Planner:
    def __init__(self, schedule: Schedule, unit_of: NDArray[np.int64]) -> None:
        self.schedule, self.unit_of = schedule, unit_of
        self.kind = schedule.kind.tolist()
        self.level = [0]  # of each version: the number of units on the longest path to it; version 0 is the input
        self.before: dict[int, int] = {}  # versions that were there at the start, and their neurons
        self.steps: list[_Step] = []
        self._number_versions()
        self.depth = max((step.level for step in self.steps), default=1)

    def _number_versions(self) -> None:
        """Give every write a version of its own; fresh sensory neurons share version 0."""
        schedule = self.schedule
        current = [0] * len(schedule.letters)
        for neuron in np.flatnonzero(schedule.carried).tolist():
            current[neuron] = len(self.level)
            self.before[len(self.level)] = neuron
            self.level.append(0)
        columns = (schedule.source.tolist(), schedule.target.tolist(), self.kind)
        for visit, (source, target, kind) in enumerate(zip(*columns, strict=True)):
            read, replaced, made = current[source], current[target], len(self.level)
            level = self.level[read] + (kind != FUSE)
            if kind != FIRST:
                level = max(level, self.level[replaced])
            self.level.append(level)
            self.steps.append(_Step(visit, read, replaced, made, level))
            current[target] = made
        self.final = {current[neuron]: neuron for neuron in schedule.outputs.tolist() if current[neuron]}
        # Sensory neurons that nothing arrived at still hold the input.
        self.untouched = [neuron for neuron in schedule.outputs.tolist() if not current[neuron]]

    def plan(self) -> Plan:
        applied: list[list[_Step]] = [[] for _ in range(self.depth + 1)]
        writes: list[list[_Step]] = [[] for _ in range(self.depth)]
        self.last_load: dict[int, int] = {}  # the last program that loads a value
        self.outputs: list[int] = []
        for step in self.steps:
            kind, number = self.kind[step.visit], step.level - 1
            if kind != FUSE:
                applied[self.level[step.read]].append(step)
            if kind != FIRST:
                writes[number].append(step)
                for value in (step.replaced, step.read if kind == FUSE else step.added):
                    self.last_load[value] = max(self.last_load.get(value, 0), number)
        units = [self._units(steps) for steps in applied]
        stages, place = [], {version: (FROM_CARRY, neuron) for version, neuron in self.before.items()}
        for number in range(self.depth):
            program = _Program(place | units[number].place, self.schedule.commuting)
            unit_inputs = units[number + 1].read
            self._fill(program, number, writes[number], unit_inputs)
            stages.append(program.stage(units[number]))
            place = program.carried
        inputs = [self.before.get(version, -1) for version in units[0].read]
        outputs, carried = np.array(self.outputs, dtype=np.int64), np.flatnonzero(self.schedule.carried)
        return Plan(tuple(stages), outputs, np.array(inputs, dtype=np.int64), carried)

    def _fill(self, program: _Program, number: int, writes: list[_Step], unit_inputs: list[int]) -> None:
        """Write one stage's instructions: each value is exported as soon as it is there, before it is overwritten."""
        rows: dict[int, list[int]] = {}
        for row, version in enumerate(unit_inputs):
            rows.setdefault(version, []).append(row)

        def export(value: int) -> None:
            for row in rows.get(value, ()):
                program.export(OP_UNIT_INPUT, value, row)
            if self.last_load.get(value, 0) > number:
                program.export(OP_CARRY, value)
            if value in self.final:
                program.export(OP_FINISHED, value)
                self.outputs.append(self.final.pop(value))

        for neuron in self.untouched if number == 0 else ():
            program.export(OP_FINISHED, 0)
            self.outputs.append(neuron)
        for value in list(program.place):
            export(value)
        for step in writes:
            fused = self.kind[step.visit] == FUSE
            program.write(step, int(self.schedule.edge[step.visit]), step.read if fused else step.added, fused)
            export(step.made)

    def _units(self, steps: list[_Step]) -> _Units:
        """Sort the unit applications of a stage, do equal ones once, and note the row of each result."""
        target = self.schedule.target
        wanted: dict[tuple[bool, int, int], list[_Step]] = {}
        for step in steps:
            plain = self.kind[step.visit] != FIRST
            wanted.setdefault((plain, int(self.unit_of[target[step.visit]]), step.read), []).append(step)
        found = _Units([], [], {}, 0)
        for row, key in enumerate(sorted(wanted)):
            plain, _, read = key
            found.normed += not plain
            found.read.append(read)
            found.neurons.append(int(target[wanted[key][0].visit]))
            for step in wanted[key]:
                found.place[step.added if plain else step.made] = (FROM_UNITS, row)
        return found


@dataclass
class _Units:
    """The unit applications of a stage: neurons, versions read, places of the results."""

    neurons: list[int]
    read: list[int]
    place: dict[int, tuple[int, int]]
    normed: int


class _Program:
    """Slots, instructions and wavefronts of one stage."""

    def __init__(self, place: dict[int, tuple[int, int]], commuting: bool) -> None:
        self.place = {**place}
        self.waves = Wavefronts(0, commuting)  # of slots
        self.carried: dict[int, tuple[int, int]] = {}  # where the next program finds its values
        self.exported = {OP_UNIT_INPUT: 0, OP_CARRY: 0, OP_FINISHED: 0}
        self.loads: list[tuple[int, int]] = []
        self.code: list[tuple[int, int, int, int, int]] = []
        self.slot: dict[int, int] = {}  # where each value is now

    def _slot_of(self, value: int) -> int:
        if value not in self.slot:
            self.slot[value] = len(self.loads)
            self.loads.append((FROM_INPUT, 0) if value == 0 else self.place[value])
            for column in (self.waves.ready, self.waves.opened, self.waves.last_read):
                column.append(0)
        return self.slot[value]

    def write(self, step: _Step, edge: int, value: int, fused: bool) -> None:
        """Fuse a state into the target's slot, or add the result of a re-applied unit to it."""
        source, target = self._slot_of(value), self._slot_of(step.replaced)
        self.code.append((OP_FUSE if fused else OP_ADD, target, source, edge, self.waves.visit(source, target)))
        del self.slot[step.replaced]
        self.slot[step.made] = target

    def export(self, code: int, value: int, row: int | None = None) -> None:
        """Copy a value out; exports happen at the end of a wavefront, so the next write waits for the one after."""
        slot, waves = self._slot_of(value), self.waves
        if row is None:
            row = self.exported[code]
            if code == OP_CARRY:
                self.carried[value] = (FROM_CARRY, row)
        self.exported[code] += 1
        self.code.append((code, row, slot, -1, waves.ready[slot]))
        waves.last_read[slot] = max(waves.last_read[slot], waves.ready[slot] + 1)

    def stage(self, units: _Units) -> Stage:
        return Stage(
            neurons=np.array(units.neurons, dtype=np.int64),
            normed=units.normed,
            loads=np.array(self.loads, dtype=np.int32).reshape(-1, 2),
            code=np.array(self._in_runs() if self.waves.commuting else self.code, dtype=np.int32).reshape(-1, 5),
            exports=(self.exported[OP_UNIT_INPUT], self.exported[OP_CARRY], self.exported[OP_FINISHED]),
            loads_input=(FROM_INPUT, 0) in self.loads,
        )

    def _in_runs(self) -> list[tuple[int, int, int, int, int]]:
        """Sums commute: put a wavefront's additions into one target side by side, at the place of the first of them.

        The sources of the later ones are complete before the wavefront, and whoever reads the target's old state in
        this wavefront comes before the first addition already.
        """
        first: dict[tuple[int, int], int] = {}
        keys = []
        for position, (code, target, _, _, wave) in enumerate(self.code):
            exports = code not in (OP_FUSE, OP_ADD)
            keys.append((wave, exports, position if exports else first.setdefault((wave, target), position)))
        return [self.code[position] for position in sorted(range(len(keys)), key=keys.__getitem__)]
