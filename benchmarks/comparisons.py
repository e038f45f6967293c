"""What is compared: one recipe shared by all rows, and what each row changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

GRAPHS = ("erdos-renyi", "barabasi-albert", "watts-strogatz", "degree-preserving")


@dataclass(frozen=True)
class Comparison:
    """Rows that differ from the first one by the settings named here.

    Args:
        task: autoencoder or classifier.
        shared: settings of all rows.
        rows: changes by row; the first row is the one the others are held against.
        seeds: 0, 1, ... of every row; random graphs are drawn anew for each.
        labels: how a row is called in tables, where its name does not say it.
    """

    task: str
    shared: Mapping[str, Any]
    rows: Mapping[str, Mapping[str, Any]]
    seeds: int = 5
    labels: Mapping[str, str] = field(default_factory=dict)

    def settings(self, row: str, seed: int, steps: int | None = None) -> dict[str, Any]:
        """Everything one run is told."""
        changes = dict(self.rows[row])
        if changes.get("graph") or changes.get("model") == "randomly-wired":
            changes["graph_seed"] = seed
        if "data" in self.shared and self.shared["data"] == "digits":
            changes["fold"] = seed
        budget = {} if steps is None else {"steps": steps}
        return {**self.shared, **changes, **budget, "seed": seed}


_CORES: dict[str, dict[str, Any]] = {
    "worm": {},
    **{graph: {"graph": graph} for graph in GRAPHS},
    "frozen": {"core": "frozen"},
    "random linear": {"core": "random"},
    "learned dense": {"core": "dense"},
    "no core": {"core": "none"},
    "no synapses": {"core": "silent"},
    "tensor network": {"core": "tensor-network", "channels": 8},
    "reservoir": {"core": "reservoir", "channels": 8},
}

COMPARISONS = {
    "cores": Comparison(
        "autoencoder",
        {"steps": 1000},
        _CORES,
        labels={
            "worm": "worm (varshney2011)",
            "frozen": "worm, core frozen as drawn",
            "random linear": "random linear map, frozen",
            "learned dense": "learned dense linear map",
            "no core": "no core: encoder read directly",
            "no synapses": "worm, all synapses silent",
            "tensor network": "worm as a tensor network",
            "reservoir": "worm as a frozen tensor network",
        },
    ),
    "autoencoders": Comparison(
        "autoencoder",
        {"steps": 1000},
        {"worm": {}, **{model: {"model": model} for model in ("mlp", "conv", "attention")}},
    ),
    "classifiers": Comparison("classifier", {"data": "mnist5k"}, {}),
    "digits": Comparison("classifier", {"data": "digits"}, {}),
}
