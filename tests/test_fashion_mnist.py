"""Fashion-MNIST: where it is found, its fixed split, its checksums, and .gz files that are damaged or too large."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from elegans_gnn import cli
from elegans_gnn.datasets import _mnist, load_digits, load_fashion_mnist, load_images
from elegans_gnn.datasets._idx import NAMES
from elegans_gnn.errors import DataUnavailableError
from elegans_gnn.training.provenance import TrainedOn, read_training
from tests.image_files import idx_bytes, write_fashion_mnist, write_mnist


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("place", ["FashionMNIST/raw", ".", "the system's"])
def test_it_is_found_and_read(
    place: str, packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: list[str]
) -> None:
    data_dir = tmp_path / "data"
    folder = data_dir / place if place != "the system's" else tmp_path / "package"
    monkeypatch.setattr(_mnist, "FASHION_FOLDER", tmp_path / "package")
    arrays = write_fashion_mnist(folder, monkeypatch, packed=packed)
    source = load_images("fashion-mnist", data_dir)
    assert (source.name, source.classes[0], source.classes[9]) == ("fashion-mnist", "T-shirt", "ankle boot")
    assert [len(part().labels) for part in (source.train, source.validation, source.test)] == [36, 4, 10]
    assert source.test().labels.tolist() == list(range(10))
    assert torch.equal((source.test().pixels[:, 0] * 255).round().to(torch.uint8), torch.from_numpy(arrays[NAMES[2]]))
    assert offline == []
    if place == "FashionMNIST/raw":  # MNIST's files have the same names: one is not taken for the other
        with pytest.raises(DataUnavailableError, match="MNIST is not in .*put its files"):
            load_digits("mnist", data_dir)


def test_the_users_folder_comes_before_the_systems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_mnist, "FASHION_FOLDER", tmp_path / "package")
    write_mnist(tmp_path / "package", test=20)
    write_fashion_mnist(tmp_path / "mine", monkeypatch)
    assert len(load_fashion_mnist(tmp_path / "mine").test().labels) == 10


def test_its_split_is_fixed_55000_5000_10000(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first 5,000 of PCG64(0)'s permutation are for validation, the others, in its order, for training."""
    arrays = write_fashion_mnist(tmp_path, monkeypatch, train=60_000, test=10_000, packed=False)
    source = load_fashion_mnist(tmp_path)
    order = np.random.Generator(np.random.PCG64(0)).permutation(60_000)
    assert order[:3].tolist() == [4013, 23840, 29603]
    for part, index in ((source.validation(), order[:5_000]), (source.train(), order[5_000:])):
        assert np.array_equal((part.pixels[:, 0] * 255).round().byte().numpy(), arrays[NAMES[0]][index])
        assert np.array_equal(part.labels.numpy(), arrays[NAMES[1]][index])
    assert len(source.test().labels) == 10_000
    assert (source.train().pixels.dtype, source.train().labels.dtype) == (torch.float32, torch.int64)


def test_offline_it_says_which_package_or_which_files(tmp_path: Path, offline: list[str]) -> None:
    with pytest.raises(DataUnavailableError) as caught:
        load_fashion_mnist(tmp_path)
    assert str(caught.value) == (
        f"Fashion-MNIST is not in {tmp_path} and could not be downloaded; run apt-get install dataset-fashion-mnist "
        "(Debian, Ubuntu), or put its files train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, "
        f"t10k-labels-idx1-ubyte (or their .gz files) into {tmp_path / 'FashionMNIST' / 'raw'}"
    )
    assert offline


@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("packed", [True, False])
def test_other_contents_of_the_right_shape_are_refused(
    number: int, packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arrays = write_fashion_mnist(tmp_path, monkeypatch, packed=packed)
    name = NAMES[number]
    content = idx_bytes(arrays[name][::-1])
    path = tmp_path / (f"{name}.gz" if packed else name)
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(
        ValueError, match=rf"data must be Fashion-MNIST, whose {path.name} holds SHA-256 .*, got {path}"
    ):
        load_fashion_mnist(tmp_path)


def test_packing_anew_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arrays = write_fashion_mnist(tmp_path, monkeypatch)
    for name, array in arrays.items():
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(idx_bytes(array), compresslevel=1, mtime=7))
    assert len(load_fashion_mnist(tmp_path).train().labels) == 36


def _flip(packed: bytes) -> bytes:
    middle = len(packed) // 2
    return packed[:middle] + bytes([packed[middle] ^ 0xFF]) + packed[middle + 1 :]


DAMAGE: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "cut short": (lambda packed: packed[:-20], "cannot be read"),
    "a flipped byte": (_flip, "(cannot be read|holds SHA-256)"),
    "a wrong sum": (lambda packed: packed[:-8] + b"\0" * 8, "cannot be read"),
    "not packed": (lambda packed: gzip.decompress(packed), "cannot be read"),
    "empty": (lambda packed: b"", "another format or a part of a file"),
    "another format": (lambda packed: gzip.compress(b"something else, and long enough"), "another format"),
    "longer than it says": (lambda packed: gzip.compress(gzip.decompress(packed) + b"\0"), "another format or a part"),
}


@pytest.mark.parametrize("case", DAMAGE)
def test_damaged_gz_files_are_named(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damage, message = DAMAGE[case]
    write_fashion_mnist(tmp_path, monkeypatch)
    path = tmp_path / f"{NAMES[2]}.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=rf"data must be Fashion-MNIST.*{path.name}.*{message}.*; copy or download"):
        load_fashion_mnist(tmp_path)


@pytest.mark.parametrize(
    ("pictures", "zeros", "message"),
    [
        (10, 100 << 20, "another format or a part of a file"),  # holds more than it says
        (2**32 - 1, 100 << 20, r"bytes in .* that claim to unpack to 33672\d+.*; unpack it, if that is true"),
        (100_000, 1, "that claim to unpack to 78400000"),  # more than so few bytes can hold
    ],
)
def test_a_bomb_is_refused_before_it_unpacks(pictures: int, zeros: int, message: str, tmp_path: Path) -> None:
    write_mnist(tmp_path, packed=True)
    header = struct.pack(">BBBB3I", 0, 0, 8, 3, pictures, 28, 28)
    (tmp_path / f"{NAMES[0]}.gz").write_bytes(gzip.compress(header + bytes(zeros)))
    tracemalloc.start()
    with pytest.raises(ValueError, match=message):
        load_digits(str(tmp_path))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20


def test_its_task_trains_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: list[str]) -> None:
    monkeypatch.setattr(_mnist, "FASHION_FOLDER", tmp_path / "package")
    write_fashion_mnist(tmp_path / "package", monkeypatch)
    monkeypatch.chdir(tmp_path)
    run = ["train", "fashion-mnist-classifier", "--smoke", "--model", "logistic", "--no-progress", "--name", "one"]
    assert cli.main(run) == 0
    assert read_training(tmp_path / "runs" / "one" / "model") == TrainedOn("fashion-mnist")
    assert offline == []
