"""CIFAR-10 and CIFAR-100 through torchvision."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from elegans_gnn.datasets._images import Images, ImageSource
from elegans_gnn.errors import DataUnavailableError

# Our name -> torchvision's class, its folder, the archive, one of its files, and the title.
_KINDS = {
    "cifar10": ("CIFAR10", "cifar-10-batches-py", "cifar-10-python.tar.gz", "data_batch_1", "CIFAR-10"),
    "cifar100": ("CIFAR100", "cifar-100-python", "cifar-100-python.tar.gz", "train", "CIFAR-100"),
}


def load_cifar10(data_dir: str | os.PathLike[str] = "downloads", *, download: bool = True) -> ImageSource:
    """CIFAR-10 through torchvision: 45,000 train, 5,000 validation (the last of the training batches), 10,000 test.

    Raises:
        DataUnavailableError: the data set is neither on disk nor downloadable; the message says which files go where.
    """
    return _load(Path(data_dir), "cifar10", download)


def load_cifar100(data_dir: str | os.PathLike[str] = "downloads", *, download: bool = True) -> ImageSource:
    """CIFAR-100, with its 100 fine labels; see :func:`load_cifar10`."""
    return _load(Path(data_dir), "cifar100", download)


def _load(root: Path, name: str, download: bool) -> ImageSource:
    from torchvision import datasets

    kind, inner, archive, example, title = _KINDS[name]
    build, folder = getattr(datasets, kind), root / inner
    there = folder.is_dir()

    def read(train: bool) -> Images:
        data = build(str(root), train=train)
        pixels = torch.from_numpy(data.data).permute(0, 3, 1, 2).to(torch.float32) / 255
        return Images(pixels, torch.tensor(data.targets))

    def part(validation: bool) -> Images:
        images = read(True)
        border = len(images.labels) * 9 // 10
        chosen = slice(border, None) if validation else slice(0, border)
        return Images(images.pixels[chosen], images.labels[chosen])

    try:
        # Either part will do: torchvision checks the MD5 sums of all files before it reads one.
        classes = tuple(build(str(root), train=False, download=download and not there).classes)
    except (OSError, RuntimeError) as error:
        if there:
            raise DataUnavailableError(
                f"{folder} is incomplete or damaged (its files do not have {title}'s MD5 sums); remove it and unpack "
                f"{archive} in {root} again"
            ) from error
        raise DataUnavailableError(
            f"{title} is not in {root} and {'could not be downloaded' if download else 'downloading is off'}; unpack "
            f"{archive} there, so that {folder / example} exists"
        ) from error
    return ImageSource(name, lambda: part(False), lambda: part(True), lambda: read(False), classes)
