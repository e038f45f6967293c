"""The connectome itself: its invariants, what it refuses and how."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
from dataclasses import FrozenInstanceError, fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from elegans_gnn.connectome import ROLES, Connectome, natural_key, plain_name
from tests.connectome.strategies import chain, connectomes

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = settings(max_examples=60, deadline=None)
ARRAYS = [item.name for item in fields(Connectome) if item.name not in ("name", "source")]


def test_columns_are_sorted_typed_and_read_only() -> None:
    graph = chain()
    assert (graph.num_neurons, graph.num_edges) == (4, 4)
    assert graph.edge_index.tolist() == [[0, 1, 1, 2], [1, 1, 2, 1]]
    assert graph.kinds.tolist() == ["chemical", "chemical", "gap", "gap"]
    assert graph.counts.tolist() == [3, 1, 2, 2]
    assert graph.kind_names == ("chemical", "gap")
    assert graph.visit_rank.tolist() == [0, 1, 2, 3]
    assert graph.wired.tolist() == [True, True, True, False]
    assert graph.edge_index.dtype == graph.counts.dtype == np.int64
    for column in ARRAYS:
        if getattr(graph, column) is not None:
            with pytest.raises(ValueError, match="read-only"):
                getattr(graph, column)[0] = getattr(graph, column)[0]
    with pytest.raises(FrozenInstanceError):
        graph.name = "other"  # type: ignore[misc]


def test_the_callers_arrays_stay_the_callers() -> None:
    counts = np.array([1, 2])
    graph = Connectome.from_edges("g", ["a", "b"], [0, 1], [1, 0], counts=counts)
    counts[0] = 7
    assert graph.counts.tolist() == [1, 2]
    counts = np.array([3])
    direct = Connectome("g", np.array(["a"]), np.array(["motor"]), [0], [0], ["chemical"], counts)  # type: ignore[arg-type]
    counts[0] = 7
    assert direct.counts.tolist() == [3]


def test_from_edges_takes_names_or_indices_in_any_order() -> None:
    by_name = Connectome.from_edges("g", ["b", "a"], ["a", "b"], ["b", "b"], counts=[5, 6])
    assert by_name == Connectome.from_edges("g", ["b", "a"], [1, 0], [0, 0], counts=[5, 6])
    assert by_name.names.tolist() == ["b", "a"]
    assert by_name.counts.tolist() == [6, 5]


def test_empty_graphs_are_graphs() -> None:
    nobody = Connectome.from_edges("nobody", [], [], [])
    lone = Connectome.from_edges("lone", ["AVA"], [], [])
    for graph in (nobody, lone):
        assert graph.num_edges == 0
        assert graph.kind_names == ()
        assert graph.merged() == graph
        assert graph.select(component="strong") == graph
        assert graph.relabel(np.arange(graph.num_neurons)) == graph
        assert Connectome.from_dict(graph.to_dict()) == graph
    assert nobody != lone


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"names": ["ASH", "AVA", "DA1", "ASH"]}, "names must be unique, got 'ASH' 2 times; drop or rename"),
        ({"names": ["ASH", "", "DA1", "DVA"]}, "names must be non-empty, got '' at row 1; name every neuron"),
        ({"roles": ["sensory", "inter", "motr", "unknown"]}, "roles must be one of sensory, .* did you mean 'motor'"),
        ({"roles": ["motor"]}, r"roles must be of shape \[4\], got \[1\]"),
        ({"pre": [-1, 1, 1, 2]}, r"pre must be indices in 0..3, got -1; check the neuron table"),
        ({"post": [1, 1, 2, 4]}, r"post must be indices in 0..3, got 4"),
        ({"post": [1, 1, 2]}, r"post must be of shape \[4\], got \[3\]"),
        ({"pre": [0.5, 1, 1, 2]}, "pre must be integers, got dtype float64"),
        ({"kinds": ["chemical", "", "gap", "gap"]}, "kinds must be non-empty"),
        ({"counts": [3, -1, 2, 2]}, "counts must be >= 0, got -1; drop the entry or put its sign into weights"),
        ({"counts": [3, 1.5, 2, 2]}, "counts must be integers, .* put measured strengths into weights"),
        ({"counts": [3, np.nan, 2, 2]}, "counts must be integers"),
        ({"counts": [3, 1e30, 2, 2]}, r"counts must be 64-bit integers, got 1e\+30"),
        (
            {"counts": np.array([3, 2**63, 2, 2], dtype=np.uint64)},
            "counts must be 64-bit integers, got 9223372036854775808",
        ),
        (
            {"counts": [3, 1, 2, 1]},
            "gap edges must be .* got AVA -> DA1 unlike its other direction; give both the same",
        ),
        ({"weights": [1, 1, 2, 1]}, "gap edges must be .* got AVA -> DA1 unlike its other direction"),
        ({"kinds": ["chemical", "chemical", "gap", "chemical"]}, "gap edges .* got AVA -> DA1 alone; add its other"),
        ({"weights": [1, np.nan, 1, 1]}, "weights must be finite, got nan"),
        ({"weights": [1, -np.inf, 1, 1]}, "weights must be finite, got -inf"),
        ({"visit_rank": [0, 1, 2, 2]}, r"visit_rank must be a permutation of 0..3"),
        ({"pre": [1, 0, 1, 2]}, r"edges must be sorted .* got ASH -> AVA \(chemical\) late; use from_edges"),
        ({"post": [1, 1, 1, 1], "kinds": ["chemical"] * 4}, r"got AVA -> AVA \(chemical\) twice; add up its counts"),
        ({"classes": ["ASH"]}, r"classes must be of shape \[4\]"),
        ({"names": [["ASH", "AVA", "DA1", "DVA"]]}, r"names must be of shape \[1\], got \[1, 4\]"),
    ],
)
def test_invalid_columns_are_refused(columns: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(chain(), **columns)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pre": ["a", "c"]}, "pre must be one of a, b, got 'c'"),
        ({"post": [0]}, r"post must be \[2\] \(one per entry of pre\), got \[1\]; give both columns in full"),
        ({"kinds": ["gap"] * 3}, r"kinds must be of shape \[2\], got \[3\]"),
        ({"counts": [1, 2, 3]}, r"counts must be of shape \[2\], got \[3\]"),
        ({"weights": [1.0]}, r"weights must be of shape \[2\], got \[1\]"),
        ({"roles": ["motor"] * 3}, r"roles must be of shape \[2\], got \[3\]"),
        ({"post": [1, 1], "pre": [0, 0]}, r"a -> b \(chemical\) twice"),
    ],
)
def test_from_edges_refusals(arguments: dict[str, object], message: str) -> None:
    given = {"pre": [0, 1], "post": [1, 0]} | arguments
    with pytest.raises(ValueError, match=message):
        Connectome.from_edges("g", ["a", "b"], given.pop("pre"), given.pop("post"), **given)  # type: ignore[arg-type]


def test_names_are_found_with_and_without_leading_zeros() -> None:
    graph = chain()
    assert graph.index(["DVA", "ASH"]).tolist() == [3, 0]
    assert graph.index("DA01").tolist() == graph.index("DA1").tolist() == [2]
    assert graph.index([]).tolist() == []
    padded = Connectome.from_edges("g", ["DA01", "DA1"], [], [])
    assert padded.index(["DA01", "DA1"]).tolist() == [0, 1]
    with pytest.raises(ValueError, match="names must be one of ASH, AVA, DA1, DVA, got 'AVB'; did you mean 'AVA'"):
        graph.index(["ASH", "AVB"])
    assert [plain_name(name) for name in ("DA01", "VB10", "IL1L", "R007X", "00")] == [
        "DA1",
        "VB10",
        "IL1L",
        "R7X",
        "00",
    ]


def test_natural_order_counts_digits_as_numbers() -> None:
    names = ["DA10", "DA2", "DB1", "AVAL", "DA1", "AVAR", "1", "10", "2"]
    assert sorted(names, key=natural_key) == ["1", "2", "10", "AVAL", "AVAR", "DA1", "DA2", "DA10", "DB1"]


def test_role_index() -> None:
    assert chain().role_index("motor").tolist() == [2]
    assert chain().role_index("polymodal").tolist() == []
    with pytest.raises(ValueError, match="role must be one of sensory, inter"):
        chain().role_index("Motor")


@EXAMPLES
@given(connectomes())
def test_copies_are_equal_and_stay_frozen(graph: Connectome) -> None:
    through_json = Connectome.from_dict(json.loads(json.dumps(graph.to_dict())))
    for again in (pickle.loads(pickle.dumps(graph)), copy.deepcopy(graph), through_json):
        assert again == graph
        assert hash(again) == hash(graph)
        assert (again.name, again.source) == (graph.name, graph.source)
        assert not again.pre.flags.writeable


def test_the_fingerprint_sees_every_column_and_no_title() -> None:
    graph = chain(weights=[1.0, 2.0, 2.0, 3.0])
    changes: dict[str, object] = {
        "names": ["ASH", "AVA", "DA1", "DVB"],
        "roles": ["motor", "inter", "motor", "unknown"],
        "pre": [3, 1, 1, 2],
        "post": [3, 1, 2, 1],
        "kinds": ["merged", "chemical", "gap", "gap"],
        "counts": [4, 1, 2, 2],
        "weights": [1.5, 3.0, 2.0, 2.0],
        "classes": ["ASH", "", "", ""],
        "sides": ["L", "", "", ""],
        "transmitters": ["GABA", "", "", ""],
        "sexes": ["male", "", "", ""],
        "visit_rank": [1, 0, 2, 3],
    }
    assert set(changes) == set(ARRAYS)
    prints = {graph.fingerprint}
    for column, values in changes.items():
        if column == "pre":
            graph_changed = Connectome.from_edges(
                "g",
                graph.names,
                [3, 1, 1, 2],
                graph.post,
                kinds=graph.kinds,
                counts=graph.counts,
                roles=graph.roles,
                weights=graph.weights,
            )
        else:
            graph_changed = replace(graph, **{column: values})  # type: ignore[arg-type]
        assert graph_changed != graph
        prints.add(graph_changed.fingerprint)
    assert len(prints) == len(ARRAYS) + 1
    assert replace(graph, weights=None).fingerprint not in prints
    assert graph.rename("other") == replace(graph, source="elsewhere") == graph


def test_the_fingerprint_is_the_same_in_every_process() -> None:
    graph = "Connectome.from_edges('g', ['a', 'b'], [0], [1])"
    program = f"from elegans_gnn.connectome import Connectome; print({graph}.fingerprint)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    golden = "978aa393098a956e4b82bd498bc69398ca9cd8197c995888653c2f4e815047c6"
    assert done.stdout.strip() == golden == Connectome.from_edges("g", ["a", "b"], [0], [1]).fingerprint


def test_repr_says_what_is_in_it() -> None:
    text = "Connectome('chain', neurons=4 (sensory 1, inter 1, motor 1, unknown 1), edges=4 (chemical 2, gap 2))"
    assert repr(chain()) == text


def test_roles_are_the_five() -> None:
    assert ROLES == ("sensory", "inter", "motor", "polymodal", "unknown")
