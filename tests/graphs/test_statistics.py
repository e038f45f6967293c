from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from elegans_gnn.connectome import Connectome
from elegans_gnn.graphs import random_connectome, rich_club, small_world
from elegans_gnn.graphs import statistics as stats


def as_igraph(connectome: Connectome) -> Any:
    igraph = pytest.importorskip("igraph", reason="needs the extra graphs")
    pairs = {(u, v) for u, v in zip(connectome.pre.tolist(), connectome.post.tolist(), strict=True) if u != v}
    return igraph.Graph(n=connectome.num_neurons, edges=sorted(pairs), directed=True)


@pytest.fixture(scope="module")
def small() -> Connectome:
    """0 <-> 1 -> 2 -> 0, 2 -> 3, gap 3 - 4, a self-loop at 4, and 5 alone."""
    return Connectome.from_edges(
        "small",
        list("abcdef"),
        [0, 1, 1, 2, 2, 3, 4, 4],
        [1, 0, 2, 0, 3, 4, 3, 4],
        kinds=["chemical"] * 5 + ["gap", "gap", "chemical"],
        counts=[1, 2, 3, 4, 5, 6, 6, 7],
        roles=["sensory", "inter", "inter", "motor", "motor", "unknown"],
    )


class TestPublishedFigures:
    """Varshney et al. 2011, PLoS Comput Biol 7:e1001066, to the printed digit."""

    def test_counts(self, worm: Connectome) -> None:
        chemical, gap = worm.kinds == "chemical", worm.kinds == "gap"
        one_way = worm.pre <= worm.post
        assert (worm.num_neurons, chemical.sum(), gap.sum()) == (279, 2194, 1031)
        assert worm.counts[chemical].sum() == 6394
        assert worm.counts[gap & one_way].sum() == 890
        assert (gap & (worm.pre < worm.post)).sum() == 514
        assert (gap & (worm.pre == worm.post)).sum() == 3
        pairs = [set(zip(worm.pre[of].tolist(), worm.post[of].tolist(), strict=True)) for of in (chemical, gap)]
        assert len(pairs[0] & pairs[1]) == 232

    def test_gap_network(self, worm: Connectome) -> None:
        giant = worm.select(kinds="gap", component="weak")
        assert giant.num_neurons == 248
        assert f"{stats.path_length(giant):.2f}" == "4.52"
        assert f"{stats.clustering(giant):.2f}" == "0.21"

    def test_chemical_network(self, worm: Connectome) -> None:
        chemical = worm.select(kinds="chemical")
        assert chemical.select(component="strong").num_neurons == 237
        assert f"{stats.path_length(chemical):.2f}" == "3.48"

    def test_merged_network(self, worm: Connectome) -> None:
        merged = worm.merged()
        assert merged.num_edges == 2993
        assert (merged.pre == merged.post).sum() == 3
        assert merged.select(component="strong").num_neurons == 274
        assert f"{stats.path_length(merged):.2f}" == "2.87"
        assert stats.path_length(worm) == stats.path_length(merged)


