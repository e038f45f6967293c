"""The table of data sets, one row each. Importing it loads no torch: a row names its reader, which `load` imports.

A new data set is one file with a reader, and one row here.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pkgutil import resolve_name
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from elegans_gnn.datasets._images import ImageSource


@dataclass(frozen=True)
class DataSet:
    """One row of the table.

    Args:
        name: what users write.
        title: what people call it.
        help: one line for ``--help``.
        shape: channels, and height = width, of its images.
        num_classes: how many classes it has; their names are in what `load` returns.
        reader: ``"module:function"``, called with `data_dir` if the data set downloads, or with the fold if it has any.
        family: data sets of one family share a file format and a training recipe.
        folds: how many folds it has; 0 for a data set with one fixed test part.
        downloads: whether its files are read from `data_dir`, and downloaded into it.
        overlaps: (data set, part) pairs of other data sets that contain some of its images.
    """

    name: str
    title: str
    help: str
    shape: tuple[int, int]
    num_classes: int
    reader: str
    family: str
    folds: int = 0
    downloads: bool = False
    overlaps: tuple[tuple[str, str], ...] = ()

    def load(self, data_dir: str | os.PathLike[str], fold: int = 0) -> ImageSource:
        """The data set itself; see :func:`load_images`, which also takes folders."""
        given = (data_dir,) if self.downloads else (fold,) if self.folds else ()
        source: ImageSource = resolve_name(self.reader)(*given)
        return source


_PARTS = "55,000 train, 5,000 validation, 10,000 test"
_CIFAR_PARTS = "45,000 train, 5,000 validation, 10,000 test"
_ROWS = (
    DataSet(
        "mnist5k", "5,000 real MNIST digits",
        "5,000 MNIST digits (3,600 train, 400 validation, 1,000 test), no download",
        (1, 28), 10, "elegans_gnn.datasets._mnist:read_mnist5k", "mnist",
        overlaps=(("mnist", "train"), ("mnist", "validation")),
    ),
    DataSet(
        "mnist", "MNIST", f"MNIST's handwritten digits ({_PARTS})",
        (1, 28), 10, "elegans_gnn.datasets._mnist:read_mnist", "mnist", downloads=True,
    ),
    DataSet(
        "digits", "scikit-learn's digits", "scikit-learn's 1,797 handwritten digits in five folds, no download",
        (1, 8), 10, "elegans_gnn.datasets._folds:load_small_digits", "digits", folds=5,
    ),
    DataSet(
        "fashion-mnist", "Fashion-MNIST", f"ten kinds of clothing ({_PARTS}), also from Debian's dataset-fashion-mnist",
        (1, 28), 10, "elegans_gnn.datasets._mnist:load_fashion_mnist", "mnist", downloads=True,
    ),
    DataSet(
        "cifar10", "CIFAR-10", f"small photographs of ten kinds ({_CIFAR_PARTS})",
        (3, 32), 10, "elegans_gnn.datasets._cifar:load_cifar10", "cifar", downloads=True,
    ),
    DataSet(
        "cifar100", "CIFAR-100", f"small photographs of a hundred kinds ({_CIFAR_PARTS})",
        (3, 32), 100, "elegans_gnn.datasets._cifar:load_cifar100", "cifar", downloads=True,
    ),
)  # fmt: skip
DATA = {row.name: row for row in _ROWS}
# Any other name is that of a folder with files in MNIST's format.
DATA_SETS = tuple(DATA)


def load_images(data: str, data_dir: str | os.PathLike[str] = "downloads", fold: int = 0) -> ImageSource:
    """Load a data set by its name.

    Args:
        data: a name of :data:`DATA_SETS`, or a folder with files in MNIST's format.
        data_dir: folder with the files, or where torchvision puts them after a download.
        fold: which fold is the test part, of a data set with folds; others ignore it.

    Raises:
        ValueError: no such data set or fold, or a folder that does not hold MNIST's files.
        DataUnavailableError: the data set is neither on disk nor downloadable; the message says which files go where.
        ImportError: the package that holds the data set is missing (extra ``train``).
    """
    if data in DATA:
        return DATA[data].load(data_dir, fold)
    from elegans_gnn.datasets._mnist import load_digits

    return load_digits(data)


def data_set_of(data: str) -> str:
    """The name of the data set that :func:`load_images` reads; for a folder, ``"mnist"``."""
    return data if data in DATA else "mnist"


def may_overlap(trained_on: str, trained_fold: int | None, name: str, fold: int, part: str) -> str | None:
    """Why a part of a data set may hold images that a model has seen, to follow "since"; None if it cannot.

    Args:
        trained_on, trained_fold: name of the data set the model was trained on, and its fold if it has folds.
        name, fold: of the data set to test on.
        part: ``"validation"`` or ``"test"``. Validation on the model's own data set is always allowed: the model was
            chosen by those images, not trained on them.
    """
    if trained_on == name:
        if DATA[name].folds and fold != trained_fold:
            return "the model was trained on images of the other folds"
        return None
    if (name, part) in DATA[trained_on].overlaps or any(
        other == trained_on and seen != "test" for other, seen in DATA[name].overlaps
    ):
        return f"some of its images may be among those of {trained_on}"
    return None
