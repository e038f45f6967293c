"""What sets each model apart, beyond the counts that all of them keep."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from scipy.stats import chisquare

from elegans_gnn.connectome import Connectome
from elegans_gnn.graphs import NullModelWarning, random_connectome
from elegans_gnn.graphs import statistics as stats
from elegans_gnn.graphs._grown import attachment_quota, nth_absent, ordered_pair, ring_lattice, ring_pair
from elegans_gnn.graphs._stream import Stream


@pytest.mark.parametrize("size", range(9))
def test_pair_numbers_name_each_pair_once(size: int) -> None:
    start, end = ring_pair(np.arange(size * (size - 1) // 2), size)
    pairs = {frozenset(pair) for pair in zip(start.tolist(), end.tolist(), strict=True)}
    assert pairs == {frozenset(pair) for pair in itertools.combinations(range(size), 2)}
    start, end = ordered_pair(np.arange(size * (size - 1)), size)
    pairs_in_order = list(zip(start.tolist(), end.tolist(), strict=True))
    assert sorted(pairs_in_order) == sorted(itertools.permutations(range(size), 2))


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 8])
def test_ring_lattice_takes_the_nearest_and_stays_even(size: int) -> None:
    distances = np.array([min(v - u, size - v + u) for u, v in itertools.combinations(range(size), 2)], dtype=int)
    for pairs in range(size * (size - 1) // 2 + 1):
        start, end = ring_lattice(size, pairs)
        assert len({frozenset(pair) for pair in zip(start.tolist(), end.tolist(), strict=True)}) == pairs
        step = (end - start) % size
        assert np.sort(np.minimum(step, size - step)).tolist() == np.sort(distances)[:pairs].tolist()
        degree = np.bincount(np.concatenate([start, end]), minlength=size)
        assert degree.max() - degree.min() <= 2


@pytest.mark.parametrize("size", [0, 1, 2, 5, 6])
def test_attachment_quota_meets_every_total(size: int) -> None:
    for pairs in range(size * (size - 1) // 2 + 1):
        quota = attachment_quota(size, pairs, Stream(pairs))
        assert quota.sum() == pairs
        assert (quota <= np.arange(size)).all()


def test_nth_absent() -> None:
    present = {0, 2, 3, 7}
    absent = [number for number in range(12) if number not in present]
    assert [nth_absent(present, rank) for rank in range(len(absent))] == absent


def test_watts_strogatz_runs_from_lattice_to_random(worm: Connectome) -> None:
    clusterings = [
        np.mean([stats.clustering(random_connectome("watts-strogatz", like=worm, seed=s, p=p)) for s in range(2)])
        for p in (0.0, 0.1, 0.5, 1.0)
    ]
    assert clusterings == sorted(clusterings, reverse=True)
    lattice = stats.clustering(random_connectome("lattice", like=worm, seed=0))
    assert clusterings[0] == pytest.approx(lattice, abs=0.01)
    assert clusterings[-1] < 0.1 * lattice + 0.05


def test_watts_strogatz_lets_go_of_the_share_asked_for(worm: Connectome) -> None:
    # 514 pairs fill the first shell of the ring and most of the second: whatever is farther apart was let go.
    gap = worm.select(kinds="gap")
    changed = []
    for seed in range(10):
        graph = random_connectome("watts-strogatz", like=gap, seed=seed, p=0.3)
        place = Stream(seed, "watts-strogatz", "placement").permutation(279)
        position = np.argsort(place)
        step = (position[graph.post] - position[graph.pre]) % 279
        far = np.minimum(step, 279 - step) > 2
        changed.append(far[graph.pre < graph.post].sum() / 514)
    # p, less the few let-go ends that land near by: 4 of 278.
    assert np.mean(changed) == pytest.approx(0.3 * (1 - 4 / 278), abs=0.025)


def test_barabasi_albert_has_hubs_and_erdos_renyi_has_none(worm: Connectome) -> None:
    for seed in range(3):
        scale_free = stats.degrees(random_connectome("barabasi-albert", like=worm, seed=seed))
        even = stats.degrees(random_connectome("erdos-renyi", like=worm, seed=seed))
        assert scale_free.max() > 2.5 * even.max()


def test_placement_is_drawn_anew_for_each_seed(worm: Connectome) -> None:
    hubs = {
        str(worm.names[stats.degrees(random_connectome("barabasi-albert", like=worm, seed=seed)).argmax()])
        for seed in range(8)
    }
    assert len(hubs) > 4


def test_layers_share_the_placement(worm: Connectome) -> None:
    lattice = random_connectome("lattice", like=worm, seed=0)
    chemical, gap = (
        set(zip(part.pre.tolist(), part.post.tolist(), strict=True))
        for part in (lattice.select(kinds="chemical"), lattice.select(kinds="gap"))
    )
    assert all((u, v) in chemical or (v, u) in chemical for u, v in gap if u != v)


def test_erdos_renyi_places_links_uniformly() -> None:
    like = Connectome.from_edges("two", list("abc"), [0, 1], [1, 2])
    seen = dict.fromkeys(itertools.combinations(itertools.permutations(range(3), 2), 2), 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NullModelWarning)
        for seed in range(900):
            graph = random_connectome("erdos-renyi", like=like, seed=seed)
            seen[tuple(zip(graph.pre.tolist(), graph.post.tolist(), strict=True))] += 1
    assert chisquare(list(seen.values())).pvalue > 1e-3


@pytest.mark.parametrize("p", [0.0, 0.25, 0.5, 1.0])
def test_rewired_moves_exactly_the_share_asked_for(p: float, worm: Connectome) -> None:
    graph = random_connectome("rewired", like=worm, seed=1, p=p)
    for kind, links in (("chemical", 2194), ("gap", 514)):
        new, old = graph.select(kinds=kind), worm.select(kinds=kind)
        here, there = (set(zip(part.pre.tolist(), part.post.tolist(), strict=True)) for part in (new, old))
        kept = [(u, v) for u, v in here & there if u != v]
        moved = links - (len(kept) // 2 if kind == "gap" else len(kept))
        assert moved == int(p * links + 0.5)


def test_strengths_follow_the_presynaptic_neuron_in_swaps_only(worm: Connectome) -> None:
    chemical = worm.select(kinds="chemical")
    kept = random_connectome("degree-preserving", like=chemical, seed=0)
    dealt = random_connectome("strength-shuffle", like=chemical, seed=0)
    assert np.array_equal(stats.strengths(kept, "out"), stats.strengths(chemical, "out"))
    assert not np.array_equal(stats.strengths(kept, "in"), stats.strengths(chemical, "in"))
    assert not np.array_equal(stats.strengths(dealt, "out"), stats.strengths(chemical, "out"))


def test_reciprocity_is_lost_by_degree_preserving_and_kept_by_its_sister(worm: Connectome) -> None:
    chemical = worm.select(kinds="chemical")
    lost = stats.reciprocity(random_connectome("degree-preserving", like=chemical, seed=0))
    kept = stats.reciprocity(random_connectome("reciprocity-preserving", like=chemical, seed=0))
    assert kept == stats.reciprocity(chemical)
    assert lost < 0.5 * kept


def test_a_second_null_of_a_null_is_possible(worm: Connectome) -> None:
    first = random_connectome("role-block", like=worm, seed=0)
    second = random_connectome("degree-preserving", like=first, seed=0)
    assert second.name == "varshney2011-role-block-seed0-degree-preserving-seed0"
    one, other = (stats.degrees(graph.select(kinds="chemical"), "in") for graph in (first, second))
    assert np.array_equal(one, other)
