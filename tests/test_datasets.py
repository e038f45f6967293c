"""Images: the fixed split of the digits, MNIST from disk, and the messages when it is missing or is another."""

from __future__ import annotations

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import MNIST

from elegans_gnn._paths import data_folder
from elegans_gnn.datasets import ImageSource, ink, load_digits, load_images
from elegans_gnn.errors import DataUnavailableError
from tests.image_files import idx_bytes, write_mnist

MNIST_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
LIST_OF_FILES = ", ".join(MNIST_NAMES)


@pytest.fixture(scope="module")
def digits() -> ImageSource:
    return load_digits()


def test_split_is_the_published_one() -> None:
    with np.load(data_folder() / "splits" / "mnist5k.npz") as split:
        parts = [split[name] for name in ("train", "val", "test")]
    assert [(part.dtype, len(part)) for part in parts] == [(np.dtype("int32"), size) for size in (3600, 400, 1000)]
    digest = hashlib.sha256(b"".join(part.tobytes() for part in parts)).hexdigest()
    assert digest == "83a3d181e08d01b6fbd360670d026104dc1b9747e830b873f3321b866cee296e"
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(5000))


def test_mnist5k_is_stratified_and_disjoint(digits: ImageSource) -> None:
    parts = [digits.train(), digits.validation(), digits.test()]
    for part, per_digit in zip(parts, (360, 40, 100), strict=True):
        assert part.pixels.shape == (10 * per_digit, 1, 28, 28)
        assert part.pixels.dtype == torch.float32
        assert (float(part.pixels.min()), float(part.pixels.max())) == (0.0, 1.0)
        assert part.labels.dtype == torch.int64
        assert torch.bincount(part.labels).tolist() == [per_digit] * 10
    every = torch.cat([part.pixels for part in parts]).flatten(1)
    assert len(torch.unique(every, dim=0)) == len(every)


def test_mnist5k_holds_real_digits_with_their_labels(digits: ImageSource) -> None:
    """Zeros have an empty middle, ones are the thinnest: labels and pictures belong together."""
    images = digits.train()
    middle = images.pixels[:, 0, 12:16, 12:16].mean(dim=(1, 2))
    amount = images.pixels.mean(dim=(1, 2, 3))
    by_digit = [[float(column[images.labels == digit].mean()) for digit in range(10)] for column in (middle, amount)]
    assert int(np.argmin(by_digit[0])) == 0
    assert int(np.argmin(by_digit[1])) == 1


def test_parts_are_the_same_at_every_reading(digits: ImageSource) -> None:
    again = load_digits("mnist5k")
    assert again.name == "mnist5k"
    assert torch.equal(again.test().pixels, digits.test().pixels)


def test_reading_does_not_hand_out_the_cache(digits: ImageSource) -> None:
    digits.test().pixels.zero_()
    assert float(digits.test().pixels.max()) == 1.0


def test_ink_is_what_reaches_three_tenths() -> None:
    pixels = torch.tensor([0.0, 76 / 255, 0.29999, 0.3, 77 / 255, 1.0])
    assert ink(pixels).tolist() == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    assert ink(pixels).dtype == torch.float32


@pytest.mark.parametrize("below", [".", "raw", "MNIST/raw"])
def test_full_mnist_from_a_folder(below: str, tmp_path: Path, offline: list[str]) -> None:
    arrays = write_mnist(tmp_path / below)
    source = load_digits(str(tmp_path))
    train, validation, test = source.train(), source.validation(), source.test()
    assert (len(train.labels), len(validation.labels), len(test.labels)) == (36, 4, 10)
    assert torch.equal((test.pixels * 255).round().to(torch.uint8)[:, 0], torch.from_numpy(arrays[MNIST_NAMES[2]]))
    assert test.labels.tolist() == list(range(10))
    seen = torch.cat([train.pixels, validation.pixels]).flatten(1)
    given = torch.from_numpy(arrays[MNIST_NAMES[0]]).reshape(40, -1) / 255
    assert torch.equal(torch.unique(seen, dim=0), torch.unique(given, dim=0))
    # Each picture kept its label: the pictures are distinct, so the number of a picture is found by its pixels.
    for pixels, label in zip(seen, torch.cat([train.labels, validation.labels]), strict=True):
        (number,) = torch.nonzero((given == pixels).all(dim=1)).flatten().tolist()
        assert number % 10 == int(label)
    assert torch.equal(load_digits(str(tmp_path)).train().pixels, train.pixels)
    assert offline == []


