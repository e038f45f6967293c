"""Data sets' own file formats, written for tests."""

from __future__ import annotations

import hashlib
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import CIFAR10


def idx_bytes(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.astype(np.uint8).tobytes()


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
