"""GraphML: exact round trips in both styles, files as NetworkX, igraph and Gephi write them, the published format."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import igraph
import networkx as nx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from elegans_gnn.connectome import (
    Connectome,
    from_networkx,
    load_connectome,
    read_graphml,
    to_igraph,
    to_networkx,
    write_graphml,
)
from elegans_gnn.errors import ConnectomeFormatError
from tests.connectome.strategies import connectomes

EXAMPLES = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
GEPHI = """<?xml version="1.0" encoding="UTF-8"?><graphml xmlns="http://graphml.graphdrawing.org/xmlns">
<key attr.name="label" attr.type="string" for="node" id="label"/>
<key attr.name="Edge Label" attr.type="string" for="edge" id="edgelabel"/>
<key attr.name="weight" attr.type="double" for="edge" id="weight"/>
<key attr.name="Modularity Class" attr.type="int" for="node" id="modularity_class"/>
<key attr.name="r" attr.type="int" for="node" id="r"/>
<key attr.name="x" attr.type="float" for="node" id="x"/>
<key attr.name="size" attr.type="float" for="node" id="size"/>
<graph edgedefault="directed">
<node id="0"><data key="label">AVAL</data>
<data key="size">10.0</data><data key="r">153</data><data key="x">-1.5</data></node>
<node id="1"><data key="label">AVAR</data>
<data key="size">10.0</data><data key="r">153</data><data key="x">2.5</data></node>
<node id="2"><data key="label">DA1</data>
<data key="size">4.0</data><data key="r">1</data><data key="x">0.0</data></node>
<edge id="0" source="0" target="2"><data key="weight">2.5</data></edge>
<edge id="1" source="1" target="2"><data key="weight">1.0</data></edge>
</graph>
</graphml>
"""


def written(connectome: Connectome, folder: Path, **options: str) -> Path:
    path = folder / "graph.graphml"
    write_graphml(connectome, path, **options)
    return path


@pytest.fixture(scope="module")
def worm() -> Connectome:
    return load_connectome("varshney2011")


@EXAMPLES
@given(graph=connectomes())
@pytest.mark.parametrize("style", ["plain", "elegans-ai"])
def test_round_trip_is_exact(tmp_path: Path, style: str, graph: Connectome) -> None:
    again = read_graphml(written(graph, tmp_path, style=style))
    assert again.fingerprint == graph.fingerprint, again.diff(graph)
    assert again.source == graph.source
    assert again.name == (graph.name or "graph")


@pytest.mark.parametrize("style", ["plain", "elegans-ai"])
@pytest.mark.parametrize("name", ["varshney2011", "cook2019-male", "cook2020-pharynx"])
def test_shipped_connectomes_survive(tmp_path: Path, style: str, name: str) -> None:
    graph = load_connectome(name, include_unwired=True)
    assert read_graphml(written(graph, tmp_path, style=style)) == graph


def test_weights_keep_their_last_digit(tmp_path: Path) -> None:
    weights = [0.1 + 0.2, 5e-324, -1.7976931348623157e308]
    graph = Connectome.from_edges("g", ["a", "b", "c"], ["a", "b", "c"], ["b", "c", "a"], weights=weights)
    again = read_graphml(written(graph, tmp_path))
    assert again.weights is not None
    assert again.weights.tolist() == weights


def test_networkx_reads_and_writes_it(tmp_path: Path, worm: Connectome) -> None:
    theirs = nx.read_graphml(written(worm, tmp_path))
    assert Counter(nx.get_edge_attributes(theirs, "kind").values()) == {"chemical": 2194, "gap": 1031}
    assert from_networkx(theirs) == worm
    path = tmp_path / "networkx.graphml"
    nx.write_graphml(to_networkx(worm), path)
    assert read_graphml(path) == worm
    nx.write_graphml_xml(nx.path_graph(["b", "a"]), path)
    with pytest.raises(ConnectomeFormatError, match="line .*: it has no direction and no kind; pass kind='gap'"):
        read_graphml(path)
    undirected = read_graphml(path, kind="gap")
    assert (undirected.names.tolist(), undirected.kinds.tolist()) == (["b", "a"], ["gap", "gap"])


def test_igraph_reads_and_writes_it(tmp_path: Path, worm: Connectome) -> None:
    theirs = igraph.Graph.Read_GraphML(str(written(worm, tmp_path)))
    assert theirs.vs["name"] == worm.names.tolist()
    path = tmp_path / "igraph.graphml"
    to_igraph(worm).write_graphml(str(path))
    assert read_graphml(path) == worm


def test_gephi_export_is_read(tmp_path: Path) -> None:
    path = tmp_path / "gephi.graphml"
    path.write_text(GEPHI, encoding="utf-8")
    graph = read_graphml(path)
    assert (graph.name, graph.names.tolist()) == ("gephi", ["AVAL", "AVAR", "DA1"])
    assert graph.weights is not None
    assert graph.weights.tolist() == [2.5, 1.0]
    assert graph.counts.tolist() == [1, 1]
    assert graph.edge_index.tolist() == [[0, 1], [2, 2]]


def test_published_style_says_what_the_published_file_says(tmp_path: Path, worm: Connectome) -> None:
    path = written(worm, tmp_path, style="elegans-ai")
    graph = igraph.Graph.Read_GraphML(str(path))
    assert graph.is_directed()
    assert (graph.vcount(), graph.ecount()) == (279, 3225)
    assert graph.vs[0]["cell_name"] == "ADAL"
    assert {name for name in graph.vs["cell_name"] if name.startswith("DD")} == {f"DD0{n}" for n in range(1, 7)}
    assert "IL1L" in graph.vs["cell_name"]
    assert Counter(graph.vs["role"]) == {"S": 83, "NA": 81, "M": 115}
    assert Counter(graph.es["synapse_type"]) == {"C": 2194, "E": 1031}
    assert (
        sum(weight for weight, kind in zip(graph.es["weight"], graph.es["synapse_type"], strict=True) if kind == "C")
        == 6394
    )
    assert set(graph.vs["neurotransmitters"]) >= {"NA", "Ach", "GABA", "DA", "GLU"}
    # All of this data set fits the published attributes, so nothing else is written.
    assert not [attribute for attribute in graph.vs.attributes() if attribute.startswith("elegans_gnn.")]


def test_what_the_published_style_cannot_say_stands_in_further_attributes(tmp_path: Path) -> None:
    graph = Connectome.from_edges(
        "g",
        ["DD06", "DD6"],
        [0, 1],
        [1, 0],
        kinds=["peptide", "chemical"],
        weights=[0.5, 1.5],
        roles=["polymodal", "unknown"],
        visit_rank=[1, 0],
    )
    path = written(graph, tmp_path, style="elegans-ai")
    theirs = igraph.Graph.Read_GraphML(str(path))
    assert theirs.vs["role"] == ["NA", "NA"]
    assert set(theirs.vs.attributes()) >= {f"elegans_gnn.{key}" for key in ("name", "role", "visit_rank")}
    assert set(theirs.es.attributes()) >= {"elegans_gnn.kind", "elegans_gnn.weight"}
    assert read_graphml(path) == graph


def test_published_style_read_through_igraph_and_networkx_is_the_same(tmp_path: Path, worm: Connectome) -> None:
    path = written(worm, tmp_path, style="elegans-ai")
    rewritten = tmp_path / "rewritten.graphml"
    igraph.Graph.Read_GraphML(str(path)).write_graphml(str(rewritten))
    assert read_graphml(rewritten) == worm
    assert from_networkx(nx.read_graphml(path)) == worm


def test_defaults_ports_and_drawing_data(tmp_path: Path) -> None:
    path = tmp_path / "yed.graphml"
    path.write_text(
        """<?xml version="1.0" encoding="ISO-8859-1"?>
        <!DOCTYPE graphml SYSTEM "http://graphml.graphdrawing.org/dtds/1.0rc/graphml.dtd">
        <g:graphml xmlns:g="http://graphml.graphdrawing.org/xmlns" xmlns:y="http://www.yworks.com/xml/graphml">
          <g:key id="r" for="node" attr.name="role"><g:default>motor</g:default></g:key>
          <g:key id="w" for="edge" attr.name="weight" attr.type="double"><g:default>2.5</g:default></g:key>
          <g:key id="y" for="node" yfiles.type="nodegraphics"/>
          <g:graph edgedefault="undirected">
            <g:edge source="b" target="a" directed="true"/>
            <g:node id="a"><g:port name="p"/><g:data key="y"><y:node id="a"><y:data key="z"/></y:node></g:data></g:node>
            <g:node id="b"><g:data key="r">sensory</g:data></g:node>
            <g:node id="\xe9"/>
            <g:edge source="a" target="\xe9"><g:data key="w">-1</g:data></g:edge>
          </g:graph>
        </g:graphml>""",
        encoding="latin-1",
    )
    graph = read_graphml(path)
    assert graph.names.tolist() == ["a", "b", "\xe9"]
    assert graph.roles.tolist() == ["motor", "sensory", "motor"]
    assert list(zip(graph.pre.tolist(), graph.post.tolist(), graph.kinds.tolist(), strict=True)) == [
        (0, 2, "gap"),
        (1, 0, "chemical"),
        (2, 0, "gap"),
    ]
    assert graph.weights is not None
    assert graph.weights.tolist() == [-1, 2.5, -1]


def test_utf16_with_its_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "wide.graphml"
    path.write_text(GEPHI.replace("UTF-8", "UTF-16"), encoding="utf-16")
    assert read_graphml(path).names.tolist() == ["AVAL", "AVAR", "DA1"]


def test_own_attribute_names_and_parallel_edges(tmp_path: Path) -> None:
    path = tmp_path / "own.graphml"
    graph = nx.MultiDiGraph()
    graph.add_edge("a", "b", strength=0.5)
    graph.add_edge("a", "b", strength=0.25)
    nx.write_graphml(graph, path)
    read = read_graphml(path, attributes={"weight": "strength"}, parallel="sum", kind="peptide", name="title")
    assert read.weights is not None
    assert (read.weights.tolist(), read.counts.tolist(), read.kind_names, read.name) == (
        [0.75],
        [2],
        ("peptide",),
        "title",
    )


@pytest.mark.parametrize("text", ["a\x00b", "bell\x07", "\ud800", "\uffff"])
def test_text_that_xml_cannot_hold_is_refused(tmp_path: Path, text: str) -> None:
    graph = Connectome.from_edges("g", [text, "b"], [0], [1])
    with pytest.raises(ValueError, match=r"text must be writable in XML, got U\+"):
        write_graphml(graph, tmp_path / "g.graphml")
    assert not (tmp_path / "g.graphml").exists()


def test_unknown_style_is_refused(tmp_path: Path, worm: Connectome) -> None:
    with pytest.raises(ValueError, match="style must be one of plain, elegans-ai, got 'gephi'"):
        write_graphml(worm, tmp_path / "g.graphml", style="gephi")


def test_neuron_order_of_the_file_is_kept(tmp_path: Path, worm: Connectome) -> None:
    shuffled = worm.relabel(np.random.default_rng(0).permutation(worm.num_neurons))
    again = read_graphml(written(shuffled, tmp_path))
    assert again.names.tolist() == shuffled.names.tolist()
    assert again.visit_rank.tolist() == shuffled.visit_rank.tolist()
    assert again != worm


def test_mistaken_arguments_are_not_blamed_on_the_file(tmp_path: Path, worm: Connectome) -> None:
    path = written(worm, tmp_path)
    for options, message in (
        ({"parallel": "add"}, "parallel must be one of refuse, sum"),
        ({"attributes": {"rolle": "role"}}, "attributes must be one of name, role"),
        ({"attributes": {"weight": "strength"}}, r"attributes\['weight'\] must be one of"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            read_graphml(path, **options)  # type: ignore[arg-type]
        assert not isinstance(caught.value, ConnectomeFormatError)


def test_further_attributes_of_a_published_file_can_be_assigned(tmp_path: Path) -> None:
    graph = nx.MultiDiGraph()
    graph.add_node("n0", cell_name="AVAL", soma_pos=0.1)
    graph.add_edge("n0", "n0", synapse_type="C", weight=2.0, strength=0.5)
    path = tmp_path / "published.graphml"
    nx.write_graphml(graph, path)
    plain, assigned = read_graphml(path), read_graphml(path, attributes={"weight": "strength"})
    assert (plain.counts.tolist(), plain.weights) == ([2], None)
    assert assigned.weights is not None
    assert (assigned.counts.tolist(), assigned.weights.tolist()) == ([2], [0.5])
