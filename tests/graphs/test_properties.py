"""Hypothesis: whatever the graph - tiny, dense, self-looped, disconnected, of any kinds - the promises hold."""

from __future__ import annotations

import itertools
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elegans_gnn.connectome import ROLES, Connectome
from elegans_gnn.graphs import (
    ALWAYS_PRESERVED,
    RANDOM_MODELS,
    NullModelWarning,
    list_random_models,
    match_report,
    random_connectome,
)

MODELS = list_random_models()
KINDS = ("chemical", "gap", "merged", "neuropeptide-short")


@st.composite
def graphs(draw: st.DrawFn, max_neurons: int = 6, kinds: tuple[str, ...] = KINDS) -> Connectome:
    size = draw(st.integers(0, max_neurons))
    places = list(itertools.product(range(size), repeat=2))
    chosen = draw(st.lists(st.sampled_from(kinds), max_size=2, unique=True))
    triples: dict[tuple[int, int, str], int] = {}
    for kind in chosen if places else []:
        # Dense graphs are as likely as sparse ones: a coin says whether the draw is what is there or what is missing.
        drawn = draw(st.sets(st.sampled_from(places)))
        for u, v in set(places) - drawn if draw(st.booleans()) else drawn:
            count = draw(st.integers(0, 3))
            triples[u, v, kind] = count
            if kind == "gap":
                triples[v, u, kind] = count
    rows = list(triples)
    return Connectome.from_edges(
        "drawn",
        [f"N{i}" for i in range(size)],
        np.array([u for u, _, _ in rows], dtype=np.int64),
        np.array([v for _, v, _ in rows], dtype=np.int64),
        kinds=np.array([kind for _, _, kind in rows], dtype=np.str_),
        counts=np.array(list(triples.values()), dtype=np.int64),
        roles=np.array([draw(st.sampled_from(ROLES)) for _ in range(size)], dtype=np.str_),
        visit_rank=draw(st.permutations(range(size))),
    )


REFUSAL = {"rewired": "p must be a share of links that can move"}


