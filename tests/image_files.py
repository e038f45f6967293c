"""Data sets' own file formats, written for tests."""

from __future__ import annotations

import gzip
import hashlib
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import CIFAR10

from elegans_gnn.datasets._idx import FILES
from elegans_gnn.datasets._mnist import SHA256


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


def write_mnist(folder: Path, train: int = 40, test: int = 10, *, packed: bool = False) -> dict[str, np.ndarray]:
    """Random pictures in MNIST's four files; picture i of either kind has the label i % 10."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    arrays = {}
    for (images, labels), count in zip(FILES.values(), (train, test), strict=True):
        arrays[images] = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        arrays[labels] = np.arange(count, dtype=np.uint8) % 10
    for name, array in arrays.items():
        content = idx_bytes(array)
        (folder / f"{name}.gz" if packed else folder / name).write_bytes(gzip.compress(content) if packed else content)
    return arrays


def write_fashion_mnist(
    folder: Path, monkeypatch: pytest.MonkeyPatch, train: int = 40, test: int = 10, *, packed: bool = True
) -> dict[str, np.ndarray]:
    """Files like MNIST's (see :func:`write_mnist`) whose SHA-256 sums take the place of Fashion-MNIST's."""
    arrays = write_mnist(folder, train, test, packed=packed)
    sums = {name: hashlib.sha256(idx_bytes(array)).hexdigest() for name, array in arrays.items()}
    monkeypatch.setitem(SHA256, "Fashion-MNIST", sums)
    return arrays


def write_cifar10(root: Path, monkeypatch: pytest.MonkeyPatch, per_batch: int = 20) -> np.ndarray:
    """Files in CIFAR-10's own format; torchvision expects their MD5 sums instead of the real files'.

    Returns:
        The pictures of the five training batches, [M, 3, 32, 32], in order; picture i has the label i % 10.
    """
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 256, (6 * per_batch, 3, 32, 32), dtype=np.uint8)
    contents: dict[str, object] = {"batches.meta": {"label_names": [f"class {number}" for number in range(10)]}}
    for batch in range(6):
        rows = range(batch * per_batch, (batch + 1) * per_batch)
        name = f"data_batch_{batch + 1}" if batch < 5 else "test_batch"
        contents[name] = {"data": pictures[rows].reshape(per_batch, -1), "labels": [row % 10 for row in rows]}
    sums = {}
    for name, content in contents.items():
        (folder / name).write_bytes(pickle.dumps(content))
        sums[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    monkeypatch.setattr(CIFAR10, "train_list", [[name, sums[name]] for name, _ in CIFAR10.train_list])
    monkeypatch.setattr(CIFAR10, "test_list", [[name, sums[name]] for name, _ in CIFAR10.test_list])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": sums["batches.meta"]})
    return pictures
