"""Loading by name: the figures of Varshney et al. 2011, unwired neurons, layers, speed, helpful refusals."""

from __future__ import annotations

import time

import igraph
import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components, shortest_path

from elegans_gnn.connectome import (
    Connectome,
    list_connectomes,
    list_layers,
    load_connectome,
    natural_key,
    to_igraph,
    to_scipy,
)

LAYERS = ("monoamine", "neuropeptide-short", "neuropeptide-mid", "neuropeptide-long")


@pytest.fixture(scope="module")
def worm() -> Connectome:
    return load_connectome("varshney2011")


def mean_path(graph: Connectome) -> float:
    """Mean directed distance over all ordered pairs of different neurons."""
    distance = shortest_path(to_scipy(graph) > 0, unweighted=True)
    apart = ~np.eye(graph.num_neurons, dtype=bool)
    return float(distance[apart].mean())


def test_varshney_counts(worm: Connectome) -> None:
    chemical, gap = worm.select(kinds="chemical"), worm.select(kinds="gap")
    assert worm.num_neurons == 279
    assert load_connectome("varshney2011", include_unwired=True).num_neurons == 280
    assert (chemical.num_edges, chemical.counts.sum()) == (2194, 6394)
    assert not (chemical.pre == chemical.post).any()
    pairs, loops = int((gap.pre < gap.post).sum()), int((gap.pre == gap.post).sum())
    assert (pairs, loops, gap.num_edges) == (514, 3, 1031)
    assert gap.counts[gap.pre <= gap.post].sum() == 890
    merged = worm.merged()
    assert (merged.num_edges, int((merged.pre == merged.post).sum())) == (2993, 3)
    assert worm.num_edges - merged.num_edges == 232
    assert {role: len(worm.role_index(role)) for role in ("sensory", "inter", "motor")} == {
        "sensory": 83,
        "inter": 81,
        "motor": 115,
    }


def test_vc6_is_listed_and_unwired(worm: Connectome) -> None:
    listed = load_connectome("varshney2011", include_unwired=True)
    assert listed.names[~listed.wired].tolist() == ["VC6"]
    assert listed.subset(listed.wired) == worm


def test_varshney_gap_network(worm: Connectome) -> None:
    giant = worm.select(kinds="gap", component="weak")
    assert giant.num_neurons == 248
    assert round(mean_path(giant), 2) == 4.52
    simple = to_igraph(giant, directed=False).simplify()
    # Neurons of degree below 2 count as 0, as in the paper.
    assert round(float(np.mean(simple.transitivity_local_undirected(mode="zero"))), 2) == 0.21


def test_varshney_chemical_network(worm: Connectome) -> None:
    strong = worm.select(kinds="chemical", component="strong")
    assert strong.num_neurons == 237
    assert round(mean_path(strong), 2) == 3.48


def test_varshney_merged_network(worm: Connectome) -> None:
    strong = worm.merged().select(component="strong")
    assert strong.num_neurons == 274
    assert round(mean_path(strong), 2) == 2.87
    assert connected_components(to_scipy(worm), directed=True, connection="strong")[0] == 279 - 274 + 1
    assert isinstance(to_igraph(strong), igraph.Graph)


def test_parameters_of_tied_gap_junctions(worm: Connectome) -> None:
    one_way = (worm.kinds == "chemical") | (worm.pre <= worm.post)
    assert (worm.num_edges, int(one_way.sum())) == (3225, 2711)


@pytest.mark.parametrize("name", list_connectomes())
def test_loading_takes_less_than_100_ms(name: str) -> None:
    load_connectome(name)  # fills the file cache

    def seconds() -> float:
        # Of this process, which with warm caches does nothing but compute: neighbours on the machine do not count.
        begin = time.process_time()
        load_connectome(name)
        return time.process_time() - begin

    assert min(seconds() for _ in range(5)) < 0.1


@pytest.mark.parametrize("name", list_connectomes())
def test_order_is_canonical(name: str) -> None:
    graph = load_connectome(name, include_unwired=True)
    names = graph.names.tolist()
    assert names == sorted(names, key=natural_key)
    assert graph.visit_rank.tolist() == list(range(len(names)))
    assert graph.kind_names == ("chemical", "gap")
    assert (graph.counts > 0).all()
    assert graph.weights is None
    assert graph.name == name
    assert "doi:10." in graph.source
    assert load_connectome(name).wired.all()
    assert graph.subset(graph.wired) == load_connectome(name)


def test_layers_are_listed() -> None:
    assert list_layers() == LAYERS


@pytest.mark.parametrize("include_unwired", [False, True])
@pytest.mark.parametrize("name", ["varshney2011", "cook2019-male", "witvliet2020-1"])
def test_layers_add_kinds_and_never_neurons(name: str, include_unwired: bool) -> None:
    plain = load_connectome(name, include_unwired=include_unwired)
    layered = load_connectome(name, include_unwired=include_unwired, layers=LAYERS)
    assert layered.names.tolist() == plain.names.tolist()
    assert layered.kind_names == tuple(sorted(("chemical", "gap", *LAYERS)))
    assert layered.select(kinds=["chemical", "gap"]) == plain
    one = load_connectome(name, include_unwired=include_unwired, layers="monoamine")
    assert one.select(kinds="monoamine") == layered.select(kinds="monoamine")
    assert "Bentley" in one.source
    assert "Ripoll" not in one.source


def test_layers_have_all_their_entries_where_all_neurons_are() -> None:
    graph = load_connectome("cook2019-hermaphrodite", layers=LAYERS)
    found = {kind: int((graph.kinds == kind).sum()) for kind in LAYERS}
    assert found == {
        "monoamine": 1952,
        "neuropeptide-short": 31417,
        "neuropeptide-mid": 40425,
        "neuropeptide-long": 53558,
    }


def test_repeated_layers_count_once(worm: Connectome) -> None:
    assert load_connectome("varshney2011", layers=["monoamine", "monoamine"]).select(kinds=["chemical", "gap"]) == worm


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"name": "varshney2012"},
            "name must be one of varshney2011, .* got 'varshney2012'; did you mean 'varshney2011'",
        ),
        ({"name": "../data"}, "../data: No such file or directory; check the path"),
        ({"name": "varshney2011", "layers": "monoamines"}, "layers must be one of .* did you mean 'monoamine'"),
        ({"name": "varshney2011", "layers": ["monoamine", "gap"]}, "layers must be one of .* got 'gap'"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_connectome(**arguments)  # type: ignore[arg-type]
