"""NetworkX, igraph and SciPy: exact round trips, graphs made by others, and what is refused."""

from __future__ import annotations

import sys

import igraph
import networkx as nx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from scipy.sparse import coo_array, csr_array, random_array

from elegans_gnn.connectome import (
    Connectome,
    from_igraph,
    from_networkx,
    from_scipy,
    load_connectome,
    to_igraph,
    to_networkx,
    to_scipy,
    to_scipy_by_kind,
)
from elegans_gnn.connectome._columns import NEURON_COLUMNS
from tests.connectome.strategies import connectomes, same

EXAMPLES = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def neuron_columns(graph: Connectome) -> dict[str, np.ndarray]:
    return {column.field: getattr(graph, column.field) for column in NEURON_COLUMNS if column.field != "names"}


@pytest.fixture(scope="module")
def worm() -> Connectome:
    return load_connectome("varshney2011")


@EXAMPLES
@given(connectomes())
def test_networkx_round_trip_is_exact(graph: Connectome) -> None:
    assert same(from_networkx(to_networkx(graph)), graph)


@EXAMPLES
@given(connectomes())
def test_networkx_simple_digraph_round_trip_is_exact(graph: Connectome) -> None:
    one_kind = graph.select(kinds="gap") if "gap" in graph.kind_names else graph.merged()
    converted = to_networkx(one_kind, nx.DiGraph)
    assert type(converted) is nx.DiGraph
    assert same(from_networkx(converted), one_kind)


@EXAMPLES
@given(connectomes(gap_only=True))
def test_undirected_graphs_round_trip_is_exact(graph: Connectome) -> None:
    for create_using in (nx.Graph, nx.MultiGraph):
        converted = to_networkx(graph, create_using)
        assert converted.number_of_edges() == (graph.pre <= graph.post).sum()
        assert same(from_networkx(converted), graph)
    assert same(from_igraph(to_igraph(graph, directed=False)), graph)


@EXAMPLES
@given(connectomes())
def test_igraph_round_trip_is_exact(graph: Connectome) -> None:
    converted = to_igraph(graph)
    assert converted.get_edgelist() == list(zip(graph.pre.tolist(), graph.post.tolist(), strict=True))
    assert same(from_igraph(converted), graph)


@EXAMPLES
@given(connectomes())
def test_scipy_round_trip_is_exact(graph: Connectome) -> None:
    counts = to_scipy_by_kind(graph)
    weights = None if graph.weights is None else to_scipy_by_kind(graph, values="weight")
    assert same(from_scipy(counts, weights=weights, like=graph), graph)
    columns = neuron_columns(graph) | {"source": graph.source}
    again = from_scipy(counts, weights=weights, names=graph.names, name=graph.name, **columns)
    assert same(again, graph)


def test_scipy_matrix_rows_are_presynaptic(worm: Connectome) -> None:
    chemical = to_scipy(worm, kind="chemical")
    assert (chemical.shape, chemical.nnz, chemical.sum()) == ((279, 279), 2194, 6394)
    assert chemical.has_canonical_format
    entry = int(np.flatnonzero(worm.kinds == "chemical")[0])
    assert chemical[worm.pre[entry], worm.post[entry]] == worm.counts[entry]
    gap = to_scipy(worm, kind="gap")
    assert (gap != gap.T).nnz == 0
    merged = to_scipy(worm)
    assert merged.nnz == 2993
    assert (merged != chemical + gap).nnz == 0


