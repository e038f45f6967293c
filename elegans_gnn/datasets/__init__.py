"""Images to train on: real digits that need no download; MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100 from disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elegans_gnn._lazy import lazy_names

# The registry imports no torch, so the names of the data sets are there at once; the readers load at first use.
_HOME = {
    "DATA": "_registry",
    "DATA_SETS": "_registry",
    "DataSet": "_registry",
    "data_set_of": "_registry",
    "load_images": "_registry",
    "may_overlap": "_registry",
    "INK_THRESHOLD": "_images",
    "ImageSource": "_images",
    "Images": "_images",
    "ink": "_images",
    "load_digits": "_mnist",
    "load_fashion_mnist": "_mnist",
    "load_small_digits": "_folds",
    "load_cifar10": "_cifar",
    "load_cifar100": "_cifar",
    "PICTURE_ENDINGS": "_files",
    "read_images": "_files",
    "write_image": "_files",
    "write_images": "_files",
    "TABLE_ENDINGS": "_tables",
}
__getattr__, __dir__ = lazy_names(__name__, _HOME)

__all__ = [
    "DATA",
    "DATA_SETS",
    "INK_THRESHOLD",
    "PICTURE_ENDINGS",
    "TABLE_ENDINGS",
    "DataSet",
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
    "may_overlap",
    "read_images",
    "write_image",
    "write_images",
]

if TYPE_CHECKING:
    from elegans_gnn.datasets._cifar import load_cifar10, load_cifar100
    from elegans_gnn.datasets._files import PICTURE_ENDINGS, read_images, write_image, write_images
    from elegans_gnn.datasets._folds import load_small_digits
    from elegans_gnn.datasets._images import INK_THRESHOLD, Images, ImageSource, ink
    from elegans_gnn.datasets._mnist import load_digits, load_fashion_mnist
    from elegans_gnn.datasets._registry import DATA, DATA_SETS, DataSet, data_set_of, load_images, may_overlap
    from elegans_gnn.datasets._tables import TABLE_ENDINGS