def drawn(model: str, like: Connectome, seed: int, **options: float) -> Connectome | None:
    """The random graph, or None where the request is refused with the message that such a refusal has."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NullModelWarning)
        try:
            return random_connectome(model, like=like, seed=seed, **options)
        except ValueError as error:
            if not str(error).startswith(REFUSAL.get(model, f"like must be a graph that {model} can change")):
                raise
            return None


@pytest.mark.parametrize("model", MODELS)
@settings(max_examples=25, deadline=None)
@given(like=graphs(), seed=st.integers(0, 2**70))
def test_promises(model: str, like: Connectome, seed: int) -> None:
    graph = drawn(model, like, seed)
    if graph is None:
        assert model == "rewired" or "swaps" in RANDOM_MODELS[model].options
        return
    assert graph.fingerprint == drawn(model, like, seed).fingerprint
    for row in match_report(like, graph).rows:
        if row.quantity in (*ALWAYS_PRESERVED, *RANDOM_MODELS[model].preserves) or row.quantity.endswith(" neurons"):
            assert row.same, row
    triples = Counter(zip(graph.pre.tolist(), graph.post.tolist(), graph.kinds.tolist(), strict=True))
    assert set(triples.values()) <= {1}
    assert Counter(graph.kinds.tolist()) == Counter(like.kinds.tolist())


@pytest.mark.parametrize("model", ["watts-strogatz", "rewired"])
@settings(max_examples=25, deadline=None)
@given(like=graphs(), seed=st.integers(0, 1000), p=st.floats(0, 1))
def test_any_share_p(model: str, like: Connectome, seed: int, p: float) -> None:
    graph = drawn(model, like, seed, p=p)
    assert graph is None or Counter(graph.kinds.tolist()) == Counter(like.kinds.tolist())


@cache
def realisations(size: int, undirected: bool) -> Counter[tuple[tuple[int, ...], ...]]:
    """How many simple graphs there are of each degree sequence."""
    places = list((itertools.combinations if undirected else itertools.permutations)(range(size), 2))
    number: Counter[tuple[tuple[int, ...], ...]] = Counter()
    for chosen in itertools.product((0, 1), repeat=len(places)):
        number[_degrees([place for place, there in zip(places, chosen, strict=True) if there], size, undirected)] += 1
    return number


def _degrees(links: list[tuple[int, int]], size: int, undirected: bool) -> tuple[tuple[int, ...], ...]:
    tails, heads = [u for u, _ in links], [v for _, v in links]
    ends = (tails + heads,) if undirected else (tails, heads)
    return tuple(tuple(np.bincount(np.array(part, dtype=int), minlength=size).tolist()) for part in ends)


@pytest.mark.parametrize("kind", ["chemical", "gap"])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_refused_exactly_where_no_other_wiring_has_these_degrees(kind: str, data: st.DataObject) -> None:
    like = data.draw(graphs(max_neurons=4, kinds=(kind,)))
    one_way = like.pre < like.post if kind == "gap" else like.pre != like.post
    links = list(zip(like.pre[one_way].tolist(), like.post[one_way].tolist(), strict=True))
    degrees = _degrees(links, like.num_neurons, kind == "gap")
    refused = drawn("degree-preserving", like, 0) is None
    assert refused == (bool(links) and realisations(like.num_neurons, kind == "gap")[degrees] == 1)


def moves(links: set[tuple[int, int]], undirected: bool) -> Iterator[tuple[set[tuple[int, int]], set[tuple[int, int]]]]:
    """What each swap of two links, and each reversal of a triangle, removes and adds."""
    for (u, v), other in itertools.combinations(links, 2):
        for x, y in (other, other[::-1]) if undirected else (other,):
            yield {(u, v), other}, {(u, y), (x, v)}
    for u, v, w in () if undirected else itertools.permutations({end for link in links for end in link}, 3):
        yield {(u, v), (v, w), (w, u)}, {(v, u), (w, v), (u, w)}


@pytest.mark.parametrize("kind", ["chemical", "gap"])
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_role_degree_is_refused_exactly_where_no_move_keeps_the_blocks(kind: str, data: st.DataObject) -> None:
    like = data.draw(graphs(max_neurons=5, kinds=(kind,)))
    one_way = like.pre < like.post if kind == "gap" else like.pre != like.post
    links = set(zip(like.pre[one_way].tolist(), like.post[one_way].tolist(), strict=True))

    def blocks(ends: set[tuple[int, int]]) -> Counter[tuple[str, ...]]:
        pairs = [(str(like.roles[u]), str(like.roles[v])) for u, v in ends]
        return Counter(tuple(sorted(pair)) if kind == "gap" else pair for pair in pairs)

    possible = False
    for removed, added in moves(links, kind == "gap"):
        new = {(min(link), max(link)) for link in added} if kind == "gap" else added
        simple = len(new) == len(removed) and all(u != v for u, v in new) and not new & links
        possible |= removed <= links and simple and blocks(removed) == blocks(new)
    assert (drawn("role-degree", like, 0) is None) == (bool(links) and not possible)


@pytest.mark.hard
@pytest.mark.parametrize(
    ("roles", "several", "connected"), [("0001", 794, 794), ("0011", 568, 506), ("0012", 520, 488)]
)
def test_how_many_ensembles_of_four_neurons_the_moves_of_role_degree_connect(
    roles: str, several: int, connected: int
) -> None:
    """The figures of docs/null-models.md: all digraphs of four neurons, by their degrees and role blocks."""
    places = list(itertools.permutations(range(4), 2))
    ensembles: dict[object, set[frozenset[tuple[int, int]]]] = {}
    for chosen in itertools.product((False, True), repeat=len(places)):
        graph = frozenset(itertools.compress(places, chosen))
        blocks = Counter(roles[u] + roles[v] for u, v in graph)
        ensembles.setdefault((_degrees(list(graph), 4, False), frozenset(blocks.items())), set()).add(graph)
    large = [ensemble for ensemble in ensembles.values() if len(ensemble) > 1]
    found = 0
    for ensemble in large:
        reached = [next(iter(ensemble))]
        left = ensemble - {*reached}
        for graph in reached:
            new = {graph - removed | added for removed, added in moves({*graph}, False) if removed <= graph} & left
            left -= new
            reached += new
        found += not left
    assert (len(large), found) == (several, connected)
