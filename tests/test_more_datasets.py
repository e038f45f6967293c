"""The five folds of small digits, and pictures from files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from elegans_gnn.datasets import (
    load_small_digits,
    read_images,
    write_images,
)


def keys(pixels: torch.Tensor) -> list[bytes]:
    return [image.numpy().tobytes() for image in pixels]


def test_folds_are_stratified_disjoint_and_cover_everything() -> None:
    tests, totals = [], torch.bincount(load_whole()[1])
    for fold in range(5):
        source = load_small_digits(fold)
        train, validation, test = source.train(), source.validation(), source.test()
        assert len(train.labels) + len(validation.labels) + len(test.labels) == 1797
        assert len(test.labels) in (359, 360)
        for part, share in ((train, 0.7), (validation, 0.1), (test, 0.2)):
            assert part.pixels.shape[1:] == (1, 8, 8)
            assert (float(part.pixels.min()), float(part.pixels.max())) == (0.0, 1.0)
            counts = torch.bincount(part.labels, minlength=10)
            assert torch.all((counts - share * totals).abs() <= 2), (fold, counts)
        tests.append(test)
    labels = torch.cat([part.labels for part in tests])
    assert torch.bincount(labels).tolist() == torch.bincount(load_whole()[1]).tolist()
    every = [key for part in tests for key in keys(part.pixels)]
    assert sorted(every) == sorted(keys(load_whole()[0]))


def load_whole() -> tuple[torch.Tensor, torch.Tensor]:
    from sklearn.datasets import load_digits as whole

    data = whole()
    return torch.from_numpy(data.images.astype(np.float32))[:, None] / 16, torch.from_numpy(data.target)


def test_parts_of_a_fold_share_no_image_and_stay_the_same() -> None:
    source = load_small_digits(1)
    parts = [set(keys(part().pixels)) for part in (source.train, source.validation, source.test)]
    # Two of the 1,797 scans might be equal; none are.
    assert sum(map(len, parts)) == 1797
    assert not parts[0] & parts[1]
    assert not (parts[0] | parts[1]) & parts[2]
    digest = hashlib.sha256(source.test().labels.numpy().tobytes() + source.test().pixels.numpy().tobytes())
    assert digest.hexdigest()[:16] == "ec2db75f70a5e5df"
    assert set(keys(load_small_digits(2).test().pixels)) != parts[2]


@pytest.mark.parametrize("fold", [-1, 5])
def test_there_are_five_folds(fold: int) -> None:
    with pytest.raises(ValueError, match=f"fold must be 0 to 4, got {fold}"):
        load_small_digits(fold)


def test_pictures_come_back_as_they_were_written(tmp_path: Path) -> None:
    pixels = torch.randint(0, 256, (3, 1, 5, 5), generator=torch.Generator().manual_seed(0)) / 255
    written = write_images(pixels, ["one.png", "one.png", "many.csv:3"], tmp_path / "out")
    assert [path.name for path in written] == ["one.png", "one-2.png", "many-csv-3.png"]
    names, found = read_images(written, 1, 5)
    assert names == [path.name for path in written]
    assert torch.allclose(found, pixels, atol=1e-6)
    with pytest.raises(FileExistsError):
        write_images(pixels, ["a", "b", "c"], tmp_path / "out")


def test_colours_are_channels_first_and_a_palette_counts_as_colours(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    Image.fromarray(values).save(tmp_path / "colour.png")
    Image.fromarray(values).quantize(64).save(tmp_path / "palette.png")
    _, found = read_images([tmp_path / "colour.png", tmp_path / "palette.png"], 3, 4)
    assert torch.allclose(found[0], torch.from_numpy(values).permute(2, 0, 1) / 255, atol=1e-6)
    assert torch.allclose(found[1], found[0], atol=0.2)
    luminance = (found[1] * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0)
    assert torch.allclose(read_images([tmp_path / "palette.png"], 1, 4)[1][0, 0], luminance, atol=1 / 255)


def test_rows_of_a_table_are_pictures(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,b,c,d\n0,51,102,255\n\n255,0,0,0\n")
    names, found = read_images([tmp_path / "a.csv"], 1, 2)
    assert names == ["a.csv:1", "a.csv:2"]
    assert torch.allclose(found[0, 0], torch.tensor([[0.0, 0.2], [0.4, 1.0]]))


def test_sixteen_bits_of_grey_are_shares_of_white(tmp_path: Path) -> None:
    values = np.array([[0, 255, 256], [1000, 30000, 32768], [50000, 65534, 65535]], dtype=np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    _, found = read_images([tmp_path / "deep.png"], 1, 3)
    assert torch.allclose(found[0, 0], torch.from_numpy(values.astype(np.float32)) / 65535, atol=1e-6)
    with pytest.raises(ValueError, match=r"pictures with 3 channel\(s\), got .*deep.png with 1"):
        read_images([tmp_path / "deep.png"], 3, 3)


@pytest.mark.parametrize("kind", ["int32", "float32"])
def test_pictures_whose_white_is_unknown_are_refused(kind: str, tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 200, dtype=kind)).save(tmp_path / "raw.tiff")
    with pytest.raises(ValueError, match=r"pictures of 8 or 16 bits a channel, got .*raw.tiff with 32-bit values"):
        read_images([tmp_path / "raw.tiff"], 1, 4)


def test_a_byte_order_mark_costs_no_row(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf0,51,102,255\r\n255,0,0,0\r\n")
    names, found = read_images([tmp_path / "a.csv"], 1, 2)
    assert names == ["a.csv:1", "a.csv:2"]
    assert torch.allclose(found[0, 0], torch.tensor([[0.0, 0.2], [0.4, 1.0]]))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("0,51,x,255\n255,0,0,0\n", "line 1: column 3 is not a number: 'x'"),
        ("a,b,c,d\n255,0,,0\n", "line 2: column 3 is not a number: ''"),
        ("a,b,c,d\n\ne,f,g,h\n", "line 3: column 1 is not a number: 'e'"),
        ("a,b,c,1\n255,0,0,0\n", "line 1: column 1 is not a number: 'a'"),
    ],
)
def test_a_bad_cell_is_no_heading(text: str, where: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(ValueError, match=rf"IMAGES must be rows of 4 numbers, got .*a\.csv, {where}; fix it"):
        read_images([tmp_path / "a.csv"], 1, 2)
