"""Hops between neurons, compared with a plain breadth-first search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from elegans_gnn.connectome import Connectome
from elegans_gnn.graphs import hops_from
from elegans_gnn.graphs import statistics as stats


def search(connectome: Connectome, sources: NDArray[np.int64]) -> NDArray[np.int64]:
    hops = np.full(connectome.num_neurons, -1)
    hops[sources] = 0
    front = np.zeros(connectome.num_neurons, dtype=bool)
    front[sources] = True
    distance = 0
    while front.any():
        distance += 1
        arrived = np.zeros_like(front)
        arrived[connectome.post[front[connectome.pre]]] = True
        front = arrived & (hops < 0)
        hops[front] = distance
    return hops


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Connectome, NDArray[np.int64]]:
    size = draw(st.integers(1, 9))
    neuron = st.integers(0, size - 1)
    edges = sorted(draw(st.sets(st.tuples(neuron, neuron, st.sampled_from(["chemical", "monoamine"])), max_size=25)))
    columns = [u for u, _, _ in edges], [v for _, v, _ in edges]
    kinds = np.array([kind for _, _, kind in edges], dtype=np.str_)
    graph = Connectome.from_edges("any", [f"N{i}" for i in range(size)], *columns, kinds=kinds)
    return graph, np.array(draw(st.lists(neuron, max_size=5)), dtype=np.int64)


@settings(max_examples=200, deadline=None)
@given(graphs())
def test_any_graph_with_any_sources(case: tuple[Connectome, NDArray[np.int64]]) -> None:
    graph, sources = case
    found = hops_from(graph, sources)
    assert found.dtype == np.int64
    assert found.tolist() == search(graph, sources).tolist()


def test_several_sources_self_loops_and_islands() -> None:
    names = ["a", "b", "c", "d", "e", "f"]
    graph = Connectome.from_edges("small", names, ["a", "a", "b", "c", "e"], ["a", "b", "c", "d", "e"], counts=0)
    assert hops_from(graph, np.array([0])).tolist() == [0, 1, 2, 3, -1, -1]
    assert hops_from(graph, np.array([4, 1, 1])).tolist() == [-1, 0, 1, 2, 0, -1]
    assert hops_from(graph, np.array([], dtype=np.int64)).tolist() == [-1] * 6
    with pytest.raises(IndexError):
        hops_from(graph, np.array([6]))


def test_no_edges_and_no_neurons() -> None:
    none = np.array([], dtype=np.int64)
    assert hops_from(Connectome.from_edges("two", ["a", "b"], [], []), np.array([1])).tolist() == [-1, 0]
    assert hops_from(Connectome.from_edges("nobody", [], [], []), none).tolist() == []


@pytest.mark.parametrize("role", ["sensory", "inter", "motor"])
def test_the_worm(role: str, worm: Connectome) -> None:
    sources = worm.role_index(role)
    found = hops_from(worm, sources)
    assert found.tolist() == search(worm, sources).tolist()
    targets = found[worm.role_index("motor")]
    if role != "motor":
        shares = [((targets >= 0) & (targets <= step)).mean() for step in (1, 2, 3, 4)]
        assert stats.reach(worm, 4, sources=role).targets.tolist() == pytest.approx(shares)
