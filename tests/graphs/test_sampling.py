"""Whether the swap chains sample what they claim: every graph with the same degrees equally often."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
from scipy.stats import chisquare

from elegans_gnn.connectome import Connectome
from elegans_gnn.graphs import random_connectome
from elegans_gnn.graphs._layers import Layer, Wiring, layers_of
from elegans_gnn.graphs._rewired import configuration, degree_preserving, reciprocity_preserving, role_degree
from elegans_gnn.graphs._stream import Stream
from elegans_gnn.graphs._swaps import Links, swap_round

Edges = frozenset[tuple[int, int]]
Model = Callable[..., Wiring]

DIRECTED = {
    "triangle": (3, [(0, 1), (1, 2), (2, 0)]),
    "one swap": (4, [(0, 1), (2, 3)]),
    "two hubs": (4, [(0, 1), (0, 2), (3, 1), (1, 0), (2, 3)]),
    "dense": (4, [(u, v) for u in range(4) for v in range(4) if u != v and (v - u) % 4 != 1]),
    "path and loop-prone hub": (5, [(0, 1), (1, 0), (1, 2), (2, 3), (3, 1), (4, 1)]),
}
UNDIRECTED = {
    "square": (4, [(0, 1), (1, 2), (2, 3), (0, 3)]),
    "path": (5, [(0, 1), (1, 2), (2, 3), (3, 4)]),
    "two edges": (4, [(0, 1), (2, 3)]),
}


def layer_of(size: int, links: list[tuple[int, int]], kind: str) -> Layer:
    pre, post = [u for u, _ in links], [v for _, v in links]
    if kind == "gap":
        pre, post = pre + post, post + pre
    return layers_of(Connectome.from_edges("tiny", [f"N{i}" for i in range(size)], pre, post, kinds=kind))[0]


def degrees(edges: Edges, size: int, kind: str) -> tuple[tuple[int, ...], ...]:
    tails, heads = ([edge[end] for edge in edges] for end in (0, 1))
    if kind == "gap":
        return (tuple(np.bincount(tails + heads, minlength=size).tolist()),)
    return tuple(tuple(np.bincount(ends, minlength=size).tolist()) for ends in (tails, heads))


def one_way_and_mutual(edges: Edges, size: int) -> tuple[tuple[int, ...], ...]:
    mutual = frozenset(edge for edge in edges if edge[::-1] in edges)
    return (*degrees(edges - mutual, size, "chemical"), *degrees(mutual, size, "chemical"))


def all_graphs(size: int, links: int, kind: str) -> list[Edges]:
    places = itertools.combinations(range(size), 2) if kind == "gap" else itertools.permutations(range(size), 2)
    return [frozenset(chosen) for chosen in itertools.combinations(places, links)]


def sampled(model: Model, layer: Layer, draws: int) -> Counter[Edges]:
    seen: Counter[Edges] = Counter()
    for seed in range(draws):
        wiring = model(layer, Stream(seed, "sampling"), swaps=10)
        ends = zip(wiring.tail.tolist(), wiring.head.tolist(), strict=True)
        seen[frozenset(end if layer.directed else tuple(sorted(end)) for end in ends)] += 1  # type: ignore[misc]
    return seen


def assert_uniform(seen: Counter[Edges], expected: list[Edges]) -> None:
    assert set(seen) == set(expected)
    assert chisquare([seen[edges] for edges in expected]).pvalue > 1e-3


CASES = [("chemical", name) for name in DIRECTED] + [("gap", name) for name in UNDIRECTED]
QUICK = [("chemical", "triangle"), ("chemical", "one swap"), ("chemical", "two hubs"), ("gap", "square")]


@pytest.mark.parametrize("model", [degree_preserving, configuration])
@pytest.mark.parametrize(
    ("kind", "name", "draws"),
    [(*case, 40) for case in QUICK] + [pytest.param(*case, 400, marks=pytest.mark.hard) for case in CASES],
)
def test_every_graph_of_the_same_degrees_is_equally_likely(model: Model, kind: str, name: str, draws: int) -> None:
    size, links = (UNDIRECTED if kind == "gap" else DIRECTED)[name]
    wanted = degrees(frozenset(links), size, kind)
    expected = [edges for edges in all_graphs(size, len(links), kind) if degrees(edges, size, kind) == wanted]
    assert len(expected) > 1
    assert_uniform(sampled(model, layer_of(size, links, kind), draws * len(expected)), expected)


def test_reciprocity_preserving_is_uniform_over_one_way_and_mutual_degrees() -> None:
    size, links = 5, [(0, 1), (1, 0), (2, 3), (3, 4), (4, 2)]
    wanted = one_way_and_mutual(frozenset(links), size)
    expected = [edges for edges in all_graphs(size, 5, "chemical") if one_way_and_mutual(edges, size) == wanted]
    assert len(expected) == 2
    assert_uniform(sampled(reciprocity_preserving, layer_of(size, links, "chemical"), 100), expected)
    size, links = 6, [(0, 1), (1, 0), (2, 3), (3, 2), (4, 5)]
    wanted = one_way_and_mutual(frozenset(links), size)
    expected = [edges for edges in all_graphs(size, 5, "chemical") if one_way_and_mutual(edges, size) == wanted]
    draws = 30 * len(expected)
    assert_uniform(sampled(reciprocity_preserving, layer_of(size, links, "chemical"), draws), expected)


@pytest.mark.parametrize(
    ("kind", "name", "roles"),
    [
        ("chemical", "triangle", [0, 0, 1]),
        ("chemical", "two hubs", [0, 0, 0, 1]),
        ("chemical", "path and loop-prone hub", [0, 1, 0, 1, 0]),
        ("gap", "path", [0, 0, 1, 1, 0]),
    ],
)
def test_role_degree_is_uniform_over_degrees_and_blocks(kind: str, name: str, roles: list[int]) -> None:
    size, links = (UNDIRECTED if kind == "gap" else DIRECTED)[name]

    def kept(edges: Edges) -> object:
        blocks = Counter((roles[u], roles[v]) if kind != "gap" else (roles[u] + roles[v],) for u, v in edges)
        return degrees(edges, size, kind), blocks

    wanted = kept(frozenset(links))
    expected = [edges for edges in all_graphs(size, len(links), kind) if kept(edges) == wanted]
    assert len(expected) > 1
    model = partial(role_degree, roles=np.array(roles))
    assert_uniform(sampled(model, layer_of(size, links, kind), 40 * len(expected)), expected)


def test_role_degree_leaves_a_triangle_of_three_roles() -> None:
    layer = layer_of(*DIRECTED["triangle"], "chemical")
    assert role_degree(layer, Stream(0), np.arange(3), swaps=10).frozen
    assert not role_degree(layer, Stream(0), np.array([0, 1, 0]), swaps=10).frozen


def test_role_degree_samples_alike_from_the_worm_and_from_a_far_start(worm: Connectome) -> None:
    """The second chain starts from a null of the worm: if both have mixed, no statistic tells them apart."""
    chemical = worm.select(kinds="chemical")
    forward = set(zip(chemical.pre.tolist(), chemical.post.tolist(), strict=True))
    far = random_connectome("role-degree", like=chemical, seed=99, swaps=50)
    samples = []
    for seeds, start in ((range(25), chemical), (range(100, 125), far)):
        rows = []
        for seed in seeds:
            graph = random_connectome("role-degree", like=start, seed=seed)
            edges = set(zip(graph.pre.tolist(), graph.post.tolist(), strict=True))
            rows.append([len(edges & forward), sum((v, u) in edges for u, v in edges)])
        samples.append(np.array(rows))
    gap = samples[0].mean(axis=0) - samples[1].mean(axis=0)
    error = np.sqrt(sum(sample.var(axis=0) / 25 for sample in samples))
    assert (np.abs(gap / error) < 3.5).all(), (samples[0].mean(axis=0), samples[1].mean(axis=0))


def test_a_round_is_as_likely_as_its_reverse() -> None:
    # Transition counts between all states of a small space: symmetric within their noise, and not all zero.
    size, links = DIRECTED["two hubs"]
    visits: Counter[tuple[Edges, Edges]] = Counter()
    layer = layer_of(size, links, "chemical")
    label = np.arange(layer.num_links)
    chain = Links(size, layer.tail.copy(), layer.head.copy(), label, label.copy(), True, False, np.zeros(size, int))
    stream, before = Stream(3, "reverse"), frozenset(links)
    for _ in range(4000):
        swap_round(chain, stream)
        after = frozenset(zip(chain.tail.tolist(), chain.head.tolist(), strict=True))
        visits[before, after] += 1
        before = after
    pairs = {frozenset(key) for key in visits if len(set(key)) == 2}
    forth_and_back = [[visits[one, other], visits[other, one]] for one, other in map(tuple, pairs)]
    assert len(pairs) > 3
    assert min(map(min, forth_and_back)) > 0
    assert all(chisquare(both_ways).pvalue > 1e-4 for both_ways in forth_and_back)


def test_configuration_and_rewiring_meet_in_the_same_ensemble(worm: Connectome) -> None:
    """One starts from random stubs, the other from the worm: if both have mixed, no statistic tells them apart."""
    chemical = layers_of(worm.select(kinds="chemical"))[0]
    forward = set(zip(chemical.tail.tolist(), chemical.head.tolist(), strict=True))
    samples = []
    for model in (configuration, degree_preserving):
        rows = []
        for seed in range(25):
            wiring = model(chemical, Stream(seed, model.__name__), swaps=10)
            edges = set(zip(wiring.tail.tolist(), wiring.head.tolist(), strict=True))
            rows.append([len(edges & forward), sum((v, u) in edges for u, v in edges)])
        samples.append(np.array(rows))
    gap = samples[0].mean(axis=0) - samples[1].mean(axis=0)
    error = np.sqrt(sum(sample.var(axis=0) / 25 for sample in samples))
    assert (np.abs(gap / error) < 3.5).all(), (samples[0].mean(axis=0), samples[1].mean(axis=0))
