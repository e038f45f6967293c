"""Tables of a comparison: means, spreads, and differences from the first row with intervals, also in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from comparisons import Comparison
from scipy import stats

# The first figure of a task is the one whose differences are tested.
FIGURES = {"autoencoder": ("accuracy", "f1", "bce", "ssim"), "classifier": ("accuracy", "cross_entropy")}
_LEVEL = 0.95


def print_table(comparison: Comparison, record: Mapping[str, Any]) -> None:
    """Print the comparison as Markdown."""
    runs = _runs_by_row(comparison, record)
    if not runs:
        print("no runs yet")
        return
    names = FIGURES[comparison.task]
    print("| | " + " | ".join(_heading(name) for name in names) + " | parameters | seconds | n |")
    print("|---" * (len(names) + 4) + "|")
    for row, found in runs.items():
        figures = [_figure(name, [run["test"][name] for run in found]) for name in names]
        parameters = sum(found[0]["parameters"].values())
        seconds = float(np.median([run["training_seconds"] for run in found]))
        print(f"| {_label(comparison, row)} | {' | '.join(figures)} | {parameters:,} | {seconds:.0f} | {len(found)} |")
    first, *others = runs
    print()
    for row in others:
        print(f"- {difference(comparison, runs[first], runs[row], first, row)}")


def difference(
    comparison: Comparison, ours: Sequence[Mapping[str, Any]], theirs: Sequence[Mapping[str, Any]], first: str, row: str
) -> str:
    """The paired difference of accuracy over the seeds both have, its interval, and what follows from it."""
    a, b = ({run["settings"]["seed"]: 100 * run["test"]["accuracy"] for run in runs} for runs in (ours, theirs))
    seeds = sorted(a.keys() & b.keys())
    gaps = np.array([a[seed] - b[seed] for seed in seeds])
    label, reference = _label(comparison, row), _label(comparison, first)
    if len(gaps) < 2:
        return f"{reference} minus {label}: {gaps.mean():+.3f} points, one seed, no interval"
    low, high = interval(gaps)
    if low > 0:
        words = f"{reference} is better"
    elif high < 0:
        words = f"{label} is better"
    else:
        words = "no difference shown"
    return f"{reference} minus {label}: {gaps.mean():+.3f} points [{low:+.3f}, {high:+.3f}] (n = {len(gaps)}): {words}"


def interval(gaps: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Student's 95 % interval for the mean of paired differences."""
    values = np.asarray(gaps, dtype=float)
    reach = float(stats.t.ppf((1 + _LEVEL) / 2, len(values) - 1)) * values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean() - reach), float(values.mean() + reach)


def _runs_by_row(comparison: Comparison, record: Mapping[str, Any]) -> dict[str, list[Mapping[str, Any]]]:
    runs = {row: [run for run in record["runs"] if run["row"] == row] for row in comparison.rows}
    return {row: sorted(found, key=lambda run: run["settings"]["seed"]) for row, found in runs.items() if found}


def _label(comparison: Comparison, row: str) -> str:
    return comparison.labels.get(row, row)


def _heading(name: str) -> str:
    return f"{name} %" if name == "accuracy" else name


def _figure(name: str, values: Sequence[float]) -> str:
    scaled = 100 * np.array(values) if name == "accuracy" else np.array(values)
    digits = 3 if name == "accuracy" else 4
    spread = f" ± {scaled.std(ddof=1):.{digits}f}" if len(scaled) > 1 else ""
    return f"{scaled.mean():.{digits}f}{spread}"
