"""Pictures of a comparison of graphs, from plain arrays."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from elegans_gnn.viz._figure import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array = NDArray[np.float64]
_COLOURS = (
    "#1f77b4",
    "#ff7f0e",
    "#2ca02c",
    "#9467bd",
    "#8c564b",
    "#e377c2",
    "#7f7f7f",
    "#bcbd22",
    "#17becf",
    "#d62728",
)
_MARGIN_COLOUR = "#dddddd"


def plot_differences(
    labels: Sequence[str], differences: Array, low: Array, high: Array, *, margin: float, metric: str
) -> Figure:
    """Forest plot: the difference [C] of each comparison with its interval, and the margin of equivalence as a band."""
    figure = new_figure(7.2, 1.1 + 0.32 * len(labels))
    axes = figure.subplots()
    places = np.arange(len(labels))[::-1]
    axes.axvspan(-margin, margin, color=_MARGIN_COLOUR, label="margin of equivalence")
    axes.axvline(0, color="black", linewidth=0.8)
    axes.errorbar(
        differences, places, xerr=[differences - low, high - differences], fmt="o", capsize=3, color="#1f77b4"
    )
    axes.set_yticks(places, labels)
    axes.set_ylim(-0.6, len(labels) - 0.4)
    axes.set_xlabel(f"difference of {metric}, graph minus opponents")
    figure.legend(loc="outside lower left", frameon=False, fontsize=8)
    return figure


def plot_scores(groups: Mapping[str, Array], *, metric: str) -> Figure:
    """Dot plot: scores [G, S] of the graphs of each group by seed (small) and on average (large).

    Grey lines join the scores of one seed from group to group (the mean over its graphs): the pairs.
    """
    figure = new_figure(max(4.0, 1.5 + 1.2 * len(groups)), 4.2)
    axes = figure.subplots()
    by_seed = np.array([_column_means(values) for values in groups.values()])
    axes.plot(np.arange(len(groups)), by_seed, color="#bbbbbb", linewidth=0.7, zorder=0)
    for place, (values, colour) in enumerate(zip(groups.values(), cycle(_COLOURS), strict=False)):
        spots = values[np.isfinite(values)]
        sides = np.random.default_rng(0).uniform(-0.12, 0.12, len(spots))
        axes.scatter(place + sides, spots, s=8, alpha=0.4, color=colour, linewidths=0)
        means = np.array([row[np.isfinite(row)].mean() for row in values if np.isfinite(row).any()])
        axes.scatter(np.full(len(means), place), means, s=34, facecolors="none", edgecolors=colour)
    axes.set_xticks(np.arange(len(groups)), groups, rotation=20, ha="right", fontsize=8)
    axes.set_ylabel(metric)
    return figure


def plot_curves(curves: Mapping[str, Array], *, name: str) -> Figure:
    """Learning curves: the mean of [runs, T] for each group, with a band from the 10th to the 90th percentile."""
    figure = new_figure(6.4, 4.0)
    axes = figure.subplots()
    for (label, values), colour in zip(curves.items(), cycle(_COLOURS), strict=False):
        steps = np.arange(1, values.shape[1] + 1)
        low, high = np.percentile(values, (10, 90), axis=0)
        axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
        axes.plot(steps, values.mean(0), color=colour, label=f"{label} (n = {len(values)})")
    axes.set_xlabel("entry of the curve")
    axes.set_ylabel(name)
    axes.legend(fontsize=8, frameon=False)
    return figure


def plot_along(places: Array, means: Array, low: Array, high: Array, *, axis: str, metric: str) -> Figure:
    """Curve: the mean score [C] of each group at its place on an axis, with its interval."""
    order = np.argsort(places)
    places, means, low, high = places[order], means[order], low[order], high[order]
    figure = new_figure(5.6, 3.8)
    axes = figure.subplots()
    axes.fill_between(places, low, high, color="#1f77b4", alpha=0.15, linewidth=0)
    axes.errorbar(places, means, yerr=[means - low, high - means], fmt="o-", capsize=3, color="#1f77b4")
    axes.set_xlabel(axis)
    axes.set_ylabel(metric)
    return figure


def plot_variance(labels: Sequence[str], graphs: Array, seeds: Array) -> Figure:
    """Bars: the variance of the score between graphs and between seeds, [C] each."""
    figure = new_figure(6.4, 1.2 + 0.32 * len(labels))
    axes = figure.subplots()
    places = np.arange(len(labels))[::-1]
    axes.barh(places, graphs, color="#1f77b4", label="between graphs")
    axes.barh(places, seeds, left=graphs, color="#ff7f0e", label="between seeds")
    axes.set_yticks(places, labels)
    axes.set_xlabel("variance of the score")
    axes.legend(fontsize=8, frameon=False)
    return figure


def plot_regressions(
    names: Sequence[str], values: Array, scores: Array, kinds: Sequence[str], *, metric: str
) -> Figure:
    """Score [G] against each statistic [G, P] of the graphs, with the line of least squares and its 95 % band."""
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = new_figure(3.1 * columns, 2.7 * rows)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    colours = dict(zip(dict.fromkeys(kinds), cycle(_COLOURS), strict=False))
    for axes, name, column in zip(panels, names, values.T, strict=False):
        for kind, colour in colours.items():
            chosen = np.array([item == kind for item in kinds])
            axes.scatter(column[chosen], scores[chosen], s=10, alpha=0.6, color=colour, linewidths=0, label=kind)
        _draw_line(axes, column, scores)
        axes.set_xlabel(name, fontsize=9)
    panels[0].set_ylabel(metric)
    for axes in panels[len(names) :]:
        axes.set_visible(False)
    figure.legend(
        *panels[0].get_legend_handles_labels(), loc="outside lower center", fontsize=8, ncols=4, frameon=False
    )
    return figure


def _draw_line(axes: Axes, x: Array, y: Array) -> None:
    kept = np.isfinite(x)
    if kept.sum() < 4 or np.ptp(x[kept]) == 0:
        return
    x, y = x[kept], y[kept]
    line = stats.linregress(x, y)
    along = np.linspace(x.min(), x.max(), 50)
    rest = y - line.intercept - line.slope * x
    error = np.sqrt((rest**2).sum() / (len(x) - 2))
    band = stats.t.ppf(0.975, len(x) - 2) * error
    band = band * np.sqrt(1 / len(x) + (along - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum())
    fit = line.intercept + line.slope * along
    axes.plot(along, fit, color="black", linewidth=1)
    axes.fill_between(along, fit - band, fit + band, color="black", alpha=0.12, linewidth=0)


def svg_text(figure: Figure) -> str:
    """The picture as an SVG element, for a page that holds everything itself; the same picture gives the same text."""
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "elegans_gnn", "svg.fonttype": "none"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return re.sub(r"^.*?(?=<svg)", "", buffer.getvalue(), flags=re.DOTALL)


def _column_means(values: Array) -> Array:
    """Mean of each column over what is finite, NaN where nothing is."""
    run = np.isfinite(values)
    number = run.sum(0)
    total = np.where(run, values, 0.0).sum(0)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)
