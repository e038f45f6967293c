"""`elegans-gnn models`: the table, its JSON, and what it refuses."""

from __future__ import annotations

import argparse
import json

import pytest

from elegans_gnn.commands import models
from elegans_gnn.connectome import load_connectome, write_connectome
from elegans_gnn.graphs import random_connectome
from elegans_gnn.models import MODELS, build_model


def run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    models.add_parser(parser.add_subparsers())
    options = parser.parse_args(["models", *arguments])
    return int(options.run(options))


def test_json_has_every_model_with_its_sizes(capsys):
    assert run("--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["task"], row["model"]) for row in rows] == [(task, name) for task in MODELS for name in MODELS[task]]
    for row in rows:
        assert sum(row["parts"].values()) == row["parameters"] >= row["trainable"] > 0
    by_name = {(row["task"], row["model"]): row for row in rows}
    assert by_name["autoencoder", "elegans"]["parameters"] == 818_689
    assert by_name["autoencoder", "elegans"]["connectome"] == "varshney2011"
    assert by_name["classifier", "logistic"]["flops"] == 2 * 784 * 10
    assert by_name["classifier", "vit"]["connectome"] is None
    assert by_name["classifier", "vit"]["in_core"] is None
    assert by_name["classifier", "elegansnet"]["core"] is None
    assert all(share > 0.85 for share in by_name["classifier", "elegansnet"]["in_core"].values())
    elegans = by_name["classifier", "elegans"]
    assert elegans["in_core"]["parameters"] == elegans["parts"]["core"] / elegans["parameters"]
    assert 0 < elegans["in_core"]["flops"] < 0.15


def test_the_table_shows_the_share_on_synapses_and_neurons(capsys):
    assert run("--task", "classifier") == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if " elegansnet (varshney2011) " in line]
    assert line.rstrip().endswith("98%, 98% of FLOP")


def test_the_table_shows_one_task(capsys):
    assert run("--task", "classifier", "--image-size", "8", "--in-channels", "3", "--core", "dense") == 0
    shown = capsys.readouterr().out
    assert "elegans (varshney2011, dense)" in shown
    assert "randomly-wired" in shown
    assert "3 x 8 x 8" in shown
    assert "attention" not in shown
    assert f"{3 * 64 * 10 + 10:,}" in shown


def test_a_graph_of_ones_own_and_random_ones(capsys, tmp_path):
    """Numbers of neurons and of their roles are the original's, those of synapses need not be."""
    write_connectome(load_connectome("white1986"), tmp_path / "mine.graphml")
    options = ("--task", "classifier", "--connectome")
    shown = [elegans_of(capsys, *options, name) for name in ("white1986", str(tmp_path / "mine.graphml"))]
    assert shown[0] == shown[1]
    assert shown[0]["connectome"] == "white1986"
    random = elegans_of(capsys, *options, "white1986", "--graph", "watts-strogatz", "--graph-seed", "3")
    graph = random_connectome("watts-strogatz", like=load_connectome("white1986"), seed=3)
    assert random["connectome"] == graph.name != "white1986"
    assert (
        random["parts"]
        == build_model(
            "classifier", "elegans", connectome=graph, num_classes=10, image_size=28, in_channels=1
        ).parameters_by_part()
    )


def elegans_of(capsys, *arguments):
    assert run(*arguments, "--json") == 0
    (row,) = [row for row in json.loads(capsys.readouterr().out) if row["model"] == "elegans"]
    return row


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--task", "classify"), "task must be one of autoencoder, classifier, got 'classify'; did you mean"),
        (("--core", "massage-passing"), "core must be one of .*did you mean 'message-passing'"),
        (("--connectome", "varshney"), "--connectome must be one of .*got 'varshney'; did you mean 'varshney2011'"),
        (("--graph", "watts"), "--graph must be one of original, .*got 'watts'; did you mean 'watts-strogatz'"),
        (("--connectome", "no/such.csv"), "no/such.csv: No such file or directory"),
        (("--task", "classifier", "--image-size", "7"), "image_size must be >= 8, got 7"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        run(*arguments)
