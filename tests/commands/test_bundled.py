"""A run becomes a bundled model with a card; `eval` and `predict` take its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from data import make_model
from elegans_gnn import _paths
from elegans_gnn.models.pretrained import WEIGHTS


@pytest.fixture
def bundled(runs: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The classifier of the small digits as the only bundled model, called tiny-worm."""
    folder = make_model.make(runs.classifier, "tiny-worm", "Digits only.", "abc1234", tmp_path / "data" / "models")
    monkeypatch.setattr(_paths, "data_folder", lambda: tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return folder


def test_its_name_is_evaluated_and_its_card_says_the_same(
    bundled: Path, runs: SimpleNamespace, said: Callable[..., str]
) -> None:
    card = (bundled / "README.md").read_text()
    for part in ("test", "validation"):
        found = json.loads(said("eval", "tiny-worm", "--part", part, "--json"))
        assert (found["run"], found["data"]) == ("tiny-worm", "digits")
        figures = found["figures"]
        row = f"accuracy {figures['accuracy']:.4f}, cross_entropy {figures['cross_entropy']:.4f}"
        assert f"| {part} | figures | {row} |" in card
    # Sixteen bits change little.
    assert found["figures"]["cross_entropy"] == pytest.approx(runs.validation["cross_entropy"], rel=0.01)
    for line in (
        "commit abc1234",
        "varshney2011, 279 neurons",
        "**Limits**: Digits only.",
        "    fold: 2\n",
        "steps: 30\n",
    ):
        assert line in card
    assert "top-1" in said("eval", "tiny-worm")


def test_its_name_answers_pictures(bundled: Path, tmp_path: Path, said: Callable[..., str]) -> None:
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "one.png")
    assert said("predict", "tiny-worm", "one.png") == said("predict", bundled, "one.png")


def test_an_unknown_name_lists_it(bundled: Path, refused_line: Callable[..., str]) -> None:
    for command in (["eval", "tiny"], ["predict", "tiny", "one.png"]):
        assert refused_line(*command) == (
            "RUN must be a run folder with best.ckpt, or a model folder, or the name of a bundled model (tiny-worm), "
            "got tiny; give a folder that elegans-gnn train wrote"
        )


def test_the_help_names_it(bundled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from elegans_gnn import cli

    for command in ("eval", "predict"):
        with pytest.raises(SystemExit):
            cli.main([command, "--help"])
        assert "bundled model (tiny-worm)" in " ".join(capsys.readouterr().out.split())


def test_what_cannot_be_bundled_leaves_nothing(
    runs: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(runs.classifier), "one", "--limits", "None.", "--commit", "a", "--out", str(tmp_path)]
    assert make_model.main(arguments) == 0
    assert (tmp_path / "one" / WEIGHTS).is_file()
    assert make_model.main(arguments) == 2
    assert "folder must be new" in capsys.readouterr().err
    arguments[1] = "two"
    monkeypatch.setattr(make_model, "LARGEST", 1000)
    assert make_model.main(arguments) == 2
    assert "model must be at most 1,000 bytes with its graph and card, got" in capsys.readouterr().err
    arguments[0] = str(runs.classifier / "model")
    assert make_model.main(arguments) == 2
    assert "RUN must be" in capsys.readouterr().err
    assert not (tmp_path / "two").exists()