def test_scipy_matrices_of_others() -> None:
    strengths = random_array((5, 5), density=0.4, rng=np.random.default_rng(0), format="csc")
    graph = from_scipy(None, weights=strengths)
    assert graph.num_edges == strengths.nnz
    assert (to_scipy(graph, values="weight") != csr_array(strengths)).nnz == 0
    dense = from_scipy(np.array([[0, 2], [1, 0]]), names=["a", "b"], roles=["sensory", "motor"], kind="gap-like")
    assert dense.counts.tolist() == [2, 1]
    assert dense.kind_names == ("gap-like",)
    # SciPy reads repeated entries of a COO matrix as a sum.
    twice = coo_array((np.array([1, 2]), (np.array([0, 0]), np.array([1, 1]))), shape=(2, 2))
    assert from_scipy(twice).counts.tolist() == [3]
    assert twice.nnz == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"counts": np.zeros((2, 3))}, r"counts\['chemical'\] must be square, got \[2, 3\]"),
        ({"counts": None}, "counts must be a matrix or {kind: matrix}, got None"),
        (
            {"counts": np.array([[0.5]])},
            "counts must be integers, got dtype float64; put measured strengths into weights",
        ),
        ({"counts": np.array([[-1]])}, "counts must be >= 0, got -1"),
        (
            {"counts": np.eye(2, dtype=int), "names": ["a"]},
            r"names must be of length 2 \(the side of the matrix\), got 1",
        ),
        ({"counts": np.eye(2, dtype=int), "weights": np.ones((2, 2))}, "a matrix with the entries of counts"),
        ({"counts": {"a": np.eye(2, dtype=int), "b": np.eye(3, dtype=int)}}, "counts must be matrices of one size"),
        (
            {"counts": {"gap": np.array([[0, 1, 0], [1, 0, 1], [0, 0, 0]])}},
            "gap edges must be present in both directions",
        ),
        ({"counts": None, "weights": np.array([[np.nan]])}, "weights must be finite, got nan"),
    ],
)
def test_scipy_refusals(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_scipy(**arguments)


def test_scipy_refuses_weights_of_a_graph_without(worm: Connectome) -> None:
    with pytest.raises(ValueError, match="values must be 'count' for a connectome without weights"):
        to_scipy(worm, values="weight")
    with pytest.raises(ValueError, match="values must be one of count, weight"):
        to_scipy(worm, values="wight")
    with pytest.raises(ValueError, match="kinds must be one of chemical, gap, got 'chemcal'"):
        to_scipy(worm, kind="chemcal")


def test_networkx_graphs_of_others() -> None:
    graph = nx.DiGraph()
    graph.add_weighted_edges_from([("x", "y", 0.25), ("y", "z", 4)])
    read = from_networkx(graph, name="mine")
    assert (read.name, read.names.tolist(), read.kind_names) == ("mine", ["x", "y", "z"], ("chemical",))
    assert read.weights is not None
    assert read.weights.tolist() == [0.25, 4.0]
    karate = from_networkx(nx.karate_club_graph(), kind="gap")
    # 78 undirected edges: one entry each way, tied like a gap junction.
    assert (karate.num_neurons, karate.num_edges, karate.kind_names) == (34, 156, ("gap",))
    assert from_networkx(nx.path_graph(3), kind="chemical").kind_names == ("chemical",)
    assert from_networkx(nx.Graph()).num_neurons == 0


def test_attributes_can_be_assigned_and_left_out() -> None:
    graph = nx.DiGraph()
    graph.add_node(0, type="motor", role="hub")
    graph.add_node(1, type="sensory", role="leaf")
    graph.add_edge(0, 1, strength=0.5, weight="heavy")
    with pytest.raises(ValueError, match="graph '', node 0: attribute 'role': 'hub' is not one of sensory"):
        from_networkx(graph)
    read = from_networkx(graph, attributes={"role": "type", "weight": "strength"})
    assert read.roles.tolist() == ["motor", "sensory"]
    assert read.weights is not None
    assert read.weights.tolist() == [0.5]
    assert from_networkx(graph, attributes={"role": None, "weight": None}).weights is None
    with pytest.raises(ValueError, match=r"attributes\['count'\] must be one of \['strength', 'weight'\], got 'n'"):
        from_networkx(graph, attributes={"count": "n"})
    with pytest.raises(ValueError, match="attributes must be one of name, role"):
        from_networkx(graph, attributes={"rolle": "type"})


def test_parallel_edges_are_refused_or_summed() -> None:
    graph = nx.MultiDiGraph()
    graph.add_edge("a", "b", count=2, weight=0.5)
    graph.add_edge("a", "b", count=3, weight=0.25)
    graph.add_edge("b", "a", count=1, weight=1.0)
    with pytest.raises(ValueError, match=r"edge a -> b: a -> b \(chemical\) appears twice; .* parallel='sum'"):
        from_networkx(graph)
    summed = from_networkx(graph, parallel="sum")
    assert summed.counts.tolist() == [5, 1]
    assert summed.weights is not None
    assert summed.weights.tolist() == [0.75, 1.0]
    with pytest.raises(ValueError, match="parallel must be one of refuse, sum, got 'add'"):
        from_networkx(graph, parallel="add")
    assert from_networkx(nx.MultiDiGraph(), parallel="sum").num_edges == 0


@pytest.mark.parametrize(
    ("edge", "message"),
    [
        ({"count": -1}, "attribute 'count': -1 is negative"),
        ({"count": 1.5}, "attribute 'count': 1.5 is not an integer"),
        ({"count": float("nan")}, "attribute 'count': nan is not an integer"),
        ({"count": 2**63}, "does not fit into 64 bits"),
        ({"weight": float("inf")}, "attribute 'weight': inf is not finite"),
        ({"weight": "heavy"}, "could not convert string to float"),
        ({"weight": "1_0"}, "'1_0' is not a number"),
    ],
)
def test_bad_attributes_are_refused_with_their_edge(edge: dict[str, object], message: str) -> None:
    graph = nx.DiGraph(name="g")
    graph.add_edge("a", "b", count=1, weight=1.0)
    graph.add_edge("b", "a", **{"count": 1, "weight": 1.0, **edge})
    with pytest.raises(ValueError, match=f"graph 'g', edge b -> a: .*{message}"):
        from_networkx(graph)


def test_half_given_attributes_and_twice_used_names_are_refused() -> None:
    graph = nx.DiGraph()
    graph.add_edge("a", "b", weight=1.0)
    graph.add_edge("b", "a")
    with pytest.raises(ValueError, match="edge b -> a: attribute 'weight' is missing here and present elsewhere"):
        from_networkx(graph)
    labelled = nx.DiGraph()
    labelled.add_node(0, label="A")
    labelled.add_node(1, label="A")
    with pytest.raises(ValueError, match=r"node 1: neuron 'A' appears twice; .* attributes=\{'name': None\}"):
        from_networkx(labelled)
    assert from_networkx(labelled, attributes={"name": None}).names.tolist() == ["0", "1"]


def test_graph_types_that_cannot_hold_the_worm_are_refused(worm: Connectome) -> None:
    with pytest.raises(ValueError, match="got 232 with several kinds; use a multigraph"):
        to_networkx(worm, nx.DiGraph)
    for convert in (lambda: to_networkx(worm, nx.Graph), lambda: to_igraph(worm, directed=False)):
        with pytest.raises(ValueError, match="an undirected graph must be made of gap junctions, got chemical"):
            convert()


def test_igraph_graphs_of_others() -> None:
    ring = from_igraph(igraph.Graph.Ring(4, directed=True))
    assert (ring.names.tolist(), ring.num_edges, ring.kind_names) == (["0", "1", "2", "3"], 4, ("chemical",))
    undirected = igraph.Graph.Ring(3)
    undirected.vs["name"] = ["a", "b", "c"]
    undirected.es["weight"] = [1.5, 2.5, 3.5]
    with pytest.raises(ValueError, match="edge 0 -> 1: it has no direction and no kind; pass kind='gap' .* kind='chem"):
        from_igraph(undirected)
    read = from_igraph(undirected, kind="gap")
    assert (read.num_edges, read.kind_names) == (6, ("gap",))
    with pytest.raises(ValueError, match="graph must be an igraph Graph, got DiGraph"):
        from_igraph(nx.DiGraph())
    with pytest.raises(ValueError, match="graph must be a NetworkX graph, got Graph"):
        from_networkx(undirected)


def test_published_attributes_are_understood_in_memory_too(worm: Connectome) -> None:
    graph = nx.MultiDiGraph()
    graph.add_node("n0", cell_name="DD06", cell_class="DD", neurotransmitters="GABA", role="M")
    graph.add_node("n1", cell_name="AVAL", cell_class="AVA", neurotransmitters="NA", role="NA")
    graph.add_edge("n1", "n0", synapse_type="C", weight=3.0)
    graph.add_edge("n0", "n1", synapse_type="E", weight=1.0)
    graph.add_edge("n1", "n0", synapse_type="E", weight=1.0)
    read = from_networkx(graph)
    assert read.names.tolist() == ["DD6", "AVAL"]
    assert read.roles.tolist() == ["motor", "inter"]
    assert read.transmitters.tolist() == ["GABA", ""]
    assert read.kinds.tolist() == ["gap", "chemical", "gap"]
    assert read.counts.tolist() == [1, 3, 1]
    assert read.weights is None


def test_a_missing_igraph_says_what_to_install(worm: Connectome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "igraph", None)
    for convert in (lambda: to_igraph(worm), lambda: from_igraph(worm)):
        with pytest.raises(ImportError, match=r'pip install "elegans_gnn\[graphs\]"'):
            convert()
