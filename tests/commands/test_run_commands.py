"""`elegans-gnn eval` and `predict` on runs and on model folders, and one line for bad pictures."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from elegans_gnn.datasets import load_digits, load_small_digits
from elegans_gnn.training import ClassifierConfig, train_classifier


def save_png(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray((pixels * 255).round().astype(np.uint8)).save(path)
    return path


def test_eval_repeats_the_figures_of_the_run(runs: SimpleNamespace, said: Callable[..., str]) -> None:
    found = json.loads(said("eval", runs.classifier, "--json"))
    assert found == {
        "run": str(runs.classifier), "task": "classifier", "data": "digits", "part": "test", "figures": runs.test,
    }  # fmt: skip
    assert json.loads(said("eval", runs.classifier, "--part", "validation", "--json"))["figures"] == runs.validation
    assert json.loads(said("eval", runs.classifier, "--fold", "2", "--json"))["figures"] == runs.test
    printed = said("eval", runs.classifier / "best.ckpt")
    assert f"{100 * runs.test['accuracy']:.2f}" in printed
    assert "varshney2011" in printed


def test_eval_of_an_autoencoder_shows_eight_bits_too(runs: SimpleNamespace, said: Callable[..., str]) -> None:
    found = json.loads(said("eval", runs.autoencoder, "--json"))
    assert found["figures"] == runs.reconstruction
    assert found["figures_8bit"] == runs.test_8bit
    assert "8-bit code" in said("eval", runs.autoencoder)


def test_a_model_folder_knows_its_data(
    runs: SimpleNamespace, said: Callable[..., str], tmp_path: Path, refused_line: Callable[..., str]
) -> None:
    travelled = shutil.copytree(runs.classifier / "model", tmp_path / "model")
    found = json.loads(said("eval", travelled, "--json"))
    assert found["data"] == "digits"
    assert found["figures"] == pytest.approx(runs.test, abs=1e-6)
    note = json.loads((runs.autoencoder / "model" / "training.json").read_text())
    assert note == {"data": "mnist5k"}
    # As save_pretrained leaves it: nobody knows what the model has seen.
    (travelled / "training.json").unlink()
    assert re.fullmatch("--data must be given for a model saved without .*", refused_line("eval", travelled))
    other = json.loads(said("eval", travelled, "--data", "digits", "--fold", "3", "--json"))
    assert other["figures"] != pytest.approx(runs.test, abs=1e-6)


@pytest.mark.parametrize("kind", ["", "best.ckpt", "model"])
@pytest.mark.parametrize("options", [[], ["--data", "digits"]])
def test_images_the_model_was_trained_on_are_no_test(
    kind: str, options: list[str], runs: SimpleNamespace, refused_line: Callable[..., str]
) -> None:
    line = refused_line("eval", runs.classifier / kind, "--fold", "3", *options)
    assert line.startswith("--fold must be 2, the run's own, since the model was trained on images of the other folds")


def test_predict_names_the_class_of_pictures_and_rows(
    runs: SimpleNamespace, said: Callable[..., str], tmp_path: Path
) -> None:
    test = load_small_digits(2).test()
    for number in range(12):
        save_png(tmp_path / f"{number}.png", test.pixels[number, 0].numpy())
    rows = "\n".join(",".join(f"{value * 255:.3f}" for value in test.pixels[n].flatten().tolist()) for n in range(12))
    (tmp_path / "rows.csv").write_text("a,heading\n" + rows + "\n")
    pictures = [tmp_path / f"{number}.png" for number in range(12)]
    said("predict", runs.classifier, *pictures, tmp_path / "rows.csv", "--out", tmp_path / "classes.csv")
    with open(tmp_path / "classes.csv", newline="") as file:
        found = list(csv.DictReader(file))
    model_says = [row["class"] for row in found]
    assert [row["image"] for row in found][10:14] == ["10.png", "11.png", "rows.csv:1", "rows.csv:2"]
    assert model_says[:12] == model_says[12:]
    right = sum(int(name) == int(label) for name, label in zip(model_says[:12], test.labels[:12], strict=True))
    assert right >= 6
    assert all(0.1 <= float(row["probability"]) <= 1 for row in found)
    printed = said("predict", runs.classifier / "model", pictures[0])
    assert "0.png" in printed
    assert re.search(rf"\b{model_says[0]}\b", printed)


def test_shares_and_grey_values_are_told_apart(runs: SimpleNamespace, said: Callable[..., str], tmp_path: Path) -> None:
    row = load_small_digits(2).test().pixels[0].flatten()
    answers = []
    for name, values in (("one", row), ("all", row * 255)):
        path = tmp_path / f"{name}.csv"
        path.write_text(",".join(f"{value:.6f}" for value in values.tolist()))
        answers.append(said("predict", runs.classifier, path).replace(f"{name}.csv", "").split())
    assert answers[0] == answers[1]


def test_predict_redraws_digits(runs: SimpleNamespace, said: Callable[..., str], tmp_path: Path) -> None:
    test = load_digits().test()
    first = save_png(tmp_path / "one.png", test.pixels[0, 0].numpy())
    (tmp_path / "other").mkdir()
    second = save_png(tmp_path / "other" / "one.png", test.pixels[500, 0].numpy())
    said("predict", runs.autoencoder, first, second, "--out", tmp_path / "new" / "redrawn")
    written = sorted(path.name for path in (tmp_path / "new" / "redrawn").iterdir())
    assert written == ["one-2.png", "one.png"]
    with Image.open(tmp_path / "new" / "redrawn" / "one.png") as picture:
        assert (picture.mode, picture.size) == ("L", (28, 28))


def test_a_run_on_a_backbone_goes_all_the_way(
    said: Callable[..., str], tmp_path: Path, refused_line: Callable[..., str]
) -> None:
    """Trained frozen on grey digits, evaluated, asked; its model folder has to be told the size."""
    config = ClassifierConfig(
        data="digits",
        backbone="resnet18",
        frozen=True,
        resize=16,
        steps=2,
        validate_every=2,
        batch_size=8,
        threads=1,
        ema=0.0,
    )
    threads = torch.get_num_threads()
    folder = train_classifier(config, tmp_path / "run", progress=False).folder
    torch.set_num_threads(threads)
    test = json.loads((folder / "summary.json").read_text())["test"]
    assert json.loads(said("eval", folder, "--json"))["figures"] == pytest.approx(test, abs=1e-5)
    found = json.loads(said("eval", folder / "model", "--json"))
    assert found["figures"] == pytest.approx(test, abs=1e-5)
    picture = save_png(tmp_path / "a.png", np.zeros((8, 8)))
    assert "a.png" in said("predict", folder, picture)
    assert "which takes any; pass --image-size, or give" in refused_line("predict", folder / "model", picture)
    assert said("predict", folder / "model", picture, "--image-size", "8") == said("predict", folder, picture)


def corrupt(folder: Path) -> Path:
    whole = save_png(folder / "whole.png", np.random.default_rng(0).random((8, 8))).read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    return folder / "cut.png"


def transparent(folder: Path) -> Path:
    return save_png(folder / "clear.png", np.zeros((8, 8, 4)))


def large(folder: Path) -> Path:
    return save_png(folder / "large.png", np.zeros((9, 8)))


def written(name: str, text: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_text(text)
        return folder / name

    return make


PICTURES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a picture cut short": (corrupt, r"IMAGES must be readable pictures, got .*cut\.png, which is damaged .*"),
    "no picture": (written("a.png", "text"), r"IMAGES must be readable pictures, got .*a\.png, which is damaged .*"),
    "wrong channel count": (transparent, r"IMAGES must be pictures with 1 channel.s., got .*clear\.png with 4; .*"),
    "wrong size": (large, r"IMAGES must be 8 x 8 pixels, got .*large\.png with 8 x 9; resize it"),
    "no file": (lambda folder: folder / "none.png", r"IMAGES must be files, got .*none\.png, which does not exist; .*"),
    "a short row": (written("a.csv", "1,2,3"), r"IMAGES must be rows of 64 .*a\.csv, line 1: 3 numbers; .*"),
    "words": (written("a.csv", "0," * 63 + "0\n" + "0," * 63 + "x"), r".*a\.csv, line 2: column 64 is not a number.*"),
    "large numbers": (written("a.csv", "0," * 63 + "256"), r"IMAGES must be numbers from 0 to 255, got .*"),
    "an empty table": (written("a.csv", ""), r"IMAGES must be rows of 64 numbers, got .*a\.csv, which has none; .*"),
}  # fmt: skip


@pytest.mark.parametrize("case", PICTURES)
def test_bad_pictures_cost_one_line_and_nothing_is_written(
    case: str, runs: SimpleNamespace, tmp_path: Path, refused_line: Callable[..., str]
) -> None:
    make, message = PICTURES[case]
    out = tmp_path / "out.csv"
    assert re.fullmatch(message, refused_line("predict", runs.classifier, make(tmp_path), "--out", out))
    assert not out.exists()


def test_nothing_existing_is_overwritten(
    runs: SimpleNamespace, tmp_path: Path, refused_line: Callable[..., str]
) -> None:
    picture = save_png(tmp_path / "a.png", np.zeros((8, 8)))
    (tmp_path / "out.csv").write_text("mine")
    line = refused_line("predict", runs.classifier, picture, "--out", tmp_path / "out.csv")
    assert re.fullmatch(r"--out must be new, got .*out\.csv, which exists; choose another", line)
    assert (tmp_path / "out.csv").read_text() == "mine"
    digit = save_png(tmp_path / "b.png", np.zeros((28, 28)))
    line = refused_line("predict", runs.autoencoder, digit, "--out", digit)
    assert re.fullmatch(r"--out must be new, got .*b\.png, which exists; choose another", line)