class TestAgainstIgraph:
    """A second library on the same graphs."""

    @pytest.fixture(params=["worm", "chemical", "gap", "erdos-renyi", "small"])
    def graph(self, request: pytest.FixtureRequest, worm: Connectome, small: Connectome) -> Connectome:
        if request.param in ("chemical", "gap"):
            return worm.select(kinds=request.param)
        if request.param == "erdos-renyi":
            return random_connectome("erdos-renyi", like=worm, seed=0)
        return {"worm": worm, "small": small}[request.param]

    def test_density_and_reciprocity(self, graph: Connectome) -> None:
        other = as_igraph(graph)
        assert stats.density(graph) == pytest.approx(other.density(), rel=1e-12)
        assert stats.reciprocity(graph) == pytest.approx(other.reciprocity(), rel=1e-12)

    def test_degrees(self, graph: Connectome) -> None:
        other = as_igraph(graph)
        assert stats.degrees(graph, "in").tolist() == other.indegree()
        assert stats.degrees(graph, "out").tolist() == other.outdegree()
        assert stats.degrees(graph).tolist() == other.degree()

    def test_path_length(self, graph: Connectome) -> None:
        part = as_igraph(graph).connected_components(mode="strong").giant()
        assert stats.path_length(graph) == pytest.approx(part.average_path_length(), rel=1e-12)

    def test_clustering(self, graph: Connectome) -> None:
        other = as_igraph(graph).as_undirected().transitivity_avglocal_undirected(mode="zero")
        assert stats.clustering(graph) == pytest.approx(other, rel=1e-12)

    def test_triad_census(self, graph: Connectome) -> None:
        census = as_igraph(graph).triad_census()
        assert stats.triad_census(graph) == {name: census[name] for name in stats.triad_census(graph)}

    def test_modularity_of_the_roles(self, graph: Connectome) -> None:
        roles = np.unique(graph.roles, return_inverse=True)[1]
        expected = as_igraph(graph).modularity(roles.tolist(), directed=True)
        assert stats.modularity(graph, partition=graph.roles).value == pytest.approx(expected, rel=1e-12)


def test_strengths_and_distributions(small: Connectome) -> None:
    assert stats.strengths(small, "out").tolist() == [1, 5, 9, 6, 6, 0]
    assert stats.strengths(small, "in").tolist() == [6, 1, 3, 11, 6, 0]
    assert stats.strengths(small).sum() == 2 * stats.strengths(small, "in").sum()
    found = stats.degree_distribution(small, "out")
    assert (found.values.tolist(), found.number.tolist()) == ([0, 1, 2], [1, 3, 2])
    assert found.share_above.tolist() == [1.0, 5 / 6, 2 / 6]
    assert stats.strength_distribution(small, "out").values.tolist() == [0, 1, 5, 6, 9]


def test_role_flow(small: Connectome, worm: Connectome) -> None:
    flow = stats.role_flow(small)
    assert flow.roles == ("sensory", "inter", "motor", "unknown")
    assert flow.matrix.tolist() == [[0, 1, 0, 0], [2, 1, 1, 0], [0, 0, 2, 0], [0, 0, 0, 0]]
    assert (flow.homophilic, flow.heterophilic) == (3 / 7, 1 - 3 / 7)
    weighted = stats.role_flow(small, weighted=True)
    assert weighted.matrix.tolist() == [[0, 1, 0, 0], [6, 3, 5, 0], [0, 0, 12, 0], [0, 0, 0, 0]]
    assert stats.role_flow(worm).matrix.sum() == 2993 - 3
    kept = random_connectome("role-block", like=worm.merged(), seed=0)
    assert np.array_equal(stats.role_flow(kept).matrix, stats.role_flow(worm).matrix)


def test_reach(small: Connectome, worm: Connectome) -> None:
    found = stats.reach(small, 5)
    assert found.steps.tolist() == [1, 2, 3, 4, 5]
    assert found.targets.tolist() == [0.0, 0.0, 0.5, 1.0, 1.0]
    by_name = stats.reach(small, 2, sources=["c", "f"], targets=["d", "e"])
    assert by_name.targets.tolist() == [0.5, 1.0]
    assert by_name.pairs.tolist() == [0.25, 0.5]
    real = stats.reach(worm, 4)
    assert (np.diff(real.pairs) > 0).all()
    assert real.targets[-1] == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps must be a positive integer, got 0"),
        ({"sources": "polymodal"}, "sources must be at least one neuron, got 'polymodal': none"),
        ({"targets": "muscle"}, "targets must be one of sensory"),
        ({"targets": ["a", "zz"]}, "targets must be one of a, b"),
    ],
)
def test_reach_refuses(arguments: dict[str, object], message: str, small: Connectome) -> None:
    with pytest.raises(ValueError, match=message):
        stats.reach(small, **arguments)  # type: ignore[arg-type]


