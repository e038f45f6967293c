"""States that are carried from one item of a sequence to the next."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elegans_gnn._shapes import Float
from elegans_gnn.errors import unknown_name
from elegans_gnn.nn.tensor_network._plan import Plan, make_plan
from elegans_gnn.nn.tensor_network.schedule import Schedule

MERGES = ("last", "mean", "max", "concat")


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


def check_merge(recurrence: str | None) -> None:
    """Refuse unknown names."""
    if recurrence is not None and recurrence not in MERGES:
        raise unknown_name("recurrence", recurrence, MERGES)
