"""`elegans-gnn models`: the table, its JSON, and what it refuses."""

from __future__ import annotations

import argparse
import json

import pytest

from elegans_gnn.commands import models
from elegans_gnn.models import MODELS


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


def test_the_table_shows_one_task(capsys):
    assert run("--task", "classifier", "--image-size", "8", "--in-channels", "3", "--core", "dense") == 0
    shown = capsys.readouterr().out
    assert "elegans (varshney2011, dense)" in shown
    assert "randomly-wired" in shown
    assert "3 x 8 x 8" in shown
    assert "attention" not in shown
    assert f"{3 * 64 * 10 + 10:,}" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--task", "classify"), "task must be one of autoencoder, classifier, got 'classify'; did you mean"),
        (("--core", "massage-passing"), "core must be one of .*did you mean 'message-passing'"),
        (("--connectome", "varshney"), "name must be one of .*got 'varshney'; did you mean 'varshney2011'"),
        (("--task", "classifier", "--image-size", "7"), "image_size must be >= 8, got 7"),
    ],
)
def test_refusals(arguments, message):
    with pytest.raises(ValueError, match=message):
        run(*arguments)