def test_modularity_finds_planted_groups() -> None:
    pairs = [(u, v) for block in (range(6), range(6, 12)) for u, v in itertools.permutations(block, 2)]
    planted = Connectome.from_edges(
        "planted", [f"N{i}" for i in range(12)], [u for u, _ in pairs] + [0], [v for _, v in pairs] + [6]
    )
    found = stats.modularity(planted)
    assert found.community.tolist() == [0] * 6 + [1] * 6
    assert found.value == stats.modularity(planted, partition=found.community).value > 0.45
    with pytest.raises(ValueError, match=r"partition must be \[12\] \(one label per neuron\), got \[3\]"):
        stats.modularity(planted, partition="abc")


def test_modularity_of_the_worm_beats_its_roles_and_its_nulls(worm: Connectome) -> None:
    found = stats.modularity(worm, seed=1)
    assert found.value == stats.modularity(worm, seed=1).value
    assert found.value > stats.modularity(worm, partition=worm.roles).value + 0.2
    assert found.value > stats.modularity(random_connectome("degree-preserving", like=worm, seed=0)).value + 0.1
    assert stats.modularity(worm, weighted=True).value > found.value


def test_undefined_is_nan_and_not_an_error() -> None:
    empty = Connectome.from_edges("empty", ["a", "b"], [], [])
    undefined = [stats.reciprocity(empty), stats.path_length(empty), stats.role_flow(empty).homophilic]
    assert np.isnan([*undefined, stats.modularity(empty).value]).all()
    assert (stats.density(empty), stats.clustering(empty)) == (0.0, 0.0)
    with pytest.raises(ValueError, match="direction must be one of in, out, total"):
        stats.degrees(empty, "up")  # type: ignore[arg-type]


def test_statistics_do_not_depend_on_the_order_of_neurons(worm: Connectome) -> None:
    order = np.random.Generator(np.random.PCG64(0)).permutation(worm.num_neurons)
    moved = worm.relabel(order)
    for figure in (stats.density, stats.reciprocity, stats.path_length, stats.clustering):
        assert figure(worm) == pytest.approx(figure(moved), rel=1e-12)
    assert np.array_equal(stats.degrees(worm)[order], stats.degrees(moved))


@pytest.mark.parametrize("directed", [False, True])
def test_small_world_ratios_by_definition(directed: bool, worm: Connectome) -> None:
    found = small_world(worm, seeds=range(2), directed=directed)
    gamma = found.clustering / found.random_clustering
    lambda_ = found.path_length / found.random_path_length
    assert (found.gamma, found.lambda_) == (gamma, lambda_)
    assert found.sigma == pytest.approx(gamma / lambda_)
    expected = found.random_path_length / found.path_length - found.clustering / found.lattice_clustering
    assert found.omega == pytest.approx(expected)
    assert found.clustering == pytest.approx(stats.clustering(worm, directed=directed))
    assert found.sigma > 3, "the worm is a small world"
    strict = small_world(worm, seeds=range(2), directed=directed, null="degree-preserving")
    assert 1 < strict.sigma < found.sigma


def test_small_world_ratios_of_a_lattice_and_of_a_random_graph(worm: Connectome) -> None:
    gap = worm.select(kinds="gap")
    lattice = small_world(random_connectome("lattice", like=gap, seed=5), seeds=range(2))
    random = small_world(random_connectome("erdos-renyi", like=gap, seed=5), seeds=range(4))
    assert lattice.omega < -0.7
    assert random.omega > 0.7
    assert 0.5 < random.sigma < 2
    with pytest.raises(ValueError, match="seeds must be at least one seed"):
        small_world(gap, seeds=[])


def test_rich_club(worm: Connectome) -> None:
    found = rich_club(worm, seeds=range(3))
    simple = stats.simple_digraph(worm).to_undirected()
    degree = dict(simple.degree())
    k = 40
    rich = [node for node in simple if degree[node] > k]
    assert found.phi[k] == pytest.approx(simple.subgraph(rich).number_of_edges() / (len(rich) * (len(rich) - 1) / 2))
    assert found.degree[k] == k
    assert found.normalized[0] == pytest.approx(1.0)
    assert found.normalized[k] > 1.1
    assert np.isnan(rich_club(worm, seeds=[]).normalized).all()
