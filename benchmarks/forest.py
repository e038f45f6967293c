"""A picture of a comparison: the difference of each row from the first, with its interval."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
from comparisons import Comparison
from tables import Run, gaps_of, interval, label_of, runs_by_row

# A row farther away than this many times the median distance is written at the edge, so that the axis stays short.
_FAR = 20
_DOT, _SEED, _LINE = "#1f5f8b", "#9bbdd4", "#888888"


def draw(comparison: Comparison, record: Sequence[Run], path: Path, steps: int | None = None) -> None:
    """Draw the differences of all rows from the first: pale dots for the seeds, a mean and its 95 % interval above."""
    runs = runs_by_row(comparison, record, steps)
    first = next(iter(comparison.rows))
    gaps = {row: -gaps_of(runs[first], found) for row, found in runs.items() if row != first}
    gaps = {row: values for row, values in gaps.items() if len(values) > 1}
    distances = sorted(abs(values.mean()) for values in gaps.values())
    reach = _FAR * distances[len(distances) // 2]
    near = {row: values for row, values in gaps.items() if abs(values.mean()) <= reach}
    figure, axes = plt.subplots(figsize=(8.4, 0.36 * len(gaps) + 1.1), layout="constrained")
    axes.axvline(0, color=_LINE, linewidth=1)
    for height, (row, values) in enumerate(reversed(gaps.items())):
        if row in near:
            low, high = interval(values)
            axes.plot(values, [height - 0.25] * len(values), "o", color=_SEED, markersize=3)
            axes.plot([low, high], [height] * 2, color=_DOT, linewidth=2)
            axes.plot(values.mean(), height, "o", color=_DOT, markersize=6)
        else:
            side = (0.01, "left") if values.mean() < 0 else (0.99, "right")
            text = f"{values.mean():+.2f}, outside the picture"
            axes.text(side[0], height, text, transform=axes.get_yaxis_transform(), ha=side[1], va="center", fontsize=8)
    axes.set_yticks(range(len(gaps)), [label_of(comparison, row) for row in reversed(gaps)])
    axes.set_ylim(-0.6, len(gaps) - 0.4)
    axes.set_xlabel(f"test accuracy, points above {label_of(comparison, first)}")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)
    plt.close(figure)
