from __future__ import annotations

import itertools
import zlib

import numpy as np
import pytest
from scipy.stats import chisquare

from elegans_gnn.graphs._stream import Stream


def test_the_tape_is_pcg64_of_the_seed_and_the_domain() -> None:
    tape = np.random.PCG64([7, zlib.crc32(b"domain")]).random_raw(3)
    assert Stream(7, "domain").below(2**62, 3).tolist() == (tape % np.uint64(2**62)).tolist()
    assert Stream(7, "domain").coins(3).tolist() == (tape >= np.uint64(2**63)).tolist()


def test_golden_draws() -> None:
    stream = Stream(2011, "golden")
    drawn = [stream.below(1000, 5), stream.permutation(6), stream.choose(50, 4), stream.choose(6, 4)]
    assert [part.tolist() for part in drawn] == [
        [483, 345, 807, 40, 602],
        [5, 2, 1, 0, 4, 3],
        [4, 18, 20, 30],
        [1, 2, 3, 5],
    ]
    assert [stream.integer(1000) for _ in range(4)] == [536, 892, 430, 96]
    assert stream.uniform(2).tolist() == [0.7343690328659658, 0.439001111167849]


def test_domains_and_seeds_give_different_tapes() -> None:
    firsts = {
        int(Stream(seed, *domain).below(2**62, 1)[0])
        for seed in (0, 1, 2**40)
        for domain in ((), ("a",), ("b",), ("a", "b"), ("b", "a"))
    }
    assert len(firsts) == 15


@pytest.mark.parametrize("bound", [1, 2, 3, 7, 10])
def test_below_is_uniform(bound: int) -> None:
    drawn = np.bincount(Stream(1).below(bound, 6000), minlength=bound)
    assert len(drawn) == bound
    if bound > 1:
        assert chisquare(drawn).pvalue > 1e-3


def test_bounds_that_do_not_divide_the_words_redraw() -> None:
    # Almost half of all words lie beyond the only multiple of this bound.
    bound = 2**63 + 1
    drawn = [Stream(seed).integer(bound) for seed in range(50)]
    assert max(drawn) < bound
    raw = [int(np.random.PCG64([seed]).random_raw()) for seed in range(50)]
    assert any(word >= bound for word in raw), "the test must meet a word to redraw"


@pytest.mark.parametrize(("population", "count"), [(5, 2), (5, 3), (4, 2), (6, 1), (3, 3), (3, 0), (0, 0)])
def test_every_subset_is_equally_likely(population: int, count: int) -> None:
    subsets = dict.fromkeys(itertools.combinations(range(population), count), 0)
    for seed in range(60 * len(subsets)):
        subsets[tuple(Stream(seed, "choose").choose(population, count).tolist())] += 1
    if len(subsets) > 1:
        assert chisquare(list(subsets.values())).pvalue > 1e-3


def test_every_permutation_is_equally_likely() -> None:
    seen = dict.fromkeys(itertools.permutations(range(4)), 0)
    for seed in range(1200):
        seen[tuple(Stream(seed, "permutation").permutation(4).tolist())] += 1
    assert chisquare(list(seen.values())).pvalue > 1e-3
