"""Where `elegans-gnn predict` writes: what is a CSV file, a PNG file or a folder, and what is never overwritten."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from elegans_gnn import cli
from elegans_gnn.models import LogisticRegression, MLPAutoencoder

SIZE = 8


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    return LogisticRegression(10, in_channels=1, image_size=SIZE).save_pretrained(tmp_path / "classifier")


@pytest.fixture
def autoencoder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    return MLPAutoencoder(code=4, image_size=SIZE, width=8).save_pretrained(tmp_path / "autoencoder")


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "first.png", tmp_path / "second.png"]
    for number, path in enumerate(paths):
        Image.fromarray(np.full((SIZE, SIZE), 200 * number, dtype=np.uint8)).save(path)
    return paths


def predict(*arguments: object) -> int:
    return cli.main(["predict", *map(str, arguments)])


def test_one_picture_becomes_one_file(autoencoder: Path, pictures: list[Path], tmp_path: Path) -> None:
    assert predict(autoencoder, pictures[1], "--out", tmp_path / "new" / "redrawn.png") == 0
    assert predict(autoencoder, pictures[1], "--out", tmp_path / "folder") == 0
    with Image.open(tmp_path / "new" / "redrawn.png") as alone, Image.open(tmp_path / "folder" / "second.png") as other:
        assert (alone.mode, alone.size) == ("L", (SIZE, SIZE))
        assert np.array_equal(np.asarray(alone), np.asarray(other))


def test_several_pictures_become_a_folder(autoencoder: Path, pictures: list[Path], tmp_path: Path) -> None:
    assert predict(autoencoder, *pictures, "--out", tmp_path / "v1.0") == 0
    assert sorted(path.name for path in (tmp_path / "v1.0").iterdir()) == ["first.png", "second.png"]


def test_classes_become_a_table(classifier: Path, pictures: list[Path], tmp_path: Path) -> None:
    assert predict(classifier, *pictures, "--out", tmp_path / "new" / "classes.CSV") == 0
    with open(tmp_path / "new" / "classes.CSV", newline="") as file:
        assert [row["image"] for row in csv.DictReader(file)] == ["first.png", "second.png"]


def test_a_folder_and_standard_input_are_pictures_too(
    classifier: Path, pictures: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    (tmp_path / "many").mkdir()
    for path in pictures:
        path.rename(tmp_path / "many" / path.name)
    (tmp_path / "many" / "notes.txt").write_text("mine")
    assert predict(classifier, tmp_path / "many") == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines() if ".png" in line]
    assert [line[0] for line in lines] == ["first.png", "second.png"]
    data = io.BytesIO((tmp_path / "many" / "second.png").read_bytes())
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=data))
    assert predict(classifier, "-") == 0
    (line,) = [line.split() for line in capsys.readouterr().out.splitlines() if "stdin" in line]
    assert line[1:] == lines[1][1:]
    (tmp_path / "empty").mkdir()
    assert predict(classifier, tmp_path / "empty") == 2
    assert "IMAGES must be a folder with pictures" in capsys.readouterr().err


def test_without_a_place_pictures_go_to_the_current_folder(
    autoencoder: Path, pictures: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for expected in ("redrawn.png", "redrawn-2.png"):
        assert predict(autoencoder, pictures[0]) == 0
        assert (tmp_path / expected).is_file()
    assert predict(autoencoder, *pictures) == 0
    assert sorted(path.name for path in (tmp_path / "redrawn").iterdir()) == ["first.png", "second.png"]


WRONG = [
    ("classifier", 1, "a.png", r"--out must be a CSV file for the classes, got .*a\.png; pass --out .*a\.csv"),
    ("classifier", 1, "a", r"--out must be a CSV file for the classes, got .*/a; pass --out .*/a\.csv"),
    ("autoencoder", 2, "a.png", r"--out must be a new folder, or .*got .*a\.png for 2 pictures; pass --out .*/a"),
    ("autoencoder", 1, "a.csv", r"--out must be .*got .*a\.csv for 1 picture; pass --out .*/a\.png"),
    ("autoencoder", 1, "a.jpg", r"--out must be .*got .*a\.jpg for 1 picture; pass --out .*/a\.png"),
]


@pytest.mark.parametrize(("model", "count", "name", "message"), WRONG)
def test_other_kinds_of_files_are_refused(
    model: str, count: int, name: str, message: str, request: pytest.FixtureRequest, pictures: list[Path],
    tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert predict(request.getfixturevalue(model), *pictures[:count], "--out", tmp_path / name) == 2
    assert re.fullmatch(f"elegans-gnn: {message}\n", capsys.readouterr().err)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize(("model", "name"), [("classifier", "mine.csv"), ("autoencoder", "mine.png")])
@pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
def test_what_exists_stays(
    model: str, name: str, kind: str, request: pytest.FixtureRequest, pictures: list[Path], tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    out = tmp_path / name
    if kind == "file":
        out.write_text("mine")
    elif kind == "folder":
        out.mkdir()
    else:
        out.symlink_to(tmp_path / "nowhere")
    assert predict(request.getfixturevalue(model), pictures[0], "--out", out) == 2
    assert re.fullmatch(rf"elegans-gnn: --out must be new, got .*{name}, which exists; .*\n", capsys.readouterr().err)
    assert not (tmp_path / "nowhere").exists()
    assert kind != "file" or out.read_text() == "mine"


@pytest.mark.parametrize(("model", "name"), [("classifier", "a.csv"), ("autoencoder", "a.png"), ("autoencoder", "a")])
def test_a_file_is_no_place_for_others(
    model: str, name: str, request: pytest.FixtureRequest, pictures: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict(request.getfixturevalue(model), pictures[0], "--out", pictures[1] / name) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("elegans-gnn: --out must be a place that can be written, got ")
    assert pictures[1].is_file()
