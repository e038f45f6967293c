"""Tests for one graph against many: plain arrays in, frozen results out.

`original` [S] holds the scores of the graph in question, one for each seed; `nulls` [K, S] those of K random graphs,
NaN where a graph did not run with a seed. The graph is the unit and the seeds are nested in it: more seeds for the same
graphs narrow down what these graphs can do, and say nothing about other graphs of their kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from elegans_gnn.errors import invalid, require

Array = NDArray[np.float64]
Verdict = Literal["supported", "contradicted", "equivalent", "undecided"]
RESAMPLES = 9_999
# Differences of equal scores that are left over by rounding, relative to the scores.
_ROUNDING = 1e-12
_QUANTILES = (np.arange(40) + 0.5) / 40


@dataclass(frozen=True)
class Evidence:
    """What the scores of one graph and of its opponents say.

    Args:
        difference: mean score of the graph minus the mean over its opponents.
        interval: bootstrap interval of the difference, of level 1 - alpha.
        p_value: :func:`graph_test` against random graphs, :func:`sign_flip_test` against a single opponent.
        p_rank: :func:`rank_test`; None against a single opponent.
        p_seeds: :func:`sign_flip_test` over the seeds.
        p_equivalence: :func:`equivalence_test`.
        effect_size: the difference in standard deviations of the random graphs (of the pairs, with one opponent).
        graph_variance, seed_variance: :func:`variance_split` of the random graphs; NaN against a single opponent.
        num_graphs, num_seeds: number of opponents and of seeds.
    """

    difference: float
    interval: tuple[float, float]
    p_value: float
    p_rank: float | None
    p_seeds: float
    p_equivalence: float
    effect_size: float
    graph_variance: float
    seed_variance: float
    num_graphs: int
    num_seeds: int


@dataclass(frozen=True)
class Split:
    """Variance of scores between graphs, and between the seeds of one graph."""

    graphs: float
    seeds: float


def sign_flip_test(differences: Array, *, resamples: int = RESAMPLES) -> Any:
    """Two-sided paired test over seeds [..., S]: the sign of each difference is arbitrary if nothing differs.

    Exact up to 13 seeds, 9,999 random sign patterns beyond. It cannot go below 2^(1 - S). It assumes symmetric
    differences and holds for the graphs at hand only: it does not know that other random graphs score differently.
    """
    found = stats.permutation_test(
        (differences,), _mean, permutation_type="samples", vectorized=True, n_resamples=resamples, axis=-1,
        batch=200, random_state=np.random.default_rng(0),
    )  # fmt: skip
    return np.minimum(found.pvalue, 1.0)


def rank_test(original: Array, nulls: Array) -> Any:
    """Two-sided (1 + b) / (1 + K): b of the K random graphs lie at least as far from the mean of all as the original.

    Exact if the original were one more random graph with as many seeds, whatever the distribution; conservative if the
    original has more seeds than they. It cannot go below 1 / (1 + K).
    """
    values = np.concatenate([original.mean(-1)[..., None], np.nanmean(nulls, axis=-1)], axis=-1)
    distance = np.abs(values - values.mean(-1, keepdims=True))
    # Equal scores may differ in the last bit after averaging and must count as ties.
    as_far = distance[..., 1:] >= distance[..., :1] * (1 - 1e-9)
    return (1 + as_far.sum(-1)) / (1 + as_far.shape[-1])


def graph_test(original: Array, nulls: Array) -> Any:
    """Two-sided p-value of the original as one more draw from the population of random graphs [..., S], [..., K, S].

    With the same n = S seeds for all graphs this is the t test of one case against a sample (Crawford & Howell 1998):
    t = D / (s sqrt(1 + 1/K)) with K - 1 degrees of freedom, s the standard deviation of the graphs' means. With fewer
    seeds for each random graph (n < S) the variance of D under the null hypothesis is

        V = s^2 (1 + 1/K) - w^2 (1/n - 1/S),    at least w^2 (1/(K n) + 1/S),

    w^2 the variance between the seeds of a graph. Both are estimates, so the p-value is averaged over their
    chi-square distributions: a generalized p-value (Tsui & Weerahandi 1989). It assumes near-normal graph means.
    """
    means = np.nanmean(nulls, axis=-1)
    num_graphs, num_seeds, each = means.shape[-1], original.shape[-1], _seeds_each(nulls)
    distance = np.abs(original.mean(-1) - means.mean(-1))
    distance = _rounded(distance, np.abs(original).max(-1))
    spread = means.var(-1, ddof=1)
    if each == num_seeds:
        with np.errstate(divide="ignore", invalid="ignore"):
            statistic = np.where(distance > 0, distance / np.sqrt(spread * (1 + 1 / num_graphs)), 0.0)
        return 2 * stats.t.sf(statistic, num_graphs - 1)
    freedom = num_seeds - 1 + num_graphs * (each - 1)
    within = (original.var(-1) * num_seeds + np.nanvar(nulls, axis=-1).sum(-1) * each) / freedom
    between = spread[..., None, None] * _plausible(num_graphs - 1)[:, None]
    seeds = within[..., None, None] * _plausible(freedom)
    variance = between * (1 + 1 / num_graphs) - seeds * (1 / each - 1 / num_seeds)
    variance = np.maximum(variance, seeds * (1 / (num_graphs * each) + 1 / num_seeds))
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(distance[..., None, None] > 0, distance[..., None, None] / np.sqrt(variance), 0.0)
    return 2 * stats.norm.sf(statistic).mean((-2, -1))


def equivalence_test(original: Array, nulls: Array, margin: float) -> float:
    """Two one-sided t tests (TOST): the p-value against a mean difference of `margin` or more, in either direction.

    Paired where each seed belongs to one random graph; otherwise Welch's, in which the original's seeds and the random
    graphs each bring their own spread.
    """
    first, second, paired = _samples(original, nulls)
    if _constant(*((first - second,) if paired else (first, second)), scale=np.abs(first).max()):
        return 0.0 if abs(first.mean() - second.mean()) < margin else 1.0
    weightstats = require("statsmodels.stats.weightstats")
    if paired:
        return float(weightstats.ttost_paired(first, second, -margin, margin)[0])
    return float(weightstats.ttost_ind(first, second, -margin, margin, usevar="unequal")[0])


def bootstrap_interval(original: Array, nulls: Array, *, level: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """BCa bootstrap interval of the mean difference: random graphs (with their seeds) and the original's seeds redrawn.

    Where each seed belongs to one random graph, the pairs are drawn. With fewer than about 20 graphs such intervals are
    somewhat too narrow.
    """
    first, second, paired = _samples(original, nulls)
    data = (first - second,) if paired else (first, second)
    if _constant(*data, scale=np.abs(first).max()):
        return (difference := float(first.mean() - second.mean())), difference
    found = stats.bootstrap(
        data, _mean if paired else _mean_difference, n_resamples=RESAMPLES, confidence_level=level, vectorized=True,
        random_state=np.random.default_rng(seed),
    ).confidence_interval  # fmt: skip
    return float(found.low), float(found.high)


def variance_split(scores: Array) -> Split:
    """Variance between graphs and between seeds of one graph, from scores [G, S] (NaN where not run), by moments.

    If all graphs have all seeds, what a seed adds to every graph alike is taken out. One seed for each graph cannot
    tell the two apart: then `seeds` is NaN and `graphs` is the variance of both.
    """
    each = _seeds_each(scores)
    total = float(np.nanmean(scores, axis=1).var(ddof=1))
    if each < 2:
        return Split(total, float("nan"))
    rest = scores - np.nanmean(scores, axis=1, keepdims=True)
    freedom = len(scores) * (each - 1)
    if each == scores.shape[1]:
        rest = rest - rest.mean(0)
        freedom = (len(scores) - 1) * (each - 1)
    seeds = float(np.nansum(rest**2)) / freedom
    return Split(max(0.0, total - seeds / each), seeds)


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """P-values adjusted for the number of tests (Holm 1979): the chance of any false finding stays below alpha."""
    if not p_values:
        return ()
    adjusted = require("statsmodels.stats.multitest").multipletests(p_values, method="holm")[1]
    return tuple(float(value) for value in adjusted)


def against_graphs(original: Array, nulls: Array, *, margin: float, alpha: float = 0.05) -> Evidence:
    """All tests of one graph against random graphs.

    Args:
        original: [S] its scores.
        nulls: [K, S] scores of the random graphs, NaN where not run, equally many for each graph.
        margin: a smaller difference does not matter.
        alpha: 1 - the level of the interval.
    """
    original, nulls = _checked(original, nulls)
    means = np.nanmean(nulls, axis=1)
    difference = float(original.mean() - means.mean())
    shared = np.isfinite(nulls).any(0)
    differences = original[shared] - np.nanmean(nulls[:, shared], axis=0)
    split = variance_split(nulls)
    if np.isnan(split.seeds):
        seeds = float(original.var(ddof=1))
        split = Split(max(0.0, split.graphs - seeds), seeds)
    spread = float(means.std(ddof=1))
    return Evidence(
        difference=difference,
        interval=bootstrap_interval(original, nulls, level=1 - alpha),
        p_value=float(graph_test(original, nulls)),
        p_rank=float(rank_test(original, nulls)),
        p_seeds=float(sign_flip_test(_rounded(differences, np.abs(original).max()))),
        p_equivalence=equivalence_test(original, nulls, margin),
        effect_size=difference / spread if spread else float("nan"),
        graph_variance=split.graphs,
        seed_variance=split.seeds,
        num_graphs=len(nulls),
        num_seeds=len(original),
    )


def against_one(original: Array, other: Array, *, margin: float, alpha: float = 0.05) -> Evidence:
    """All tests of one graph against a single opponent with the same seeds, [S] each; the seed is the unit."""
    original, others = _checked(original, np.asarray(other, dtype=np.float64)[None])
    differences = _rounded(original - others[0], np.abs(original).max())
    spread = float(differences.std(ddof=1))
    one_each = np.where(np.eye(len(original), dtype=bool), others, np.nan)
    p_value = float(sign_flip_test(differences))
    return Evidence(
        difference=float(differences.mean()),
        interval=bootstrap_interval(original, one_each, level=1 - alpha),
        p_value=p_value,
        p_rank=None,
        p_seeds=p_value,
        p_equivalence=equivalence_test(original, one_each, margin),
        effect_size=float(differences.mean()) / spread if spread else float("nan"),
        graph_variance=float("nan"),
        seed_variance=float("nan"),
        num_graphs=1,
        num_seeds=len(original),
    )


def is_different(p_adjusted: Any, p_rank: Any, p_seeds: Any, alpha: float) -> Any:
    """Whether all three tests reject: the graph differs from the population, from the graphs drawn, and over seeds."""
    slack = alpha * (1 + 1e-9)
    return (p_adjusted <= slack) & (p_rank <= slack) & (p_seeds <= slack)


def verdict(better: bool, different: bool, equivalent: bool) -> Verdict:
    """The rule: equivalent if the difference is shown to be within the margin; else supported or contradicted if it is
    shown to exist and the graph is better or worse; else undecided."""
    if equivalent:
        return "equivalent"
    if not different:
        return "undecided"
    return "supported" if better else "contradicted"


def _checked(original: Any, nulls: Any) -> tuple[Array, Array]:
    first, second = np.asarray(original, dtype=np.float64), np.asarray(nulls, dtype=np.float64)
    if first.ndim != 1 or second.ndim != 2 or second.shape[1] != len(first) or len(first) < 2:
        got = f"{list(first.shape)} and {list(second.shape)}"
        raise invalid("original and nulls", "[S] and [K, S] with S >= 2 seeds", got, "use NaN for what did not run")
    run = np.isfinite(second).sum(1)
    if not np.isfinite(first).all() or len(run) == 0 or run.min() != run.max() or run.min() == 0:
        got = f"{int(np.isfinite(first).sum())} of {len(first)} scores, and {sorted(set(run.tolist()))} for each graph"
        raise invalid("scores", "complete, with as many seeds for each random graph", got, "run what is missing")
    return first, second


def _seeds_each(nulls: Array) -> int:
    return int(np.isfinite(nulls.reshape(-1, nulls.shape[-1])[0]).sum())


def _samples(original: Array, nulls: Array) -> tuple[Array, Array, bool]:
    """The two samples compared, and whether they are pairs: one for each random graph, with seeds of its own."""
    run = np.isfinite(nulls)
    means = np.nanmean(nulls, axis=1)
    if len(nulls) > 1 and (run.sum(0) == 1).all():
        return np.nanmean(np.where(run, original, np.nan), axis=1), means, True
    return original, means, False


def _rounded(values: Any, scale: Any) -> Any:
    return np.where(np.abs(values) <= _ROUNDING * scale, 0.0, values)


def _constant(*samples: Array, scale: float) -> bool:
    return all(np.ptp(sample) <= _ROUNDING * scale for sample in samples)


def _plausible(freedom: int) -> Array:
    """Factors by which a variance may be larger than its estimate: equally likely quantiles of df / chi-square."""
    return np.asarray(freedom / stats.chi2.ppf(_QUANTILES, freedom))


def _mean(values: Array, axis: int) -> Any:
    return values.mean(axis=axis)


def _mean_difference(first: Array, second: Array, axis: int) -> Any:
    return first.mean(axis=axis) - second.mean(axis=axis)
