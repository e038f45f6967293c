"""Images to train on: real digits that need no download; MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100 from disk."""

from __future__ import annotations

import os

from elegans_gnn.datasets._cifar import load_cifar10, load_cifar100
from elegans_gnn.datasets._files import PICTURE_ENDINGS, read_images, write_image, write_images
from elegans_gnn.datasets._folds import load_small_digits
from elegans_gnn.datasets._images import INK_THRESHOLD, Images, ImageSource, ink
from elegans_gnn.datasets._mnist import load_digits, load_fashion_mnist
from elegans_gnn.datasets._tables import TABLE_ENDINGS

# By name; what is none of these is a folder with files in MNIST's format.
DATA_SETS = ("mnist5k", "mnist", "digits", "fashion-mnist", "cifar10", "cifar100")

__all__ = [
    "DATA_SETS",
    "INK_THRESHOLD",
    "PICTURE_ENDINGS",
    "TABLE_ENDINGS",
    "ImageSource",
    "Images",
    "data_set_of",
    "ink",
    "load_cifar10",
    "load_cifar100",
    "load_digits",
    "load_fashion_mnist",
    "load_images",
    "load_small_digits",
    "read_images",
    "write_image",
    "write_images",
]


def load_images(data: str, data_dir: str | os.PathLike[str] = "downloads", fold: int = 0) -> ImageSource:
    """A data set by its name.

    Args:
        data: ``"mnist5k"``, ``"mnist"``, ``"digits"``, ``"fashion-mnist"``, ``"cifar10"``, ``"cifar100"``, or a folder
            with files in MNIST's format.
        data_dir: where torchvision keeps downloads.
        fold: of ``"digits"``.

    Raises:
        ValueError: no such data set, or a folder that does not hold one.
        DataUnavailableError: neither on disk nor downloadable; the message says which files go where.
    """
    if data == "digits":
        return load_small_digits(fold)
    if data == "fashion-mnist":
        return load_fashion_mnist(data_dir)
    if data == "cifar10":
        return load_cifar10(data_dir)
    if data == "cifar100":
        return load_cifar100(data_dir)
    return load_digits(data, data_dir)


def data_set_of(data: str) -> str:
    """The name of the data set that :func:`load_images` reads; that of a folder is ``"mnist"``."""
    return data if data in DATA_SETS else "mnist"
