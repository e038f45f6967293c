"""Rank correlation against SciPy, its permutation test against known p-values, and the pictures drawn from it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import spearmanr

from elegans_gnn import Connectome, load_connectome
from elegans_gnn.viz import one_per_synapse, plot_weight_vs_count, rank_correlation


@pytest.fixture(scope="module")
def worm() -> Connectome:
    return load_connectome("varshney2011")


@pytest.mark.parametrize("ties", [False, True])
def test_rho_is_scipys(ties):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2, 57))
    y += 0.4 * x
    if ties:
        x, y = np.round(x), np.round(y)
    found = rank_correlation(x, y, permutations=5)
    assert found.rho == pytest.approx(spearmanr(x, y).statistic, abs=1e-12)
    assert found.pairs == 57


def test_p_agrees_with_the_exact_test():
    """Four untied values have 24 orders: rho = 1 or -1 in two of them."""
    found = rank_correlation([1, 2, 3, 4], [2, 4, 6, 8], permutations=20_000)
    assert found.rho == pytest.approx(1)
    # Standard deviation of the estimate: sqrt(p (1 - p) / 20,000) = 0.002.
    assert found.p == pytest.approx(2 / 24, abs=0.008)


def test_p_is_even_when_nothing_is_there():
    random = np.random.default_rng(1)
    ps = [rank_correlation(*random.normal(size=(2, 40)), permutations=99, seed=trial).p for trial in range(200)]
    # The mean of 200 uniform draws is 0.5 with standard deviation 0.02.
    assert np.mean(ps) == pytest.approx(0.505, abs=0.08)
    assert np.mean(np.array(ps) <= 0.05) < 0.12


def test_groups_take_out_what_only_the_groups_bring():
    """x and y depend on the group alone: plain shuffling finds a correlation, shuffling within groups does not."""
    random = np.random.default_rng(2)
    groups = np.repeat(np.arange(20), 15)
    x, y = (groups + 0.1 * random.normal(size=300) for _ in range(2))
    assert rank_correlation(x, y, permutations=500).p < 0.01
    within = rank_correlation(x, y, groups=groups, permutations=500)
    assert within.p > 0.05
    assert within.expected == pytest.approx(within.rho, abs=0.01)
    linked = rank_correlation(x, x + 0.02 * random.normal(size=300), groups=groups, permutations=500)
    assert linked.p < 0.01


def test_group_labels_may_come_in_any_order():
    random = np.random.default_rng(3)
    x, y = random.normal(size=(2, 60))
    groups = np.repeat(["b", "a", "c"], 20)
    mixed = random.permutation(60)
    first = rank_correlation(x, y, groups=groups, permutations=4000)
    second = rank_correlation(x[mixed], y[mixed], groups=groups[mixed], permutations=4000)
    assert first.rho == pytest.approx(second.rho, abs=1e-12)
    assert first.expected == pytest.approx(second.expected, abs=0.02)


@pytest.mark.parametrize(
    ("x", "y", "options", "message"),
    [
        ([1, 2, 3], [1, 2], {}, "x, y and groups must be of one length, at least 3, got lengths 3, 2, 3; give one"),
        ([1, 2], [1, 2], {}, "at least 3"),
        ([1, 2, 3], [1, 2, 3], {"groups": [0, 1]}, "got lengths 3, 3, 2"),
        ([1, 1, 1], [1, 2, 3], {}, "x and y must be columns with different values, got a constant column"),
        ([1, 2, 3], [1, 3, 2], {"permutations": 0}, "permutations must be >= 1, got 0; use 2000"),
    ],
)
def test_unusable_columns_are_refused(x, y, options, message):
    with pytest.raises(ValueError, match=message):
        rank_correlation(x, y, **options)


def test_one_entry_stands_for_a_gap_junction(worm):
    chosen = one_per_synapse(worm)
    assert len(chosen) == 2_194 + 514 + 3
    assert (worm.kinds[chosen] == "gap").sum() == 517


def test_picture_says_what_the_test_says(worm):
    chemical = worm.kinds == "chemical"
    weights = np.where(chemical, worm.counts * 0.1, 1.0 / worm.counts)
    figure = plot_weight_vs_count(worm, -weights, initial=np.ones(worm.num_edges), permutations=20)
    before, after = ([text.get_text() for text in axes.get_legend().get_texts()] for axes in figure.axes)
    assert before == ["chemical: n = 2194", "gap: n = 517"]
    assert after == [
        "chemical: n = 2194, rho = +1.000, p = 0.048",
        "gap: n = 517, rho = -1.000, p = 0.048",
    ]
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["before training", "after training"]


def test_picture_of_the_smallest_graphs(tmp_path):
    bare = Connectome.from_edges("bare", ["A", "B"], [], [])
    plot_weight_vs_count(bare, np.empty(0), path=tmp_path / "bare.png")
    one = Connectome.from_edges("one", ["A", "B"], ["A"], ["B"], counts=0)
    plot_weight_vs_count(one, np.ones((1, 3)), path=tmp_path / "one.png")
    assert (tmp_path / "one.png").stat().st_size > 1000
    with pytest.raises(ValueError, match=r"weights must be of shape \[1\]"):
        plot_weight_vs_count(one, np.ones(2))
    with pytest.raises(ValueError, match=r"weights must be of shape \[1\]"):
        plot_weight_vs_count(one, np.ones(1), initial=np.ones(2))