def test_mnist_by_name_is_read_from_the_data_folder_without_network(tmp_path: Path, offline: list[str]) -> None:
    write_mnist(tmp_path / "MNIST" / "raw")
    source = load_digits("mnist", tmp_path)
    assert (source.name, len(source.train().labels)) == ("mnist", 36)
    assert offline == []


def test_mnist_of_full_size_keeps_5000_for_validation(tmp_path: Path) -> None:
    write_mnist(tmp_path, train=60_000)
    source = load_digits(str(tmp_path))
    assert (len(source.train().labels), len(source.validation().labels)) == (55_000, 5_000)


@pytest.mark.parametrize("kind", ["empty", "something else", "missing", "a file"])
def test_a_folder_that_is_not_mnist_is_refused(kind: str, tmp_path: Path, offline: list[str]) -> None:
    folder = tmp_path / "images"
    if kind == "a file":
        folder.write_text("not a folder")
    elif kind != "missing":
        folder.mkdir()
    if kind == "something else":
        (folder / "cat.png").write_bytes(b"png")
    with pytest.raises(ValueError) as caught:
        load_digits(str(folder))
    got = "no such folder" if kind in ("missing", "a file") else f"a folder without {LIST_OF_FILES}"
    assert str(caught.value) == (
        f"data must be mnist5k, mnist, or a folder with MNIST's files {LIST_OF_FILES}, got '{folder}' ({got}); "
        "put the four files there, plain or as .gz files"
    )
    assert offline == []


def test_half_of_the_files_are_not_enough_and_the_missing_ones_are_named(tmp_path: Path) -> None:
    write_mnist(tmp_path / "raw")
    for name in MNIST_NAMES[2:]:
        (tmp_path / "raw" / name).unlink()
    with pytest.raises(ValueError, match=rf"\(a folder without {MNIST_NAMES[2]}, {MNIST_NAMES[3]}\)"):
        load_digits(str(tmp_path))


def test_packed_files_are_read_like_plain_ones(tmp_path: Path) -> None:
    write_mnist(tmp_path / "plain")
    write_mnist(tmp_path / "packed", packed=True)
    plain, packed = load_digits(str(tmp_path / "plain")), load_digits(str(tmp_path / "packed"))
    for part in ("train", "validation", "test"):
        for column, same in zip(getattr(plain, part)(), getattr(packed, part)(), strict=True):
            assert torch.equal(column, same)
    # Some files packed, some not: each is found.
    name = MNIST_NAMES[1]
    (tmp_path / "plain" / name).rename(tmp_path / "packed" / name)
    (tmp_path / "packed" / f"{name}.gz").unlink()
    assert torch.equal(load_digits(str(tmp_path / "packed")).train().labels, packed.train().labels)


WRONG_FILES = {
    "not idx": (0, b"PNG and so on, for more than sixteen bytes", "28 x 28 pictures, got another format or a part"),
    "empty": (1, b"", "labels, got another format or a part"),
    "a header alone": (2, struct.pack(">BBBBI", 0, 0, 8, 3, 10), "28 x 28 pictures, got another format or a part"),
    "cut short": (2, idx_bytes(np.zeros((10, 28, 28)))[:-1], "28 x 28 pictures, got another format or a part"),
    "other pictures": (0, idx_bytes(np.zeros((40, 32, 32))), r"28 x 28 pictures, got shape \[40, 32, 32\]"),
    "pictures as labels": (3, idx_bytes(np.zeros((10, 28, 28))), r"labels, got shape \[10, 28, 28\]"),
    "none at all": (3, idx_bytes(np.zeros(0)), r"labels, got shape \[0\]"),
    "too few labels": (1, idx_bytes(np.zeros(39)), "one label .* per picture, got 40 pictures and 39 labels"),
}


