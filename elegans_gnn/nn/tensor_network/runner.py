"""Runs a plan: per stage one grouped product of units, then one program of visits; and plans for sequences."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from elegans_gnn._shapes import Float
from elegans_gnn.nn.tensor_network.plan import make_plan
from elegans_gnn.nn.tensor_network.schedule import Schedule
from elegans_gnn.nn.tensor_network.units import NeuronUnits
from elegans_gnn.ops.visits import (
    ACTIVATIONS,
    KEEP_ARGUMENTS,
    KEEP_BOUNDARIES,
    KEEP_NOTHING,
    Arithmetic,
    NetworkCall,
    Plan,
    Settings,
    run_dense_stages,
    run_program,
)

MERGES = ("last", "mean", "max", "concat")


class PlanRunner(nn.Module):
    """Holds a plan's index tensors (on the module's device, not in its state dict) and runs it.

    Args:
        plan: what to run.
        units: the neurons' units; their parameters belong to the caller's module tree as well.
        arithmetic: what a fused arrival computes.
        unit_norm: whether a first arrival is normalised before the activation.
        activation: applied after the unit: a name in `ACTIVATIONS` or a callable.
        recompute: see :class:`TensorNetwork`.
    """

    rows: Tensor
    inputs: Tensor

    def __init__(
        self,
        plan: Plan,
        units: NeuronUnits,
        arithmetic: Arithmetic,
        *,
        unit_norm: bool,
        activation: str | Callable[[Tensor], Tensor],
        recompute: bool,
    ) -> None:
        super().__init__()
        self.plan, self.arithmetic = plan, arithmetic
        self.unit_norm, self.recompute = unit_norm, recompute
        # In a tuple, so that they are not registered a second time.
        self._shared = (units, ACTIVATIONS[activation].apply if isinstance(activation, str) else activation)
        self._activation = activation if isinstance(activation, str) else None
        self._programs = [(torch.from_numpy(stage.loads), torch.from_numpy(stage.code)) for stage in plan.stages]
        self._layout = [value for stage in plan.stages for value in stage.sizes]
        self._sizes = [len(stage.neurons) for stage in plan.stages]
        rows = np.concatenate([units.row_of[stage.neurons] for stage in plan.stages])
        self._in_order = np.array_equal(rows, np.arange(units.num_units))
        self._index("rows", rows)
        self._runs = [_runs(units.row_of[stage.neurons]) if units.shared else () for stage in plan.stages]
        self._from_input = bool((plan.inputs < 0).all())
        # Row 0 is the input, row v + 1 neuron v's state from before.
        self._index("inputs", plan.inputs + 1)

    def _index(self, name: str, values: NDArray[np.int64]) -> None:
        self.register_buffer(name, torch.from_numpy(values), persistent=False)

    def forward(
        self,
        x: Float[Tensor, "row feature"],
        carried: Float[Tensor, "row neuron feature"] | None,
        edge_weight: Float[Tensor, " edge"] | None,
        size: tuple[int, int] | None,
        backend: str,
    ) -> Float[Tensor, "row output feature"]:
        """The final states of `plan.outputs`. `size` is (H, W) where rows are the pixels of maps."""
        units = self._shared[0]
        simple = not (units.shared or units.diagonal or size is not None or torch.is_autocast_enabled(x.device.type))
        if simple and self._activation is not None:
            return self._run_dense(x, carried, edge_weight, backend)
        first = x.unsqueeze(1)
        nothing = x.new_empty(x.shape[0], 0, x.shape[1])
        carry = nothing if carried is None else carried
        inputs = first if self._from_input else torch.cat([first, carry], 1).index_select(1, self.inputs)
        finished = []
        parameters = units.select(None if self._in_order else self.rows, self._sizes)
        for number, (stage, program) in enumerate(zip(self.plan.stages, self._programs, strict=True)):
            arguments = (inputs, *parameters[number], self._runs[number], stage.normed, size)
            if self.recompute and torch.is_grad_enabled():
                made = checkpoint(self._apply_units, *arguments, use_reentrant=False)
            else:
                made = self._apply_units(*arguments)
            sources = (first if stage.loads_input else nothing, carry, made.to(x.dtype))
            inputs, carry, final = run_program(sources, edge_weight, *program, stage.exports, self.arithmetic, backend)
            finished.append(final)
        return torch.cat(finished, 1)

    def _run_dense(
        self, x: Tensor, carried: Tensor | None, edge_weight: Tensor | None, backend: str
    ) -> Float[Tensor, "row output feature"]:
        """The same for dense units and named activations, in one operator."""
        units = self._shared[0]
        keep = KEEP_NOTHING if not torch.is_grad_enabled() else KEEP_BOUNDARIES if self.recompute else KEEP_ARGUMENTS
        call = NetworkCall(
            x,
            carried,
            units.weight,
            units.bias,
            x.new_empty(0) if edge_weight is None else edge_weight,
            None if self._in_order else self.rows,
            self.inputs[:0] if self._from_input else self.inputs,
            [part for program in self._programs for part in program],
            Settings(self._layout, str(self._activation), self.unit_norm, *self.arithmetic, keep, backend),
        )
        return run_dense_stages(call)

    def _apply_units(
        self,
        inputs: Tensor,
        weight: Any,
        bias: Any,
        runs: tuple[tuple[int, int, int], ...],
        normed: int,
        size: tuple[int, int] | None,
    ) -> Tensor:
        units, activation = self._shared
        made = units.products(inputs, weight, bias, runs, size)
        if not self.unit_norm or normed == 0:
            return activation(made)
        first = activation(F.layer_norm(made[:, :normed], (units.dim,), eps=self.arithmetic.eps))
        return first if normed == made.shape[1] else torch.cat([first, activation(made[:, normed:])], 1)


def _runs(rows: NDArray[np.int64]) -> tuple[tuple[int, int, int], ...]:
    """(row, first, last) of each run of equal rows."""
    runs, first = [], 0
    for row, same in groupby(rows.tolist()):
        count = len(list(same))
        runs.append((row, first, first + count))
        first += count
    return tuple(runs)


def recurrent_plans(
    compile_schedule: Callable[[NDArray[np.bool_] | None], Schedule], groups: NDArray[np.int64]
) -> list[Plan]:
    """Plans for the first, second, ... item of a sequence; the last one is for all further items.

    The neurons that have a state after one item start the next one with it, so more synapses may find a source. The set
    of such neurons only grows, and the plans end when it does not.
    """
    plans: list[Plan] = []
    carried: NDArray[np.bool_] | None = None
    while True:
        schedule = compile_schedule(carried)
        plans.append(make_plan(schedule, groups))
        if carried is not None and np.array_equal(schedule.carried, schedule.defined & (schedule.letters != "S")):
            return plans
        carried = schedule.defined


def scatter_states(
    states: Float[Tensor, "row output feature"], outputs: Tensor, neurons: int
) -> Float[Tensor, "row neuron feature"]:
    """States by neuron number; neurons without one get zeros, which no plan reads."""
    return states.new_zeros(states.shape[0], neurons, states.shape[2]).index_copy(1, outputs, states)


def merge_outputs(outputs: list[Tensor], merge: str) -> Tensor:
    """One result [B, ...] for the outputs of a sequence; "concat" puts them side by side on the feature axis 1."""
    if merge == "last":
        return outputs[-1]
    if merge == "concat":
        return torch.cat(outputs, 1)
    stacked = torch.stack(outputs)
    return stacked.mean(0) if merge == "mean" else stacked.amax(0)
