"""Tables of a comparison: means, spreads, and differences from the first row with intervals and a verdict in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from comparisons import TRIALS, Comparison, trial_of
from scipy import stats

Run = Mapping[str, Any]

# Differences are tested for the first figure of a task.
FIGURES = {"autoencoder": ("accuracy", "f1", "bce", "ssim"), "classifier": ("accuracy", "cross_entropy")}
# Figures by which trials are ranked.
_CHOOSE_BY = {"autoencoder": ("accuracy", "bce"), "classifier": ("accuracy", "cross_entropy")}
_LEVEL = 0.95


def print_table(comparison: Comparison, record: Sequence[Run], steps: int | None = None) -> None:
    """Print the comparison as Markdown, without runs whose settings are not the comparison's."""
    runs = runs_by_row(comparison, record, steps)
    if not runs:
        print("no runs yet")
        return
    names = FIGURES[comparison.task]
    heads = [*map(_heading, names), "parameters", "that train", "MFLOP per image", "s", "n"]
    print("| | " + " | ".join(heads) + " |")
    print("|---" * (len(heads) + 1) + "|")
    for row, found in runs.items():
        figures = [_figure(name, [run["test"][name] for run in found]) for name in names]
        seconds = float(np.median([run["training_seconds"] for run in found]))
        sizes = [f"{size:,}" for size in size_of(comparison, row)]
        print(f"| {label_of(comparison, row)} | {' | '.join([*figures, *sizes, f'{seconds:.0f}', str(len(found))])} |")
    pca = next((run["pca"] for found in runs.values() for run in found if run.get("pca")), None)
    if pca is not None:
        print(f"| PCA | {' | '.join(_figure(name, [pca[name]]) for name in names)} | | | | | |")
    first = next(iter(comparison.rows))
    others = [row for row in runs if row != first] if first in runs else []
    print(f"\n{len(others)} intervals of {100 * _LEVEL:.0f} % each, so that one in twenty misses:\n")
    for row in others:
        print(f"- {difference(comparison, runs[first], runs[row], first, row)}")


def print_trials(comparison: Comparison, record: Sequence[Run]) -> None:
    """Print the validation figures of every trial, with the best trial of each row in bold."""
    print("| validation | " + " | ".join(TRIALS) + " |")
    print("|---" * (len(TRIALS) + 1) + "|")
    for row, found in trials_by_row(comparison, record).items():
        best = best_trial(comparison.task, found)
        cells = []
        for trial, figures in found.items():
            cell = " / ".join(_figure(name, [figures[name]]) for name in _CHOOSE_BY[comparison.task])
            cells.append(f"**{cell}**" if trial == best else cell)
        print(f"| {label_of(comparison, row)} | {' | '.join(cells)} |")


def trials_by_row(comparison: Comparison, record: Sequence[Run]) -> dict[str, dict[str, dict[str, float]]]:
    """Validation figures by tuned row and trial, averaged over the seeds of the trials."""
    runs = runs_by_row(comparison.trials(), record)
    return {
        row: {
            trial: {
                name: float(np.mean([run["validation"][name] for run in runs[trial_of(row, trial)]]))
                for name in _CHOOSE_BY[comparison.task]
            }
            for trial in TRIALS
        }
        for row in comparison.tuned
        if all(trial_of(row, trial) in runs for trial in TRIALS)
    }


def best_trial(task: str, trials: Mapping[str, Mapping[str, float]]) -> str:
    """The trial with the highest accuracy; among equals, the one with the smallest loss."""
    accuracy, loss = _CHOOSE_BY[task]
    return max(trials, key=lambda trial: (trials[trial][accuracy], -trials[trial][loss]))


def runs_by_row(comparison: Comparison, record: Sequence[Run], steps: int | None = None) -> dict[str, list[Run]]:
    """The runs with exactly this comparison's settings, by row and in the order of their seeds."""
    found: dict[str, list[Run]] = {}
    for row in comparison.rows:
        mine = [run for run in record if run["row"] == row]
        mine = [r for r in mine if present(r["settings"]) == comparison.settings(row, r["settings"]["seed"], steps)]
        if mine:
            found[row] = sorted(mine, key=lambda run: run["settings"]["seed"])
    return found


def present(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Recorded settings by their present names: the seed of a wiring was once called graph_seed."""
    seed = "wiring_seed" if "wiring" in settings else "graph_seed"
    return {seed if name == "graph_seed" else name: value for name, value in settings.items()}


def difference(comparison: Comparison, ours: Sequence[Run], theirs: Sequence[Run], first: str, row: str) -> str:
    """The paired difference of accuracy over the common seeds, its interval, and a verdict in words."""
    gaps = gaps_of(ours, theirs)
    label, reference = label_of(comparison, row), label_of(comparison, first)
    if len(gaps) < 2:
        return f"{reference} and {label}: fewer than two seeds in common, no interval"
    low, high = interval(gaps)
    if low > 0:
        words = f"{reference} is better"
    elif high < 0:
        words = f"{label} is better"
    else:
        words = "no difference shown"
    return f"{reference} minus {label}: {gaps.mean():+.3f} points [{low:+.3f}, {high:+.3f}] (n = {len(gaps)}): {words}"


def gaps_of(ours: Sequence[Run], theirs: Sequence[Run]) -> np.ndarray:
    """Accuracy of our runs minus that of theirs, in percentage points, for each common seed."""
    a, b = ({run["settings"]["seed"]: 100 * run["test"]["accuracy"] for run in runs} for runs in (ours, theirs))
    return np.array([a[seed] - b[seed] for seed in sorted(a.keys() & b.keys())])


def interval(gaps: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Student's 95 % interval for the mean of paired differences."""
    values = np.asarray(gaps, dtype=float)
    reach = float(stats.t.ppf((1 + _LEVEL) / 2, len(values) - 1)) * values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean() - reach), float(values.mean() + reach)


def size_of(comparison: Comparison, row: str) -> tuple[int, int, float]:
    """Number of parameters, number of trained ones, and million floating-point operations per image."""
    from elegans_gnn.datasets import DATA
    from elegans_gnn.models.flops import count_flops
    from elegans_gnn.training import AutoencoderConfig, ClassifierConfig
    from elegans_gnn.training.prepare import build, graph_of, needs_graph

    config_class = AutoencoderConfig if comparison.task == "autoencoder" else ClassifierConfig
    config = config_class.preset(**comparison.settings(row, 0))
    size = DATA[config.data.data].shape[1]
    classes = {"num_classes": 10} if comparison.task == "classifier" else {}
    graph = graph_of(config) if needs_graph(config) else None
    model = build(config, graph, {"in_channels": 1, "image_size": size, **classes})
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    flops = count_flops(model, 1, 1, size, size)
    return sum(p.numel() for p in model.parameters()), trained, round(flops / 1e6, 1)


def label_of(comparison: Comparison, row: str) -> str:
    """The title of a row in tables and pictures."""
    return comparison.labels.get(row, row)


def _heading(name: str) -> str:
    return f"{name} %" if name == "accuracy" else name.replace("_", " ")


def _figure(name: str, values: Sequence[float]) -> str:
    scaled = 100 * np.array(values) if name == "accuracy" else np.array(values)
    digits = 3 if name == "accuracy" else 4
    spread = f" ± {scaled.std(ddof=1):.{digits}f}" if len(scaled) > 1 else ""
    return f"{scaled.mean():.{digits}f}{spread}"