@pytest.mark.parametrize("case", WRONG_FILES)
def test_files_with_the_right_names_and_wrong_contents_are_refused(case: str, tmp_path: Path) -> None:
    number, content, message = WRONG_FILES[case]
    write_mnist(tmp_path)
    (tmp_path / MNIST_NAMES[number]).write_bytes(content)
    with pytest.raises(ValueError, match=f"^data must be MNIST with .*{message}.*; copy"):
        load_digits(str(tmp_path))


@pytest.mark.parametrize("number", [1, 3])
def test_labels_beyond_the_classes_are_refused_before_training(number: int, tmp_path: Path) -> None:
    count = 40 if number == 1 else 10
    write_mnist(tmp_path)
    (tmp_path / MNIST_NAMES[number]).write_bytes(idx_bytes(np.arange(count) % 10 + (np.arange(count) == 7) * 5))
    with pytest.raises(ValueError, match=rf"images with labels from 0 to 9, got 12 in .*{MNIST_NAMES[number]}; use a"):
        load_digits(str(tmp_path))


def packed_beside(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The .gz files too; torchvision expects their MD5 sums instead of the real files'."""
    resources = []
    for name in MNIST_NAMES:
        packed = gzip.compress((folder / name).read_bytes())
        (folder / f"{name}.gz").write_bytes(packed)
        resources.append((f"{name}.gz", hashlib.md5(packed).hexdigest()))
    monkeypatch.setattr(MNIST, "resources", resources)


def test_packed_files_beside_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "MNIST" / "raw"
    write_mnist(folder)
    packed_beside(folder, monkeypatch)
    assert len(load_images("mnist", tmp_path).test().labels) == 10
    pictures = (folder / MNIST_NAMES[2]).read_bytes()
    (folder / MNIST_NAMES[2]).write_bytes(pictures[:-1] + bytes([pictures[-1] ^ 1]))
    with pytest.raises(ValueError, match=rf"in its .gz files, got .*{MNIST_NAMES[2]}, which differs from t10k"):
        load_images("mnist", tmp_path)
    (folder / MNIST_NAMES[2]).unlink()
    assert len(load_images("mnist", tmp_path).test().labels) == 10
    (folder / f"{MNIST_NAMES[3]}.gz").write_bytes(gzip.compress(b"something else"))
    with pytest.raises(ValueError, match=rf"published MD5 sums, got .*{MNIST_NAMES[3]}\.gz, which has a different one"):
        load_images("mnist", tmp_path)


def test_mnist_neither_on_disk_nor_downloadable(tmp_path: Path, offline: list[str]) -> None:
    """Through torchvision's own download, with only the network taken away."""
    with pytest.raises(DataUnavailableError) as caught:
        load_digits("mnist", tmp_path)
    assert str(caught.value) == (
        f"MNIST is not in {tmp_path} and could not be downloaded; put its files {LIST_OF_FILES} (or their .gz files) "
        f"into {tmp_path / 'MNIST' / 'raw'}, or train on the digits that need no download with data='mnist5k'"
    )
    assert offline
    assert all(MNIST_NAMES[0] in address for address in offline)
    assert "no network" in str(caught.value.__cause__)


def test_doing_what_the_message_says_helps(tmp_path: Path, offline: list[str]) -> None:
    with pytest.raises(DataUnavailableError):
        load_digits("mnist", tmp_path)
    write_mnist(tmp_path / "MNIST" / "raw")
    assert len(load_digits("mnist", tmp_path).test().labels) == 10
