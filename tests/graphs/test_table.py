"""The table of random graphs: documents, command line and report follow it; graphs open by the names of the table."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elegans_gnn.cli import main
from elegans_gnn.connectome import Connectome, write_connectome
from elegans_gnn.graphs import (
    ALWAYS_PRESERVED,
    OPTION_RANGE,
    RANDOM_MODELS,
    list_random_models,
    match_report,
    open_graph,
    random_connectome,
)

DOCS = Path(__file__).parents[2] / "docs" / "null-models.md"


def test_the_page_describes_each_model_and_its_options() -> None:
    rows = dict(
        re.findall(r"^\| `([a-z-]+)` \| (.*) \|$", DOCS.read_text().partition("## What the swap")[0], re.MULTILINE)
    )
    assert set(rows) == set(list_random_models())
    swap_models = {name for name, model in RANDOM_MODELS.items() if "swaps" in model.options}
    assert swap_models == {"configuration", "degree-preserving", "reciprocity-preserving", "role-degree"}
    for name, model in RANDOM_MODELS.items():
        if "p" in model.options:
            assert f"`p` ({model.options['p']:g})" in rows[name]
        else:
            assert "`p`" not in rows[name]
    assert "`swaps` (10) is the number of swaps tried per link" in DOCS.read_text()


def test_each_row_is_complete(worm: Connectome) -> None:
    quantities = {row.quantity for row in match_report(worm, worm).rows} | {"weights alike"}
    assert set(ALWAYS_PRESERVED) <= quantities
    for name, model in RANDOM_MODELS.items():
        assert model.name == name
        assert model.summary
        assert set(model.preserves) <= quantities
        for option, default in model.options.items():
            low, high = OPTION_RANGE[option]
            assert low <= default <= high


def test_the_command_line_takes_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["connectome", "random", "--help"])
    shown = capsys.readouterr().out
    for option in {option for model in RANDOM_MODELS.values() for option in model.options}:
        assert f"--{option} " in shown


def test_the_command_line_draws_with_the_swaps_asked_for(capsys: pytest.CaptureFixture[str], worm: Connectome) -> None:
    command = ["connectome", "random", "role-degree", "--like", "varshney2011", "--seed", "0", "--json"]
    for options, chosen in (([], {}), (["--swaps", "1"], {"swaps": 1.0})):
        assert main([*command, *options]) == 0
        expected = random_connectome("role-degree", like=worm, seed=0, **chosen)
        assert json.loads(capsys.readouterr().out)["fingerprint"] == expected.fingerprint


@pytest.mark.parametrize("model", list_random_models())
def test_a_graph_opens_by_the_names_of_its_connectome_and_model(model: str, worm: Connectome) -> None:
    assert open_graph("varshney2011", model, 3) == random_connectome(model, like=worm, seed=3)


def test_the_original_opens_by_name_or_path(worm: Connectome, mixed: Connectome, tmp_path: Path) -> None:
    assert open_graph("varshney2011") == worm
    assert open_graph("varshney2011", "original", seed=5) == worm
    write_connectome(mixed, tmp_path / "mine.graphml")
    graph = open_graph(str(tmp_path / "mine.graphml"), "lattice")
    assert np.array_equal(graph.names, mixed.names)
    assert graph.num_edges == mixed.num_edges


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("varshney2011", "latice"), {}, "graph must be one of original, erdos-renyi, .*did you mean 'lattice'"),
        (("varshney2011", "x"), {"graph_argument": "--graph"}, "--graph must be one of original, "),
        (("varshney",), {}, "connectome must be .*'varshney'"),
        (("varshney",), {"argument": "--connectome"}, "--connectome must be .*'varshney'"),
        (("varshney2011", "lattice", -1), {}, "seed must be a non-negative integer, got -1"),
    ],
)
def test_open_graph_refuses(arguments: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_graph(*arguments, **options)
