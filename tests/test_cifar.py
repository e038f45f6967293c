"""CIFAR-10 and CIFAR-100 in their own file formats, and the messages when they are missing or damaged."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR100

from elegans_gnn.datasets import load_cifar10, load_cifar100, load_images
from elegans_gnn.errors import DataUnavailableError
from tests.image_files import write_cifar10


def test_cifar10_from_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: list[str]) -> None:
    pictures = torch.from_numpy(write_cifar10(tmp_path, monkeypatch))
    source = load_cifar10(tmp_path)
    train, validation, test = source.train(), source.validation(), source.test()
    assert [len(part.labels) for part in (train, validation, test)] == [90, 10, 20]
    for part, rows in ((train, range(90)), (validation, range(90, 100)), (test, range(100, 120))):
        assert part.pixels.dtype == torch.float32
        assert torch.equal((part.pixels * 255).round().to(torch.uint8), pictures[rows.start : rows.stop])
        assert part.labels.tolist() == [row % 10 for row in rows]
    assert offline == []


@pytest.mark.parametrize("damage", ["test_batch", "data_batch_3", "batches.meta"])
@pytest.mark.parametrize("how", ["changed", "missing"])
def test_damaged_cifar10_is_refused(
    damage: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: list[str]
) -> None:
    write_cifar10(tmp_path, monkeypatch)
    path = tmp_path / "cifar-10-batches-py" / damage
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes() + b".")
    with pytest.raises(DataUnavailableError) as caught:
        load_cifar10(tmp_path)
    assert str(caught.value) == (
        f"{path.parent} is incomplete or damaged (its files do not have CIFAR-10's MD5 sums); "
        f"remove it and unpack cifar-10-python.tar.gz in {tmp_path} again"
    )
    assert offline == []


@pytest.mark.parametrize("download", [True, False])
def test_cifar10_neither_on_disk_nor_downloadable(download: bool, tmp_path: Path, offline: list[str]) -> None:
    with pytest.raises(DataUnavailableError) as caught:
        load_cifar10(tmp_path, download=download)
    why = "could not be downloaded" if download else "downloading is off"
    assert str(caught.value) == (
        f"CIFAR-10 is not in {tmp_path} and {why}; unpack cifar-10-python.tar.gz there, "
        f"so that {tmp_path / 'cifar-10-batches-py' / 'data_batch_1'} exists"
    )
    assert offline == (["https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"] if download else [])


def write_cifar100(root: Path, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """Files in CIFAR-100's own format; torchvision expects their MD5 sums instead of the real files'."""
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    pictures = np.random.default_rng(0).integers(0, 256, (220, 3, 32, 32), dtype=np.uint8)
    contents: dict[str, object] = {"meta": {"fine_label_names": [f"class {number}" for number in range(100)]}}
    for name, rows in (("train", range(200)), ("test", range(200, 220))):
        contents[name] = {"data": pictures[rows].reshape(len(rows), -1), "fine_labels": [row % 100 for row in rows]}
    sums = {}
    for name, content in contents.items():
        (folder / name).write_bytes(pickle.dumps(content))
        sums[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    monkeypatch.setattr(CIFAR100, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(CIFAR100, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(CIFAR100, "meta", {**CIFAR100.meta, "md5": sums["meta"]})
    return pictures


def test_cifar100_from_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: list[str]) -> None:
    pictures = torch.from_numpy(write_cifar100(tmp_path, monkeypatch))
    source = load_images("cifar100", tmp_path)
    assert len(source.classes) == 100
    train, validation, test = source.train(), source.validation(), source.test()
    assert [len(part.labels) for part in (train, validation, test)] == [180, 20, 20]
    assert torch.equal((test.pixels * 255).round().to(torch.uint8), pictures[200:])
    assert validation.labels.tolist() == list(range(80, 100))
    assert offline == []
    path = tmp_path / "cifar-100-python" / "train"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        DataUnavailableError, match=r"incomplete or damaged .*CIFAR-100's MD5 sums.*cifar-100-python\.tar"
    ):
        load_cifar100(tmp_path)
    path.unlink()
    with pytest.raises(DataUnavailableError, match="incomplete or damaged"):
        load_cifar100(tmp_path)


def test_cifar100_offline_says_which_files_go_where(tmp_path: Path, offline: list[str]) -> None:
    with pytest.raises(DataUnavailableError) as caught:
        load_cifar100(tmp_path)
    assert str(caught.value) == (
        f"CIFAR-100 is not in {tmp_path} and could not be downloaded; unpack cifar-100-python.tar.gz there, "
        f"so that {tmp_path / 'cifar-100-python' / 'train'} exists"
    )
    assert offline
