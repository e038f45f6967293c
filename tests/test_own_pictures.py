"""Users' own pictures: the value of white in a table, the separators of its numbers, and palettes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits as whole_digits

from elegans_gnn.datasets import load_small_digits, read_images


def table(folder: Path, text: str, name: str = "a.csv") -> Path:
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize(
    ("numbers", "white", "shares"),
    [
        ("0,51,102,255", None, [0, 0.2, 0.4, 1]),
        ("0,0,0,17", None, [0, 0, 0, 17 / 255]),
        ("0,0.25,0.5,1", None, [0, 0.25, 0.5, 1]),
        ("0,1,1,0", None, [0, 1, 1, 0]),
        ("0,4,8,16", 16, [0, 0.25, 0.5, 1]),
        ("0,1,0,0", 16, [0, 1 / 16, 0, 0]),
        ("0,3,6,12", 255, [0, 1 / 85, 2 / 85, 4 / 85]),
        ("0,0,0,65535", 65535, [0, 0, 0, 1]),
    ],
)
def test_white_is_told_or_beyond_doubt(numbers: str, white: float | None, shares: list[float], tmp_path: Path) -> None:
    _, found = read_images([table(tmp_path, numbers)], 1, 2, white)
    assert torch.allclose(found.flatten(), torch.tensor(shares, dtype=torch.float32), atol=1e-6)


@pytest.mark.parametrize("most", ["1.5", "2", "16"])
def test_what_might_be_dark_or_of_another_white_is_refused(most: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"got .*a\.csv with {most} at most; say which it is: --white 16 for sci"):
        read_images([table(tmp_path, f"0,0,0,{most}")], 1, 2)


def test_scikit_learns_digits_are_read_as_the_model_was_trained(tmp_path: Path) -> None:
    np.savetxt(tmp_path / "digits.csv", whole_digits().data[:20], delimiter=",", fmt="%d")
    _, found = read_images([tmp_path / "digits.csv"], 1, 8, 16)
    known = {image.numpy().tobytes() for part in ("train", "validation", "test") for image in pixels_of(part)}
    assert all(image.numpy().tobytes() in known for image in found)


def pixels_of(part: str) -> torch.Tensor:
    pixels: torch.Tensor = getattr(load_small_digits(), part)().pixels
    return pixels


@pytest.mark.parametrize(
    ("numbers", "white", "message"),
    [
        ("0,0,0,17", 16, r"numbers from 0 to 16, got .*a\.csv with others; scale them, or say what white is"),
        ("0,0,0,256", None, r"numbers from 0 to 255, got .*a\.csv with others; scale them, or say what white is"),
        ("0,0,0,-1", 16, r"numbers from 0 to 16, got"),
        ("0,0,0,nan", None, r"numbers from 0 to 255, got"),
        ("0,0,0,1", 0, r"--white must be above 0, got 0; use 255, 16 or 1"),
        ("0,0,0,1", float("nan"), r"--white must be above 0, got nan"),
    ],
)
def test_numbers_beyond_white_are_refused(numbers: str, white: float | None, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        read_images([table(tmp_path, numbers)], 1, 2, white)


def test_pictures_know_their_white(tmp_path: Path) -> None:
    Image.fromarray(np.full((2, 2), 51, dtype=np.uint8)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="--white must be omitted without CSV files, got 16; omit it"):
        read_images([tmp_path / "a.png"], 1, 2, 16)
    _, found = read_images([tmp_path / "a.png", table(tmp_path, "0,0,0,16")], 1, 2, 16)
    assert torch.allclose(found[:, 0, 1, 1], torch.tensor([0.2, 1.0]))


def test_a_tsv_file_has_tabs(tmp_path: Path) -> None:
    names, found = read_images([table(tmp_path, "a\tb\tc\td\n0\t51\t102\t255\n", "a.TSV")], 1, 2)
    assert names == ["a.TSV:1"]
    assert torch.allclose(found.flatten(), torch.tensor([0.0, 0.2, 0.4, 1.0]))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", "0;0;0;255\n", "with commas between them, got .*a.csv, line 1, with semicolons; save it with commas"),
        ("a.csv", "a;b;c;d\n0,5;0;0;255\n", "got .*a.csv, line 2, with semicolons; save it with commas"),
        ("a.csv", "0\t0\t0\t255\n", "got .*a.csv, line 1, with tabs; name it .tsv"),
        ("a.txt", "0 0 0 255\n", "got .*a.txt, line 1, with spaces; save it with commas"),
        ("a.tsv", "0,0,0,255\n", "with tabs between them, got .*a.tsv, line 1, with commas; save it with tabs"),
    ],
)
def test_other_separators_are_named(name: str, text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        read_images([table(tmp_path, text, name)], 1, 2)
    assert "255" not in str(caught.value)


def test_a_long_cell_is_shown_in_part(tmp_path: Path) -> None:
    path = table(tmp_path, "0,0,0,255\n0,0,0," + "x" * 500 + "\n")
    with pytest.raises(ValueError, match=r"line 2: column 4 is not a number: 'x{20}\.\.\.'; fix it"):
        read_images([path], 1, 2)


def test_a_folder_is_called_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="IMAGES must be files, got .*, which is a folder; give paths"):
        read_images([tmp_path], 1, 2)


def test_a_palette_of_greys_is_grey(tmp_path: Path) -> None:
    values = np.array([[0, 51], [102, 255]], dtype=np.uint8)
    grey = Image.new("P", (2, 2))
    grey.putdata([2, 1, 3, 0])
    grey.putpalette([value for shade in (255, 51, 0, 102) for value in [shade] * 3] + [10, 20, 30])
    grey.save(tmp_path / "grey.png")
    shares = torch.from_numpy(values) / 255
    _, found = read_images([tmp_path / "grey.png"], 1, 2)
    assert torch.allclose(found[0, 0], shares)
    _, found = read_images([tmp_path / "grey.png"], 3, 2)
    assert torch.allclose(found[0], shares.expand(3, 2, 2))


def test_without_channels_the_first_picture_says_them(tmp_path: Path) -> None:
    Image.fromarray(np.full((2, 2), 51, dtype=np.uint8)).save(tmp_path / "grey.png")
    Image.fromarray(np.full((2, 2, 3), 51, dtype=np.uint8)).save(tmp_path / "colour.png")
    Image.fromarray(np.full((2, 2, 4), 51, dtype=np.uint8)).save(tmp_path / "clear.png")
    rows = {1: table(tmp_path, "heading,\n0,0,0,255", "grey.csv"), 3: table(tmp_path, "0," * 11 + "255", "colour.csv")}
    for channels, name in ((1, "grey.png"), (3, "colour.png")):
        for paths in ([tmp_path / name, rows[channels]], [rows[channels], tmp_path / name]):
            assert read_images(paths, 0, 2)[1].shape == (2, channels, 2, 2)
    assert torch.allclose(read_images([tmp_path / "colour.png", tmp_path / "grey.png"], 0, 2)[1], torch.tensor(0.2))
    with pytest.raises(ValueError, match=r"pictures with 3 channel\(s\), got .*clear.png with 4"):
        read_images([tmp_path / "clear.png"], 0, 2)


def test_colours_become_grey_and_grey_becomes_colour(tmp_path: Path) -> None:
    Image.fromarray(np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [9, 9, 9]]], np.uint8)).save(tmp_path / "a.png")
    _, found = read_images([tmp_path / "a.png"], 1, 2)
    assert torch.allclose(found[0, 0], torch.tensor([[0.299, 0.587], [0.114, 9 / 255]]), atol=1 / 255)
    Image.fromarray(np.array([[0, 51], [102, 255]], np.uint8)).save(tmp_path / "b.png")
    _, found = read_images([tmp_path / "b.png"], 3, 2)
    assert torch.allclose(found[0], torch.tensor([[0.0, 0.2], [0.4, 1.0]]).expand(3, 2, 2))
