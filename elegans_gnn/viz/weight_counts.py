"""Learned weights against the synapse counts from electron microscopy."""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from elegans_gnn.errors import invalid
from elegans_gnn.viz._figure import finish, new_figure
from elegans_gnn.viz.edge_weights import per_edge

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from elegans_gnn.connectome import Connectome

_GAP = "gap"
_COLOURS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#9467bd", "#8c564b")


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rho, and the result of its permutation test.

    Args:
        rho: the correlation found.
        expected: the mean of rho over the shuffles: 0, unless shuffling within groups keeps some dependence.
        p: two-sided p-value: the share of shuffles whose rho is at least as far from `expected`, with the data
            themselves counted as one shuffle.
        pairs: number of pairs (x, y).
    """

    rho: float
    expected: float
    p: float
    pairs: int


def rank_correlation(
    x: ArrayLike, y: ArrayLike, *, groups: ArrayLike | None = None, permutations: int = 2000, seed: int = 0
) -> RankCorrelation:
    """Spearman's rank correlation with a permutation test.

    Args:
        x, y: [M] paired values; ties get their mean rank.
        groups: [M] labels. If given, x is shuffled only within each group, so that a difference between groups does not
            count as a correlation. An example: the in-degree of a neuron sets the size of all its initial weights.
        permutations: number of shuffles; p cannot be smaller than 1 / (permutations + 1).
        seed: of the shuffles.

    Raises:
        ValueError: fewer than three pairs, unequal lengths, a constant column, or no permutations.
    """
    first, second = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    labels = np.zeros(len(first), dtype=np.int64) if groups is None else np.unique(groups, return_inverse=True)[1]
    if first.ndim != 1 or first.shape != second.shape or first.shape != labels.shape or len(first) < 3:
        got = f"lengths {len(first)}, {len(second)}, {len(labels)}"
        raise invalid("x, y and groups", "of one length, at least 3", got, "give one value per pair")
    if permutations < 1:
        raise invalid("permutations", ">= 1", permutations, "use 2000")
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        remedy = "equal values have no ranks to compare"
        raise invalid("x and y", "columns with different values", "a constant column", remedy)
    left, right = (ranks / np.linalg.norm(ranks) for ranks in map(_centred_ranks, (first, second)))
    rho = float(left @ right)
    random = np.random.default_rng(seed)
    by_group = np.argsort(labels, kind="stable")
    shuffled = np.empty(permutations)
    for number in range(permutations):
        # Sorting random numbers within each group makes every permutation of the group equally likely.
        order = np.lexsort((random.random(len(labels)), labels))
        shuffled[number] = left[order] @ right[by_group]
    expected = float(shuffled.mean()) if groups is not None else 0.0
    # A shuffle with the same rho must count, even if rounding makes it slightly smaller.
    as_far = np.abs(shuffled - expected) >= abs(rho - expected) - 1e-12
    return RankCorrelation(rho, expected, (int(as_far.sum()) + 1) / (permutations + 1), len(first))


def _centred_ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    ranks: NDArray[np.float64] = rankdata(values)
    return ranks - ranks.mean()


def one_per_synapse(connectome: Connectome) -> NDArray[np.int64]:
    """Indices of edges, one for each parameter: of the two directions of a gap junction only one."""
    return np.flatnonzero((connectome.kinds != _GAP) | (connectome.pre <= connectome.post))


def plot_weight_vs_count(
    connectome: Connectome,
    weights: NDArray[np.floating],
    *,
    initial: NDArray[np.floating] | None = None,
    permutations: int = 2000,
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw the size of each learned weight against the number of synapses counted, one dot per learned parameter.

    Lines connect the medians at each count. The legend gives Spearman's rho for each kind of synapse, with the p-value
    of a permutation test that shuffles the counts among all synapses of that kind. With `initial`, a second panel shows
    the weights before training: a correlation seen there too comes from the initialisation, not from learning.

    Args:
        connectome: the graph.
        weights: [E] or [E, C] in its edge order, such as `conv.edge_weight()`.
        initial: the weights before training, of the same shape.
        permutations: number of shuffles of the test.
        path: file to write the picture to, if given.
    """
    panels = [("after training", per_edge(connectome, weights))]
    if initial is not None:
        panels.insert(0, ("before training", per_edge(connectome, initial)))
    figure = new_figure(5.2 * len(panels), 4.4)
    all_axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (title, values) in zip(all_axes, panels, strict=True):
        _draw_counts(axes, connectome, np.abs(values), permutations)
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xlabel("synapses counted (spread slightly to the sides)")
    all_axes[0].set_ylabel("size of the weight |w|")
    return finish(figure, path)


def _draw_counts(axes: Axes, connectome: Connectome, sizes: NDArray[np.float64], permutations: int) -> None:
    chosen = one_per_synapse(connectome)
    jitter = np.random.default_rng(0).uniform(-0.12, 0.12, len(chosen))
    for kind, colour in zip(connectome.kind_names, cycle(_COLOURS), strict=False):
        of_kind = connectome.kinds[chosen] == kind
        counts, size = connectome.counts[chosen][of_kind], sizes[chosen][of_kind]
        if len(counts) >= 3 and np.ptp(counts) and np.ptp(size):
            found = rank_correlation(counts, size, permutations=permutations)
            label = f"{kind}: n = {found.pairs}, rho = {found.rho:+.3f}, p = {found.p:.2g}"
        else:
            label = f"{kind}: n = {len(counts)}"
        # A count of zero (an edge known only to exist) is drawn at 0.5 on the logarithmic axis.
        shown = np.maximum(counts, 0.5)
        axes.scatter(shown * (1 + jitter[of_kind]), size, s=4, alpha=0.25, linewidths=0, color=colour)
        steps = [count for count in np.unique(shown) if (shown == count).sum() >= 5]
        medians = [np.median(size[shown == count]) for count in steps]
        axes.plot(steps, medians, "o-", color=colour, markersize=4, linewidth=1.2, label=label)
    axes.set_xscale("log")
    most = int(connectome.counts.max(initial=1))
    ticks = [tick for tick in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000) if tick <= most]
    axes.set_xticks(ticks, map(str, ticks))
    axes.minorticks_off()
    if connectome.num_edges:
        axes.legend(loc="upper right", fontsize=8, frameon=True, title="median where n >= 5", title_fontsize=8)
