"""Images handed over: whatever their name is, nothing is concluded from it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from elegans_gnn import cli
from elegans_gnn.datasets import Images, ImageSource, load_small_digits
from elegans_gnn.training import ClassifierConfig, train_classifier
from elegans_gnn.training.provenance import TrainedOn, trained_on

CONFIG = ClassifierConfig(data="digits", fold=1, steps=2, validate_every=1, warmup=1, width=8, batch_size=16, threads=1)


def own(name: str) -> ImageSource:
    whole = load_small_digits()
    few = Images(*(column[:64] for column in whole.train()))
    return ImageSource(name, lambda: few, lambda: few, lambda: few)


@pytest.mark.parametrize("name", ["mine", "digits"])
def test_a_name_says_nothing_of_images_handed_over(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = train_classifier(CONFIG, tmp_path / "run", source=own(name), progress=False).folder
    assert not (folder / "model" / "training.json").exists()
    capsys.readouterr()
    for place, what in ((folder, "trained on images passed from Python"), (folder / "model", "saved without its")):
        assert cli.main(["eval", str(place)]) == 2
        assert f"--data must be given for a model {what}" in capsys.readouterr().err
        assert cli.main(["eval", str(place), "--data", "digits", "--fold", "3", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["data"] == "digits"
    assert cli.main(["train", "digits-classifier", "--resume", str(folder)]) == 2
    line = capsys.readouterr().err
    if name == "digits":
        assert line.startswith("elegans-gnn: source must be the images that the run in ")
        assert line.endswith("resume it in Python: train(config, folder, source=..., resume=True)\n")


def test_named_data_are_remembered(tmp_path: Path) -> None:
    folder = train_classifier(CONFIG, tmp_path / "run", progress=False).folder
    assert json.loads((folder / "model" / "training.json").read_text()) == {"data": "digits", "fold": 1}


def test_of_older_checkpoints_only_known_names_and_folders_count(tmp_path: Path) -> None:
    from elegans_gnn.training.checkpoint import own_images_in

    cases: list[tuple[str, dict[str, Any], TrainedOn | None]] = [
        ("digits", {}, TrainedOn("digits", 1)),
        (str(tmp_path), {}, TrainedOn("mnist")),
        ("mine", {}, None),
        ("digits", {"own_images": True}, None),
        # It was there when the run began, and has gone since.
        (str(tmp_path / "gone"), {"own_images": False}, TrainedOn("mnist")),
    ]
    for data, plain, expected in cases:
        config = CONFIG.changed(data=data)
        opened: Any = SimpleNamespace(config=config, own_images=own_images_in(plain, config))
        assert trained_on(opened) == expected


def test_checkpoints_say_so(tmp_path: Path) -> None:
    folder = train_classifier(CONFIG, tmp_path / "run", source=own("mine"), progress=False).folder
    assert torch.load(folder / "last.ckpt", weights_only=True)["own_images"] is True
