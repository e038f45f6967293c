"""What `elegans-gnn predict` is told of its images: which number is white, and how large they are."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from elegans_gnn import cli, load_connectome
from elegans_gnn.models import LogisticRegression, attach_head


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    """One that answers 1 to pictures darker than half of white, surer the darker."""
    model = LogisticRegression(2, in_channels=1, image_size=8)
    (linear,) = [module for module in model.modules() if isinstance(module, torch.nn.Linear)]
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[4.0], [-4.0]]) / 64)
        linear.bias.copy_(torch.tensor([-2.0, 2.0]))
    return model.save_pretrained(tmp_path / "classifier")


@pytest.fixture
def backbone(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    return attach_head("timm/test_resnet", load_connectome("varshney2011"), 3).save_pretrained(tmp_path / "backbone")


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def predict(*arguments: object) -> int:
    return cli.main(["predict", *map(str, arguments)])


@pytest.mark.parametrize(("white", "answer"), [(16, "0,0.88"), (255, "1,0.97"), (20, "0,0.68")])
def test_white_decides(white: int, answer: str, classifier: Path, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(",".join(["12"] * 64) + "\n")
    assert predict(classifier, tmp_path / "a.csv", "--white", white, "--out", tmp_path / "out.csv") == 0
    assert (tmp_path / "out.csv").read_text().splitlines()[1].startswith(f"a.csv:1,{answer}")


def test_doubtful_white_costs_one_line(classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text(",".join(["12"] * 64) + "\n")
    assert predict(classifier, tmp_path / "a.csv") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(r"elegans-gnn: IMAGES must be .*a\.csv with 12 at most; say .* --white 16 .*\n", printed.err)


def test_help_shows_how_digits_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        predict("--help")
    assert re.search(r"digits\.csv --white 16 +# scikit-learn's digits", capsys.readouterr().out)


def test_a_backbone_takes_grey_and_colours_of_the_size_given(
    backbone: Path, picture: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Image.open(picture) as grey:
        grey.convert("RGB").save(tmp_path / "b.png")
    assert predict(backbone, picture, "--image-size", 8) == 0
    first = capsys.readouterr().out
    assert predict(backbone, tmp_path / "b.png", "--image-size", 8) == 0
    assert capsys.readouterr().out == first.replace("a.png", "b.png")


@pytest.mark.parametrize(
    ("model", "size", "message"),
    [
        ("backbone", ["--image-size", "9"], r"IMAGES must be 9 x 9 pixels, got .*a\.png with 8 x 8; resize it"),
        ("backbone", ["--image-size", "0"], "--image-size must be >= 1, got 0; pass the size of the images .*"),
        ("classifier", ["--image-size", "9"], "--image-size must be 8, the size of this model's images, got 9; .*"),
        ("backbone", [], "RUN must be a model that knows the size of its images, got .*; pass --image-size, or .*"),
    ],
)
def test_sizes_that_do_not_fit_cost_one_line(
    model: str, size: list[str], message: str, request: pytest.FixtureRequest, picture: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert predict(request.getfixturevalue(model), picture, *size) == 2
    assert re.fullmatch(f"elegans-gnn: {message}\n", capsys.readouterr().err)


def test_a_size_too_small_for_a_backbone_costs_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its first convolution looks at patches of 4 x 4 pixels."""
    saved = attach_head("timm/test_convnext", load_connectome("varshney2011"), 3).save_pretrained(tmp_path / "patches")
    Image.fromarray(np.zeros((2, 2), dtype=np.uint8)).save(tmp_path / "a.png")
    assert predict(saved, tmp_path / "a.png", "--image-size", 2) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("elegans-gnn: --image-size must be a size that the model's backbone takes, got 2 (")
