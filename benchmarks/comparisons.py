"""The comparisons: a recipe shared by all rows, the changes of each row, and the trials that choose its rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

FOLDS = 5
RATES = ("learning_rate", "muon_learning_rate")
# Trials of every tuned row: the factor of both learning rates, and other changes.
TRIALS: dict[str, tuple[float, dict[str, Any]]] = {
    "as given": (1, {}),
    "rates / 3": (1 / 3, {}),
    "rates x 3": (3, {}),
    "rates x 10": (10, {}),
    "no augmentation": (1, {"augment": "none"}),
    "no augmentation, rates x 10": (10, {"augment": "none"}),
}
GRAPHS = ("erdos-renyi", "barabasi-albert", "watts-strogatz", "degree-preserving")


@dataclass(frozen=True)
class Comparison:
    """Rows that differ from the first one by the settings named here.

    Args:
        task: autoencoder or classifier.
        shared: settings of all rows.
        rows: changes by row; the others are compared with the first row.
        seeds: number of seeds for every row; each draws its own random graph.
        first_seed: the first seed; the others follow it.
        labels: titles of rows in tables, for rows whose name is not their title.
        tuned: the rows that have their own trials.
        chosen: the trial whose settings a row uses, if not "as given"; rows without trials use those of a similar row.
    """

    task: str
    shared: Mapping[str, Any]
    rows: Mapping[str, Mapping[str, Any]]
    seeds: int = 5
    labels: Mapping[str, str] = field(default_factory=dict)
    first_seed: int = 0
    tuned: tuple[str, ...] = ()
    chosen: Mapping[str, str] = field(default_factory=dict)

    def settings(self, row: str, seed: int, steps: int | None = None) -> dict[str, Any]:
        """All settings of one run."""
        changes = dict(self.rows[row])
        if row in self.chosen:
            changes |= self._trial(changes, self.chosen[row])
        if "graph" in changes:
            changes["graph_seed"] = seed
        if "wiring" in changes:
            changes["wiring_seed"] = seed
        if self.shared.get("data") == "digits":
            changes["fold"] = seed % FOLDS
        budget = {} if steps is None else {"steps": steps}
        return {**self.shared, **changes, **budget, "seed": seed}

    def trials(self) -> Comparison:
        """The trials of all tuned rows, with a seed that no reported figure uses."""
        rows: dict[str, dict[str, Any]] = {}
        for row in self.tuned:
            for trial in TRIALS:
                rows[trial_of(row, trial)] = {**self.rows[row], **self._trial(self.rows[row], trial)}
        return replace(self, rows=rows, seeds=1, first_seed=100, tuned=(), chosen={})

    def _trial(self, changes: Mapping[str, Any], trial: str) -> dict[str, Any]:
        """The settings that a trial changes in a row."""
        factor, others = TRIALS[trial]
        usual = self.configuration(changes)
        return {**{name: usual.settings()[name] * factor for name in RATES}, **others}

    def configuration(self, changes: Mapping[str, Any]) -> Any:
        """The shared recipe with these changes, as a configuration."""
        from elegans_gnn.training import AutoencoderConfig, ClassifierConfig

        kind = AutoencoderConfig if self.task == "autoencoder" else ClassifierConfig
        return kind.preset(**{**self.shared, **changes})


def trial_of(row: str, trial: str) -> str:
    """The name of a trial in records."""
    return f"{row}: {trial}"


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

# One recipe for all rows: the headline's, with fewer steps.
_RECONSTRUCTION = {"name": "headline", "steps": 400, "validate_every": 100, "ema": 0.998}

_WIRINGS = {f"randomly wired, {wiring}": {"model": "randomly-wired", "wiring": wiring} for wiring in ("er", "ba", "ws")}
_CLASSIFIERS: dict[str, dict[str, Any]] = {
    "worm": {},
    "rewired": {"graph": "degree-preserving"},
    "no core": {"core": "none"},
    "vit": {"model": "vit"},
    "resnet": {"model": "resnet"},
    **_WIRINGS,
    "logistic": {"model": "logistic"},
}
_TUNED = ("worm", "vit", "resnet", "randomly wired, ws", "logistic")
_LABELS = {
    "worm": "worm (varshney2011)",
    "erdos-renyi": "Erdős-Rényi",
    "barabasi-albert": "Barabási-Albert",
    "watts-strogatz": "Watts-Strogatz",
    "degree-preserving": "worm, rewired with its degrees",
    "rewired": "worm, rewired with its degrees",
    "frozen": "worm, core frozen as drawn",
    "random linear": "random linear map, frozen",
    "learned dense": "learned dense linear map",
    "no core": "no core: encoder read directly",
    "no synapses": "worm, all synapses silent",
    "tensor network": "worm as a tensor network",
    "reservoir": "worm as a frozen tensor network",
    "mlp": "MLP autoencoder",
    "conv": "convolutional autoencoder",
    "attention": "attention autoencoder",
    "vit": "small ViT",
    "resnet": "ResNet",
    "randomly wired, er": "randomly wired, Erdős-Rényi",
    "randomly wired, ba": "randomly wired, Barabási-Albert",
    "randomly wired, ws": "randomly wired, Watts-Strogatz",
    "logistic": "logistic regression",
}


def _choose(worm: str, vit: str, resnet: str, wired: str, logistic: str) -> dict[str, str]:
    """The chosen trials of the tuned rows, and of the rows that use the same settings."""
    following = {**dict.fromkeys(("worm", "rewired", "no core"), worm), **dict.fromkeys(_WIRINGS, wired)}
    return {**following, "vit": vit, "resnet": resnet, "logistic": logistic}


COMPARISONS = {
    # All rows use the learning rates that are best for the worm.
    "cores": Comparison(
        "autoencoder", _RECONSTRUCTION, _CORES, labels=_LABELS, chosen=dict.fromkeys(_CORES, "rates x 10")
    ),
    "cores-as-given": Comparison(
        "autoencoder",
        _RECONSTRUCTION,
        {row: changes for row, changes in _CORES.items() if row not in ("tensor network", "reservoir")},
        labels=_LABELS,
    ),
    "autoencoders": Comparison(
        "autoencoder",
        _RECONSTRUCTION,
        {"worm": {}, **{model: {"model": model} for model in ("mlp", "conv", "attention")}},
        labels=_LABELS,
        tuned=("worm", "mlp", "conv", "attention"),
        chosen={"worm": "rates x 10", "conv": "rates x 3"},
    ),
    "classifiers": Comparison(
        "classifier",
        {"name": "demo", "data": "mnist5k", "steps": 500},
        _CLASSIFIERS,
        seeds=3,
        labels=_LABELS,
        tuned=_TUNED,
        chosen=_choose(
            worm="rates x 3",
            vit="as given",
            resnet="rates x 10",
            wired="as given",
            logistic="no augmentation, rates x 10",
        ),
    ),
    "digits": Comparison(
        "classifier",
        {"name": "demo", "data": "digits"},
        _CLASSIFIERS,
        labels=_LABELS,
        tuned=_TUNED,
        chosen=_choose(
            worm="rates x 3",
            vit="rates x 3",
            resnet="rates x 3",
            wired="rates x 10",
            logistic="no augmentation, rates x 10",
        ),
    ),
}
