"""The two CSV tables: exact round trips, optional columns, edge lists, and the one entry point for files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elegans_gnn._paths import data_folder
from elegans_gnn.connectome import (
    Connectome,
    load_connectome,
    read_connectome,
    read_csv,
    write_connectome,
    write_csv,
)
from tests.connectome.strategies import connectomes

EXAMPLES = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)


def table(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8", newline="")
    return path


@EXAMPLES
@given(graph=connectomes())
def test_round_trip_is_exact(tmp_path: Path, graph: Connectome) -> None:
    write_csv(graph, tmp_path / "n.csv", tmp_path / "s.csv")
    again = read_csv(tmp_path / "n.csv", tmp_path / "s.csv", name=graph.name, source=graph.source)
    assert again.fingerprint == graph.fingerprint, again.diff(graph)
    assert (again.name, again.source) == (graph.name, graph.source)


def test_shipped_tables_are_written_as_they_are_read(tmp_path: Path) -> None:
    write_csv(load_connectome("varshney2011", include_unwired=True), tmp_path / "n.csv", tmp_path / "s.csv")
    folder = data_folder() / "varshney2011"
    assert (tmp_path / "n.csv").read_bytes() == (folder / "neurons.csv").read_bytes()
    assert (tmp_path / "s.csv").read_bytes() == (folder / "synapses.csv").read_bytes()


def test_visit_rank_is_written_only_where_it_says_something(tmp_path: Path) -> None:
    worm = load_connectome("cook2020-pharynx")
    write_csv(worm, tmp_path / "n.csv", tmp_path / "s.csv")
    assert "visit_rank" not in (tmp_path / "n.csv").read_text()
    turned = worm.relabel(np.arange(worm.num_neurons)[::-1])
    write_csv(turned, tmp_path / "n.csv", tmp_path / "s.csv")
    assert "visit_rank" in (tmp_path / "n.csv").read_text()
    assert read_csv(tmp_path / "n.csv", tmp_path / "s.csv") == turned


def test_columns_may_be_missing_and_stand_in_any_order(tmp_path: Path) -> None:
    neurons = table(tmp_path, "n.csv", "role,name\r\nmotor,b\r\nsensory,a\r\n")
    synapses = table(tmp_path, "s.csv", "weight,post,pre\n0.5,a,b\n-2e-3,b,b\n")
    graph = read_csv(neurons, synapses, name="mine", source="me")
    assert (graph.name, graph.source) == ("mine", "me")
    assert graph.names.tolist() == ["b", "a"]
    assert graph.roles.tolist() == ["motor", "sensory"]
    assert graph.edge_index.tolist() == [[0, 0], [0, 1]]
    assert graph.weights is not None
    assert graph.weights.tolist() == [-0.002, 0.5]
    assert (graph.counts.tolist(), graph.kind_names) == ([1, 1], ("chemical",))


def test_counts_are_whole_numbers_with_or_without_a_decimal_point(tmp_path: Path) -> None:
    """As from NetworkX attributes, where 3.0 is 3."""
    neurons = table(tmp_path, "n.csv", "name,visit_rank\na,1.0\nb,0\n")
    graph = read_csv(neurons, table(tmp_path, "s.csv", "pre,post,count\na,b,3.0\nb,a,2e1\nb,b,4\n"))
    assert graph.counts.tolist() == [3, 20, 4]
    assert graph.visit_rank.tolist() == [1, 0]


def test_a_byte_order_mark_and_blank_lines_are_passed_over(tmp_path: Path) -> None:
    neurons = table(tmp_path, "n.csv", "\ufeffname\na\n\nb\n\n")
    synapses = table(tmp_path, "s.csv", '\ufeffpre,post,count\n\n"a","b",2\n')
    graph = read_csv(neurons, synapses)
    assert graph.names.tolist() == ["a", "b"]
    assert graph.counts.tolist() == [2]
    assert graph.name == tmp_path.name


def test_headers_alone_are_an_empty_graph(tmp_path: Path) -> None:
    graph = read_csv(table(tmp_path, "n.csv", "name\n"), table(tmp_path, "s.csv", "pre,post,kind,count,weight\n"))
    assert (graph.num_neurons, graph.num_edges) == (0, 0)
    lone = read_csv(table(tmp_path, "n.csv", "name,visit_rank\nAVA,0\n"), tmp_path / "s.csv")
    assert lone.names.tolist() == ["AVA"]


def test_an_edge_list_names_its_own_neurons_in_natural_order(tmp_path: Path) -> None:
    path = table(tmp_path, "edges.v2.csv", "pre,post,count\nDA10,DA2,3\nDA2,AVAL,1\n")
    for graph in (read_csv(None, path, name="edges"), read_connectome(path)):
        assert graph.name == "edges"
        assert graph.names.tolist() == ["AVAL", "DA2", "DA10"]
        assert graph.edge_index.tolist() == [[1, 2], [0, 1]]
        assert graph.counts.tolist() == [1, 3]


def test_long_tables_are_read_across_batches(tmp_path: Path) -> None:
    size = 10_000
    lines = [f"n{row},n{(row + 1) % size},{row}" for row in range(size)]
    graph = read_csv(None, table(tmp_path, "s.csv", "pre,post,count\n" + "\n".join(lines)))
    assert graph.num_edges == size
    assert graph.counts.tolist() == list(range(size))
    assert graph.names[:3].tolist() == ["n0", "n1", "n2"]


@EXAMPLES
@given(graph=connectomes(), target=st.sampled_from(["folder", "file.graphml", "file.XML"]))
def test_any_path_is_written_and_read_back(
    tmp_path_factory: pytest.TempPathFactory, graph: Connectome, target: str
) -> None:
    path = tmp_path_factory.mktemp("any") / target
    write_connectome(graph, path)
    assert read_connectome(path) == graph


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_text_that_a_file_cannot_hold_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match=r"text must be writable as UTF-8 text, got U\+"):
        write_connectome(Connectome.from_edges("g", [name], [], []), tmp_path / "folder")
    assert not list((tmp_path / "folder").iterdir())


def test_unknown_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="path must be a .graphml or .xml file, or a folder for CSV"):
        write_connectome(load_connectome("cook2020-pharynx"), tmp_path / "worm.xlsx")
    assert not list(tmp_path.iterdir())
