"""One's own graph: every source gives the same connectome, the field's column names, and what is refused."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import igraph
import networkx as nx
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.sparse import csr_array
from torch_geometric.data import Data

from elegans_gnn.connectome import Connectome, load_connectome, open_connectome, select_neurons, to_networkx
from elegans_gnn.errors import ConnectomeFormatError
from tests.connectome.strategies import chain

ROLES = {"sensory": ["A"], "motor": "C"}
EDGES = pd.DataFrame({"pre": ["A", "B", "A"], "post": ["B", "C", "C"], "count": [3, 1, 2]})
# Without pyarrow the test of Parquet has nothing to read with; the extra `tables`, which the tests' set has, brings it.
needs_parquet = pytest.mark.skipif(importlib.util.find_spec("pyarrow") is None, reason="pyarrow is not installed")


def own(name: str = "mine") -> Connectome:
    return Connectome.from_edges(name, list("ABC"), EDGES["pre"], EDGES["post"], counts=EDGES["count"], roles=ROLES)


def test_every_source_gives_the_same_connectome(tmp_path: Path) -> None:
    want = own()
    assert want.roles.tolist() == ["sensory", "unknown", "motor"]
    theirs = nx.from_pandas_edgelist(EDGES, "pre", "post", "count", create_using=nx.DiGraph)
    index = torch.tensor([[0, 1, 0], [1, 2, 2]])
    data = Data(edge_index=index, edge_count=torch.tensor([3, 1, 2]), num_nodes=3, names=list("ABC"))
    matrix = csr_array((EDGES["count"], index.numpy()), shape=(3, 3))
    graph = igraph.Graph(n=3, edges=index.T.tolist(), directed=True, vertex_attrs={"name": list("ABC")})
    graph.es["synapses"] = [3.0, 1.0, 2.0]
    (tmp_path / "mine.csv").write_text(EDGES.to_csv(index=False))
    (tmp_path / "mine.json").write_text(json.dumps(nx.node_link_data(theirs)))
    nx.write_graphml(theirs, tmp_path / "mine.graphml")
    for found in (
        Connectome.from_pandas(EDGES, name="mine", roles=ROLES),
        Connectome.from_networkx(theirs, name="mine", roles=ROLES),
        Connectome.from_igraph(graph, name="mine", roles=ROLES),
        Connectome.from_pyg(data, name="mine", roles=ROLES),
        Connectome.from_scipy(matrix, names=list("ABC"), name="mine", roles=ROLES),
        *(load_connectome(tmp_path / f"mine.{ending}", roles=ROLES) for ending in ("csv", "json", "graphml")),
    ):
        assert (found, found.name) == (want, "mine"), found.diff(want)
    assert open_connectome is load_connectome


@needs_parquet
def test_parquet_tables_are_read(tmp_path: Path) -> None:
    EDGES.to_parquet(tmp_path / "mine.parquet")
    assert load_connectome(tmp_path / "mine.parquet", roles=ROLES) == own()
    (tmp_path / "mine.parquet").write_bytes(b"PAR1")
    with pytest.raises(ConnectomeFormatError, match="mine.parquet: file must be a Parquet table"):
        load_connectome(tmp_path / "mine.parquet")


def test_a_missing_parquet_reader_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "mine.parquet").write_bytes(b"PAR1")
    with pytest.raises(ImportError, match=r'pip install "elegans_gnn\[tables\]"'):
        load_connectome(tmp_path / "mine.parquet")


def both(tmp_path: Path, header: str, *rows: str, **options: object) -> Connectome:
    """From a file and from pandas, which must agree."""
    path = tmp_path / "edges.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    graph = load_connectome(path, **options)
    assert Connectome.from_pandas(pd.read_csv(path), **options) == graph
    return graph


@pytest.mark.parametrize(
    "header",
    [
        "pre,post,count",
        "source,target,n",
        "from,to,synapses",
        "pre_id,post_id,weight",
        "Source, Target,Number of Synapses",
    ],
)
def test_the_names_of_the_field_are_understood(tmp_path: Path, header: str) -> None:
    graph = both(tmp_path, header, "A,B,3", "B,C,1", "A,C,2.0")
    assert graph.counts.tolist() == [3, 2, 1]
    assert (graph.names.tolist(), graph.weights, graph.kind_names) == (list("ABC"), None, ("chemical",))


def test_numbers_as_names_are_in_natural_order(tmp_path: Path) -> None:
    assert both(tmp_path, "source,target", "720575940610453042,9", "9,10").names.tolist() == [
        "9",
        "10",
        "720575940610453042",
    ]


@pytest.mark.parametrize(
    ("header", "values", "options", "counts", "weights"),
    [
        ("weight", ["3", "2.0"], {}, [3, 2], None),
        ("weight", ["0.5", "2"], {}, [1, 1], [0.5, 2.0]),
        ("weight", ["-1", "2"], {}, [1, 1], [-1.0, 2.0]),
        ("weight,n", ["3,7", "2,8"], {}, [7, 8], [3.0, 2.0]),
        ("weight", ["3", "2"], {"attributes": {"weight": "weight"}}, [1, 1], [3.0, 2.0]),
        ("strength", ["3", "2"], {"attributes": {"weight": "strength"}}, [1, 1], [3.0, 2.0]),
        ("weight,n", ["0.5,7", "2,8"], {"attributes": {"weight": None}}, [7, 8], None),
    ],
)
def test_whole_weights_are_counts_and_others_are_weights(
    tmp_path: Path, header: str, values: list[str], options: object, counts: list[int], weights: list[float] | None
) -> None:
    graph = both(tmp_path, "pre,post," + header, f"A,B,{values[0]}", f"B,A,{values[1]}", **options)  # type: ignore[arg-type]
    assert graph.counts.tolist() == counts
    assert (None if graph.weights is None else graph.weights.tolist()) == weights


def test_the_rule_holds_for_graphs_too() -> None:
    theirs = nx.DiGraph()
    theirs.add_edge("A", "B", weight=3, type="peptide")
    graph = Connectome.from_networkx(theirs)
    assert (graph.counts.tolist(), graph.weights, graph.kind_names) == ([3], None, ("peptide",))
    kept = Connectome.from_networkx(theirs, attributes={"weight": "weight"}).weights
    assert kept is not None
    assert kept.tolist() == [3.0]
    theirs["A"]["B"].update(n=1, synapses=2)
    with pytest.raises(ValueError, match="'n' and 'synapses' both mean count; keep one, or choose with attributes="):
        Connectome.from_networkx(theirs)


def test_gap_junctions_are_given_once_or_twice(tmp_path: Path) -> None:
    once = both(tmp_path, "pre,post,type,n", "A,B,gap,3.0", "C,B,gap,1", "C,C,gap,2", "A,B,chemical,4")
    rows = ("A,B,gap,3", "B,A,gap,3", "C,B,gap,1", "B,C,gap,1", "C,C,gap,2", "A,B,chemical,4")
    assert once == both(tmp_path, "pre,post,type,n", *rows)
    assert once.num_edges == 6
    with pytest.raises(ValueError, match="gap edges must be .* got C -> B alone; add its other direction"):
        both(tmp_path, "pre,post,type,n", *rows[:3])


@pytest.mark.parametrize(
    ("header", "row", "message"),
    [
        (
            "pre,target,weigth",
            "A,B,3",
            r"'weigth' is unknown; .*pre \(or source, from, pre_id\), .* count \(or synapses, n",
        ),
        ("pre,count", "A,3", r"'post' is missing; the columns understood are .* post \(or target, to, post_id\)"),
        ("pre,post,n,count", "A,B,3,4", "column 'n' is repeated, by this or another name"),
        ("pre,post,n,synapses", "A,B,3,4", "'n' and 'synapses' both mean count"),
        ("pre,post,count", "A,B,1.5", "1.5 is not an integer|'1.5' is not an integer"),
        ("pre,post,weight", "A,B,inf", "inf"),
        ("pre,post,count", "A,B,3\nA,B,4", r"appears twice; .*parallel='sum'"),
    ],
)
def test_tables_that_cannot_be_meant_are_refused(tmp_path: Path, header: str, row: str, message: str) -> None:
    path = tmp_path / "edges.csv"
    path.write_text(f"{header}\n{row}\n")
    with pytest.raises(ConnectomeFormatError, match=message):
        load_connectome(path)
    with pytest.raises(ValueError, match=message):
        Connectome.from_pandas(pd.read_csv(path))


def test_options_of_tables(tmp_path: Path) -> None:
    summed = both(tmp_path, "pre,post,weight", "A,B,0.5", "A,B,0.25", "B,A,1", parallel="sum", kind="peptide")
    assert summed.weights is not None
    assert (summed.weights.tolist(), summed.kind_names) == ([0.75, 1.0], ("peptide",))
    renamed = both(tmp_path, "a,b,c", "A,B,3", attributes={"pre": "a", "post": "b", "count": "c"})
    assert renamed.counts.tolist() == [3]
    with pytest.raises(ValueError, match="attributes must be one of pre, post, kind, count, weight, got 'rolle'"):
        Connectome.from_pandas(EDGES, attributes={"rolle": "x"})
    with pytest.raises(ValueError, match="roles must be used with a file, got the bundled connectome varshney2011"):
        load_connectome("varshney2011", roles=ROLES)


def test_a_table_of_neurons_gives_their_order_and_columns() -> None:
    neurons = pd.DataFrame({"neuron": ["C", "A", "B", "D"], "role": ["M", "S", None, "inter"]}).set_index("neuron")
    graph = Connectome.from_pandas(EDGES.set_index(["pre", "post"]), neurons)
    assert graph.names.tolist() == ["C", "A", "B", "D"]
    assert graph.roles.tolist() == ["motor", "sensory", "unknown", "inter"]
    with pytest.raises(
        ValueError, match="table 'edges': row 1: column 'pre': 'B' is not a neuron of the table of neurons"
    ):
        Connectome.from_pandas(EDGES, neurons.drop(index="B"))
    with pytest.raises(ValueError, match="neurons must be a pandas DataFrame, got list"):
        Connectome.from_pandas(EDGES, [1])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="table 'edges': row 1: column 'post': a neuron without a name"):
        Connectome.from_pandas(EDGES.assign(post=["B", None, "C"]))


def test_roles_by_name_are_checked() -> None:
    with pytest.raises(ValueError, match="roles must be one of A, B, C, got 'D'"):
        Connectome.from_pandas(EDGES, roles={"motor": ["D"]})
    with pytest.raises(ValueError, match="roles must be one for each neuron, got motor and inter for A; keep one"):
        Connectome.from_pandas(EDGES, roles={"motor": "A", "inter": "A"})
    with pytest.raises(ValueError, match="roles must be one of sensory, .* got 'motr'"):
        Connectome.from_pandas(EDGES, roles={"motr": "A"})


def test_edges_without_direction_must_be_told_what_they_are(tmp_path: Path) -> None:
    karate = nx.karate_club_graph()
    message = r"edge 0 -> 1: it has no direction and no kind; pass kind='gap' \(one strength for both directions\) or"
    for graph in (karate, igraph.Graph.from_networkx(karate)):
        read = Connectome.from_networkx if graph is karate else Connectome.from_igraph
        with pytest.raises(ValueError, match=message):
            read(graph)
        for kind in ("gap", "chemical"):
            assert (read(graph, kind=kind).num_edges, read(graph, kind=kind).kind_names) == (156, (kind,))
    (tmp_path / "karate.json").write_text(json.dumps(nx.node_link_data(karate)))
    with pytest.raises(ConnectomeFormatError, match=message.partition("edge 0")[2]):
        load_connectome(tmp_path / "karate.json")
    assert load_connectome(tmp_path / "karate.json", kind="gap") == Connectome.from_networkx(karate, kind="gap")


def test_node_link_json_is_exact(tmp_path: Path) -> None:
    for worm, edges in ((chain(weights=[0.5, 1.0, 1.0, -2.0]), "links"), (load_connectome("white1986"), "edges")):
        data = nx.node_link_data(to_networkx(worm))
        data[edges] = data.pop("edges")
        (tmp_path / "worm.json").write_text(json.dumps(data))
        found = load_connectome(tmp_path / "worm.json")
        assert (found, found.name, found.source) == (worm, worm.name, worm.source)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("{", "file must be a JSON file"),
        ("[]", "file must be node-link JSON"),
        ('{"nodes": []}', "got no 'links'"),
        ('{"nodes": [{"name": "A"}], "links": []}', "got no 'id'"),
        ('{"nodes": [{"id": [1]}], "links": []}', r"the identifier \[1\]"),
        ('{"nodes": [{"id": 1}, {"id": 1}], "links": []}', "a node appears twice"),
        ('{"nodes": [{"id": 1}], "links": [{"source": 1, "target": 2}]}', "an edge to 2; add the node"),
        ('{"nodes": [7], "links": []}', "file must be node-link JSON"),
        ('{"nodes": null, "links": null}', "file must be node-link JSON"),
    ],
)
def test_broken_json_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "mine.json"
    path.write_text(content)
    with pytest.raises(ConnectomeFormatError, match=message) as caught:
        load_connectome(path)
    assert caught.value.path == str(path)
    assert "\n" not in str(caught.value)


def test_neurons_by_their_place_in_the_graph() -> None:
    """A self-loop is neither an incoming nor an outgoing edge here."""
    graph = Connectome.from_edges("g", list("ABCD"), ["A", "B", "A", "C"], ["A", "C", "B", "C"])
    selected = {word: select_neurons(graph, word, "inputs").tolist() for word in ("all", "sources", "sinks")}
    assert selected == {"all": [0, 1, 2, 3], "sources": [0, 3], "sinks": [2, 3]}
    assert select_neurons(graph, np.array([True, False, False, True]), "inputs").tolist() == [0, 3]
    ring = Connectome.from_edges("g", ["A", "sinks"], [0, 1], [1, 0])
    with pytest.raises(
        ValueError, match="inputs must be at least one neuron, got 'sinks': none; the roles present are"
    ):
        select_neurons(ring, "sinks", "inputs")
    assert select_neurons(ring, ["sinks"], "inputs").tolist() == [1]
    with pytest.raises(
        ValueError, match=r"got 'sensory': none; .* inputs='A,B' names .* indices or a mask .* 'sources'"
    ):
        select_neurons(graph, "sensory", "inputs")
