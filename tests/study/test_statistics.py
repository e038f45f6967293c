"""Tests of one graph against many: exact small cases, invariances, refused inputs."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats

from elegans_gnn.study import statistics
from elegans_gnn.study.statistics import Array


def scores(graphs: int, seeds: int, each: int | None = None, seed: int = 0) -> tuple[Array, Array]:
    random = np.random.default_rng(seed)
    nulls = random.normal(0, 1, (graphs, 1)) + random.normal(0, 0.5, (graphs, seeds))
    if each is not None:
        run = np.zeros((graphs, seeds), dtype=bool)
        for member in range(graphs):
            run[member, [(member * each + step) % seeds for step in range(each)]] = True
        nulls = np.where(run, nulls, np.nan)
    return random.normal(0, 0.5, seeds), nulls


def test_the_sign_flip_test_counts_all_patterns() -> None:
    values = np.array([0.3, -0.1, 0.5, 0.2, 0.4])
    sums = np.array([np.dot(signs, values) for signs in itertools.product((1, -1), repeat=5)])
    assert statistics.sign_flip_test(values) == np.mean(np.abs(sums) >= values.sum() - 1e-12)
    assert statistics.sign_flip_test(np.arange(1.0, 6.0)) == 2.0 ** (1 - 5) == 0.0625


def test_many_sign_flip_tests_at_once_are_those_of_each() -> None:
    values = np.random.default_rng(0).normal(0.3, 1, (5, 8))
    together = statistics.sign_flip_test(values)
    assert together.tolist() == [statistics.sign_flip_test(row) for row in values]


def test_the_rank_is_two_sided_and_counts_ties() -> None:
    nulls = np.array([[1.0], [2.0], [3.0], [4.0]])
    assert statistics.rank_test(np.array([9.0]), nulls) == 1 / 5
    assert statistics.rank_test(np.array([-9.0]), nulls) == 1 / 5
    # Mean of all 2.6; distances 1.6, 0.6, 0.4, 1.4 of the graphs and 0.4 of the original: all at least as far.
    assert statistics.rank_test(np.array([3.0]), nulls) == 1.0
    assert statistics.rank_test(np.array([2.0]), np.full((3, 1), 2.0)) == 1.0


def test_the_rank_of_an_exchangeable_graph_is_uniform() -> None:
    random = np.random.default_rng(1)
    values = random.exponential(1, (4000, 20, 3)) + random.standard_cauchy((4000, 1, 3))
    p_values = statistics.rank_test(values[:, 0], values[:, 1:])
    counts = np.bincount(np.round(p_values * 20).astype(int), minlength=21)[1:]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_with_equal_seeds_the_graph_test_is_the_t_test_of_one_case() -> None:
    original, nulls = scores(9, 4)
    means = nulls.mean(1)
    statistic = (original.mean() - means.mean()) / (means.std(ddof=1) * np.sqrt(1 + 1 / 9))
    expected = 2 * stats.t.sf(abs(statistic), 8)
    assert statistics.graph_test(original, nulls) == pytest.approx(expected, rel=1e-12)


def test_the_graph_test_takes_many_studies_at_once() -> None:
    pairs = [scores(7, 6, each=2, seed=seed) for seed in range(3)]
    together = statistics.graph_test(np.array([a for a, _ in pairs]), np.array([b for _, b in pairs]))
    assert together == pytest.approx([statistics.graph_test(*pair) for pair in pairs], rel=1e-12)


def test_more_seeds_for_the_graph_in_question_sharpen_the_test() -> None:
    """19 seeds with one graph each tell more than one seed with 19 graphs."""
    original, nulls = scores(19, 19, each=1, seed=3)
    one_seed = np.array([[value] for value in nulls[np.isfinite(nulls)]])
    original = original - original.mean() + np.nanmean(nulls) + 2.0
    assert statistics.graph_test(original, nulls) < statistics.graph_test(original.mean()[None], one_seed)


@pytest.mark.parametrize("each", [1, 2, None])
def test_shifting_and_scaling_all_scores_changes_no_p_value(each: int | None) -> None:
    original, nulls = scores(8, 8, each)
    first = statistics.against_graphs(original, nulls, margin=0.5)
    second = statistics.against_graphs(7 + 10 * original, 7 + 10 * nulls, margin=5.0)
    for name in ("p_value", "p_rank", "p_seeds", "p_equivalence", "effect_size"):
        assert getattr(second, name) == pytest.approx(getattr(first, name), rel=1e-9), name
    assert second.difference == pytest.approx(10 * first.difference)
    # The interval counts resamples on each side of the estimate, where rounding decides about ties.
    assert second.interval == pytest.approx(tuple(10 * end for end in first.interval), rel=0.02)


def test_swapping_the_sides_swaps_the_signs() -> None:
    a, b = np.random.default_rng(2).normal(size=(2, 9))
    first, second = (statistics.against_one(*pair, margin=0.4) for pair in ((a, b), (b, a)))
    assert second.difference == -first.difference
    assert second.p_value == first.p_value
    assert second.p_equivalence == pytest.approx(first.p_equivalence)


def test_equivalence_pairs_the_seeds_where_it_can() -> None:
    """A seed that is easy for every graph must not hide that the graphs are alike."""
    easy = np.random.default_rng(0).normal(0, 10, 12)
    noise = np.random.default_rng(1).normal(0, 0.1, 12)
    paired = np.where(np.eye(12, dtype=bool), easy + noise, np.nan)
    assert statistics.equivalence_test(easy, paired, 0.5) < 1e-6
    assert statistics.equivalence_test(easy, paired - 2, 0.5) > 0.99


def test_equal_scores_are_equivalent_and_not_different() -> None:
    found = statistics.against_graphs(np.full(6, 0.7), np.full((19, 6), 0.7), margin=0.01)
    assert (abs(found.difference), max(map(abs, found.interval)), found.p_equivalence) == pytest.approx((0, 0, 0))
    assert (found.p_value, found.p_rank, found.p_seeds) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("each", [3, 6])
def test_the_variance_split_finds_what_was_put_in(each: int) -> None:
    nulls = scores(400, 6, each, seed=5)[1]
    shared = np.random.default_rng(6).normal(0, 3, 6) if each == 6 else 0.0
    found = statistics.variance_split(nulls + shared)
    assert found.graphs == pytest.approx(1.0, rel=0.2)
    assert found.seeds == pytest.approx(0.25, rel=0.15)
    assert np.isnan(statistics.variance_split(scores(9, 9, 1)[1]).seeds)


def test_holm_adjusts_in_the_order_given() -> None:
    assert statistics.holm([0.04, 0.01, 0.03]) == pytest.approx((0.06, 0.03, 0.06))
    assert statistics.holm([]) == ()


@pytest.mark.parametrize(
    ("better", "different", "equivalent", "expected"),
    [
        (True, True, False, "supported"),
        (False, True, False, "contradicted"),
        (True, False, False, "undecided"),
        (True, True, True, "equivalent"),
    ],
)
def test_the_rule(better: bool, different: bool, equivalent: bool, expected: str) -> None:
    assert statistics.verdict(better, different, equivalent) == expected


def test_all_three_tests_have_to_reject() -> None:
    assert statistics.is_different(0.05, 0.05, 0.05, 0.05)
    for place in range(3):
        values = [0.01, 0.01, 0.01]
        values[place] = 0.06
        assert not statistics.is_different(*values, 0.05)


def test_scores_with_holes_are_refused() -> None:
    original, nulls = scores(5, 6)
    nulls[2, 3] = np.nan
    with pytest.raises(ValueError, match=r"scores must be complete.*\[5, 6\] for each graph; run what is missing"):
        statistics.against_graphs(original, nulls, margin=1)
    with pytest.raises(ValueError, match=r"must be \[S\] and \[K, S\]"):
        statistics.against_graphs(original[:4], nulls, margin=1)
