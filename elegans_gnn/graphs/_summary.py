"""One page on a connectome."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from elegans_gnn.connectome import ROLES, Connectome
from elegans_gnn.graphs import statistics
from elegans_gnn.graphs._layers import take_apart


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
    for layer in take_apart(connectome):
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
