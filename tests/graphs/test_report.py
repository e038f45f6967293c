from __future__ import annotations

import json

import numpy as np
import pytest

from elegans_gnn.connectome import Connectome
from elegans_gnn.graphs import match_report, random_connectome, summary


def test_a_graph_matches_itself(mixed: Connectome) -> None:
    report = match_report(mixed, mixed)
    assert report.differing == ()
    assert len(report.preserved) == len(report.rows) > 40


def test_rows_of_a_hand_made_pair() -> None:
    a = Connectome.from_edges(
        "a", list("xyz"), [0, 1, 1, 2, 2], [1, 0, 2, 2, 0], counts=[1, 2, 3, 4, 5], roles=["sensory", "motor", "motor"]
    )
    b = Connectome.from_edges(
        "b", list("xyw"), [0, 1, 2, 0, 2], [1, 2, 0, 2, 1], counts=[1, 3, 5, 5, 9], roles=["sensory", "motor", "inter"],
        visit_rank=[1, 0, 2], kinds=["chemical"] * 4 + ["merged"],
    )  # fmt: skip
    report = match_report(a, b)
    got = {(row.scope, row.quantity): (row.a, row.b, row.same) for row in report.rows}
    assert got["graph", "neurons"] == (3, 3, True)
    assert got["graph", "inter neurons"] == (0, 1, False)
    assert got["graph", "names alike"] == (3, 2, False)
    assert got["graph", "visit ranks alike"] == (3, 1, False)
    assert got["chemical", "links"] == (4, 4, True)
    assert got["chemical", "self-loops"] == (1, 0, False)
    assert got["chemical", "synapses"] == (15, 14, False)
    assert got["chemical", "counts alike"] == (5, 3, False)
    assert got["chemical", "mutual pairs"] == (1, 1, True)
    assert got["chemical", "out-degrees alike"] == (3, 0, False)
    assert got["chemical", "in-degrees alike"] == (3, 2, False)
    assert got["chemical", "out-strengths alike"] == (3, 0, False)
    assert got["chemical", "links in place"] == (4, 3, False)
    assert got["chemical", "motor -> motor"] == (2, 0, False)
    assert got["chemical", "motor -> inter"] == (0, 1, False)
    assert got["chemical", "sensory -> motor"] == (1, 1, True)
    assert got["merged", "links"] == (0, 1, False)
    assert got["merged", "ordered pairs"] == (5, 5, True)
    assert got["merged", "pairs in place"] == (5, 3, False)
    assert ("chemical", "weights alike") not in got


def test_gap_pairs_count_once_in_either_direction() -> None:
    a = Connectome.from_edges("a", list("xyz"), [0, 1, 1, 2], [1, 0, 2, 1], kinds="gap", counts=[2, 2, 5, 5])
    b = a.relabel([2, 1, 0])
    report = match_report(a, b)
    assert (report.row("gap", "links").a, report.row("gap", "synapses").a) == (2, 7)
    assert report.row("gap", "links in place").b == 2
    assert report.row("gap", "strengths alike").b == 1
    assert report.row("gap", "unknown - unknown").a == 2
    assert report.row("merged", "pairs of several kinds").same


def test_graphs_of_different_size_compare_in_numbers_only(worm: Connectome) -> None:
    report = match_report(worm, worm.select(roles=["sensory", "inter"]))
    assert report.row("graph", "neurons").b == 164
    assert report.row("chemical", "sensory -> inter").same
    assert report.row("chemical", "motor -> motor").b == 0
    assert all("in place" not in row.quantity and "degrees" not in row.quantity for row in report.rows)


def test_merged_edges_are_reported(worm: Connectome) -> None:
    report = match_report(worm, random_connectome("degree-preserving", like=worm, seed=1))
    row = report.row("merged", "ordered pairs")
    assert row.a == 2993
    assert row.b == random_connectome("degree-preserving", like=worm, seed=1).merged().num_edges
    assert not row.same
    assert report.row("merged", "pairs of several kinds").a == 232
    with pytest.raises(KeyError):
        report.row("chemical", "colour")


def test_report_prints_as_a_table_and_becomes_json(worm: Connectome) -> None:
    report = match_report(worm, random_connectome("lattice", like=worm, seed=0))
    lines = str(report).splitlines()
    assert lines[:2] == ["a: varshney2011", "b: varshney2011-lattice-seed0"]
    assert lines[3].split() == ["graph", "neurons", "279", "279", "="]
    assert {line.split()[-1] for line in lines[3:]} == {"=", "differs"}
    assert len(lines) == 3 + len(report.rows)
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["rows"][0] == {"scope": "graph", "quantity": "neurons", "a": 279, "b": 279, "same": True}


def test_summary(worm: Connectome) -> None:
    page = summary(worm)
    expected = {
        "neurons": 279,
        "sensory neurons": 83,
        "inter neurons": 81,
        "motor neurons": 115,
        "chemical edges": 2194,
        "chemical synapses": 6394,
        "gap pairs": 514,
        "gap self-loops": 3,
        "gap synapses": 890,
        "directed entries": 3225,
        "merged ordered pairs": 2993,
        "largest strong component": 274,
    }
    assert {quantity: page.values[quantity] for quantity in expected} == expected
    assert f"{page.values['path length']:.2f}" == "2.87"
    assert "merged ordered pairs" in str(page)
    assert "2,993" in str(page)
    json.dumps(page.to_dict(), allow_nan=False)


@pytest.mark.parametrize("size", [0, 1, 3])
def test_summary_of_next_to_nothing(size: int) -> None:
    page = summary(Connectome.from_edges("tiny", [f"N{i}" for i in range(size)], [], []))
    assert page.values["neurons"] == size
    assert np.isnan(page.values["path length"])
    json.dumps(page.to_dict(), allow_nan=False)
    assert "tiny" in str(page)
