"""The small files beside a saved model, and which data a model may be tested on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from elegans_gnn import cli
from elegans_gnn.models import LogisticRegression
from elegans_gnn.training.provenance import TrainedOn, check_unseen, read_training, write_training


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return LogisticRegression(10, in_channels=1, image_size=8).save_pretrained(tmp_path / "model")


@pytest.mark.parametrize("seen", [TrainedOn("digits", 4), TrainedOn("cifar100")])
def test_the_note_comes_back(seen: TrainedOn, tmp_path: Path) -> None:
    assert read_training(tmp_path) is None
    write_training(seen, tmp_path)
    assert read_training(tmp_path) == seen


SHARED = [
    (TrainedOn("digits", 1), "digits", 2, "test", "--fold must be 1, the run's own, since"),
    (TrainedOn("digits", 1), "digits", 2, "validation", "--fold must be 1, the run's own, since"),
    (TrainedOn("mnist"), "mnist5k", 0, "test", "--data must be images that a model trained on mnist has not seen, got"),
    (
        TrainedOn("mnist5k"),
        "mnist",
        0,
        "validation",
        "got mnist, validation: some of its .* mnist5k; use its test part",
    ),
]
APART = [
    (TrainedOn("digits", 1), "digits", 1, "test"),
    (TrainedOn("digits", 1), "mnist5k", 0, "test"),
    (TrainedOn("mnist5k"), "digits", 3, "test"),
    (TrainedOn("mnist5k"), "mnist", 0, "test"),
    (TrainedOn("mnist"), "fashion-mnist", 0, "validation"),
]


@pytest.mark.parametrize(("seen", "name", "fold", "part", "message"), SHARED)
def test_shared_images_are_refused(seen: TrainedOn, name: str, fold: int, part: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_unseen(seen, name, fold, part)


@pytest.mark.parametrize(("seen", "name", "fold", "part"), APART)
def test_other_images_are_not(seen: TrainedOn, name: str, fold: int, part: str) -> None:
    check_unseen(seen, name, fold, part)


NOTE = "RUN must be a model folder whose training.json names a data set, and the fold if it has folds, got .*"
TEN = "RUN must be a model folder with a list of 10 names in classes.json, got .*classes.json with {}; fix or remove it"
FILES = {
    "no JSON": ("training.json", "{", "RUN must be a model folder with a readable training.json, got .*; remove it"),
    "no object": ("training.json", "3", NOTE),
    "unknown data": ("training.json", '{"data": "imagenet"}', NOTE),
    "data of no name": ("training.json", '{"data": ["digits"]}', NOTE),
    "no fold": ("training.json", '{"data": "digits"}', NOTE),
    "a fold of text": ("training.json", '{"data": "digits", "fold": "1"}', NOTE),
    "a fold too much": ("training.json", '{"data": "mnist", "fold": 1}', NOTE),
    "no such fold": ("training.json", '{"data": "digits", "fold": 7}', "fold must be 0 to 4, got 7; .*"),
    "names missing": ("classes.json", '["a", "b"]', TEN.format(r"\['a', 'b'\]")),
    "no list": ("classes.json", '"0123456789"', TEN.format("0123456789")),
    "numbers": ("classes.json", "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]", TEN.format(".*")),
    "damaged names": (
        "classes.json",
        "[",
        "RUN must be a model folder with a readable classes.json, got .*",
    ),
}


@pytest.mark.parametrize("case", FILES)
def test_damaged_notes_cost_one_line(case: str, saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, content, message = FILES[case]
    (saved / name).write_text(content)
    assert cli.main(["eval", str(saved)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(f"elegans-gnn: {message}\n", printed.err), printed.err


def test_folds_are_for_the_digits(saved: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["eval", str(saved), "--data", "mnist5k", "--fold", "1"]) == 2
    assert "--fold must be omitted for data without folds, got 1 for mnist5k" in capsys.readouterr().err


def test_a_folder_of_files_counts_as_mnist(saved: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_training(TrainedOn("mnist"), saved)
    assert cli.main(["eval", str(saved), "--data-dir", str(tmp_path / "none"), "--fold", "1"]) == 2
    assert "got 1 for mnist;" in capsys.readouterr().err
