"""What the tensor network's operators run: plans, stages, programs of visits, and the settings that go with them.

A program loads values into slots, works on the slots in place and exports copies of them. An instruction is
(code, target slot or exported row, source slot, edge, wavefront); the codes are in `elegans_gnn.ops.codes`:

    OP_FUSE        s_v <- s_u + s_v, or s_u * s_v: a fused arrival over an edge
    OP_ADD         s_v <- s_v + the result of a unit that is applied again
    OP_UNIT_INPUT  export an input of the next stage's units
    OP_CARRY       export a value that a later program loads
    OP_FINISHED    export the final state of an output neuron

Within a wavefront all reads come before all writes, and exports come last.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

# Of all the normalisations of a tensor network.
EPS = 1e-5

# What a forward pass leaves for its backward pass: nothing, the values between stages, or the arguments of the
# activations as well.
KEEP_NOTHING, KEEP_BOUNDARIES, KEEP_ARGUMENTS = range(3)


@dataclass(frozen=True, eq=False)
class Stage:
    """One grouped product of units, then one program of visits.

    Stage 0 applies the units to the network's input (or to the plan's ``inputs``), the others to what the program
    before exported for them. Equal units are neighbours.
    """

    neurons: NDArray[np.int64]  # [n] whose units are applied
    normed: int  # the first so many units are followed by the norm; the others are re-applied units, without it
    loads: NDArray[np.int32]  # [S, 2] (FROM_INPUT, FROM_CARRY or FROM_UNITS; row) of each slot's first content
    code: NDArray[np.int32]  # [T, 5] instructions
    exports: tuple[int, int, int]  # numbers of exported rows: unit inputs, carry, finished states
    loads_input: bool  # whether the program loads the network's input

    @property
    def sizes(self) -> StageSizes:
        """The numbers that the operators need."""
        return StageSizes(len(self.neurons), self.normed, *self.exports, int(self.loads_input))


@dataclass(frozen=True, eq=False)
class Plan:
    """The stages in order, and what goes in and out."""

    stages: tuple[Stage, ...]
    outputs: NDArray[np.int64]  # [M] the output neurons in the order in which the stages finish their states
    inputs: NDArray[np.int64]  # [n] the neuron whose earlier state each unit of stage 0 takes; -1: the network's input
    carried: NDArray[np.int64]  # the neurons that start with a state from before

    @property
    def num_units(self) -> int:
        """Unit applications, the matrix products of one forward pass."""
        return sum(len(stage.neurons) for stage in self.stages)


class StageSizes(NamedTuple):
    """A stage in numbers; the operators take those of all stages as one list of integers, the layout."""

    units: int
    normed: int
    unit_inputs: int
    carry: int
    finished: int
    loads_input: int


def stage_sizes(layout: list[int]) -> list[StageSizes]:
    """The layout, stage by stage."""
    fields = len(StageSizes._fields)
    return [StageSizes(*layout[begin : begin + fields]) for begin in range(0, len(layout), fields)]


class Arithmetic(NamedTuple):
    """What a fused arrival computes: "add" or "mul", then "none", "layer" (norm) or "rms" (on products only)."""

    fuse: str
    norm: str
    eps: float = EPS

    @property
    def linear(self) -> bool:
        """Whether visits are plain sums, whose gradient needs no state (but with edge weights)."""
        return self.fuse == "add" and self.norm == "none"


class Program(NamedTuple):
    """What a backend runs: loads and code of a stage, on the CPU (see `Stage`); [E] edge weights, or empty; the rest
    as in `Arithmetic`.
    """

    loads: Tensor
    code: Tensor
    edge_weight: Tensor
    fuse: str
    norm: str
    eps: float

    @property
    def stateless(self) -> bool:
        """Whether the gradient needs no states."""
        return Arithmetic(*self[3:]).linear and not self.edge_weight.numel()


class Settings(NamedTuple):
    """The arguments of the dense stages' operators that are not tensors, in the order of the schema."""

    layout: list[int]
    activation: str
    unit_norm: bool
    fuse: str
    norm: str
    eps: float
    keep: int
    backend: str  # of the visits

    @property
    def arithmetic(self) -> Arithmetic:
        """Of the visits."""
        return Arithmetic(self.fuse, self.norm, self.eps)


class StageShapes(NamedTuple):
    """The tensors of one stage, as they lie in memory.

    Products lie as [R, n, F] if the units share their input, otherwise as [n, R, F]; the factor of the norm likewise,
    with one number a unit. Unit inputs [n', R, F] are those of the next stage; the carry is [R, c, F].
    """

    products: tuple[int, int, int]
    factor: tuple[int, int, int]
    unit_inputs: tuple[int, int, int]
    carry: tuple[int, int, int]


def stage_shapes(samples: int, feature: int, first: int, layout: list[int]) -> list[StageShapes]:
    """The shapes, stage by stage; `first` counts the inputs of stage 0."""
    shapes, inputs = [], first
    for size in stage_sizes(layout):
        if inputs == 1:
            products, factor = (samples, size.units, feature), (samples, size.normed, 1)
        else:
            products, factor = (size.units, samples, feature), (size.normed, samples, 1)
        shapes.append(
            StageShapes(products, factor, (size.unit_inputs, samples, feature), (samples, size.carry, feature))
        )
        inputs = size.unit_inputs
    return shapes


def kept_parts(settings: Settings, *, weighted: bool, exact: bool) -> tuple[bool, bool, bool, bool]:
    """Which of a stage's tensors (see `StageShapes`) stay for the backward pass.

    Without edge weights the gradient of a sum needs no states. Factors of a norm that are not `exact`, of the states'
    own dtype, are computed again.
    """
    arguments, boundaries = settings.keep == KEEP_ARGUMENTS, settings.keep != KEEP_NOTHING
    states = weighted or not settings.arithmetic.linear
    return arguments, arguments and settings.unit_norm and exact, boundaries, boundaries and states
