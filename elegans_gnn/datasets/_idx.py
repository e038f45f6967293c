"""Files in MNIST's idx format, plain or packed as .gz: four of them make a data set."""

from __future__ import annotations

import gzip
import hashlib
import math
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from elegans_gnn.errors import invalid

Bytes = NDArray[np.uint8]

FILES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
NAMES = tuple(name for pair in FILES.values() for name in pair)
_HEADER_OF_BYTES = b"\0\0\x08"
# What a .gz file may unpack to. Deflate packs at most 1,032 bytes into one, so a header that claims more is wrong.
_LARGEST = 1 << 30
_DENSEST = 1032


def file_of(folder: Path, name: str) -> Path:
    """The idx file of that name, or its .gz file where only that one is there."""
    packed = folder / f"{name}.gz"
    return packed if packed.is_file() and not (folder / name).is_file() else folder / name


def missing(folder: Path) -> list[str]:
    """Those of the four files that a folder has neither plain nor packed."""
    return [name for name in NAMES if not file_of(folder, name).is_file()]


def fullest(folders: Iterable[Path]) -> Path:
    """The folder with most of the four files; the first of equals."""
    return min(folders, key=lambda folder: len(missing(folder)))


def read_pairs(
    folder: Path, title: str, classes: int, sha256: Mapping[str, str] | None = None
) -> dict[str, tuple[Bytes, Bytes]]:
    """The pictures [M, 28, 28] and labels [M] of both kinds, ``train`` and ``test``.

    Args:
        folder: with the four files.
        title: of the data set, for messages.
        classes: the labels must be below this number.
        sha256: name -> SHA-256 of the whole unpacked file; without it any contents of the right shape will do.

    Raises:
        ValueError: a file is damaged or has other contents; the message names it.
    """
    pairs = {}
    for kind, (images, labels) in FILES.items():
        pictures = _read(file_of(folder, images), (28, 28), "28 x 28 pictures", title, (sha256 or {}).get(images))
        numbers = _read(file_of(folder, labels), (), "labels", title, (sha256 or {}).get(labels))
        if len(pictures) != len(numbers):
            got = f"{len(pictures)} pictures and {len(numbers)} labels in {folder}"
            raise invalid("data", f"{title} with one label in {labels} per picture", got, "copy the files again")
        largest = int(numbers.max())
        if largest >= classes:
            got, remedy = f"{largest} in {file_of(folder, labels)}", "use a data set with these classes"
            raise invalid("data", f"images with labels from 0 to {classes - 1}", got, remedy)
        pairs[kind] = pictures, numbers
    return pairs


def _read(path: Path, item: tuple[int, ...], what: str, title: str, sha256: str | None) -> Bytes:
    """The items of one file, after checks of its format, shape, length and, if given, SHA-256."""
    packed = path.suffix == ".gz"
    expected, remedy = f"{title} with {path.name} an idx file of {what}", "copy or download it again"
    try:
        with gzip.open(path) if packed else open(path, "rb") as file:
            head = file.read(4)
            shape = _shape(head, file.read(4 * head[3]) if len(head) == 4 else b"")
            if shape is None:
                raise invalid("data", expected, f"another format or a part of a file in {path.parent}", remedy)
            if shape[1:] != item or shape[0] == 0:
                raise invalid("data", expected, f"shape {list(shape)} in {path.parent}", remedy)
            head += struct.pack(f">{len(shape)}I", *shape)
            size, on_disk = math.prod(shape), path.stat().st_size
            if packed and size > min(_LARGEST, _DENSEST * on_disk):
                got = f"{on_disk} bytes in {path.parent} that claim to unpack to {size}"
                raise invalid("data", expected, got, "unpack it, if that is true")
            # One byte more than there should be shows a longer file, and makes gzip check its sum at the end.
            content = file.read(size + 1) if packed or size == on_disk - len(head) else b""
    except (OSError, EOFError, zlib.error) as error:
        raise invalid("data", expected, f"{path}, which cannot be read ({error})", remedy) from error
    if len(content) != size:
        raise invalid("data", expected, f"another format or a part of a file in {path.parent}", remedy)
    if sha256 is not None:
        found = hashlib.sha256(head)
        found.update(content)
        if found.hexdigest() != sha256:
            got = f"{path} with {found.hexdigest()[:12]}..."
            raise invalid("data", f"{title}, whose {path.name} holds SHA-256 {sha256[:12]}...", got, remedy)
    # A copy, since torch refuses memory that cannot be written.
    return np.frombuffer(bytearray(content), np.uint8).reshape(shape)


def _shape(head: bytes, sizes: bytes) -> tuple[int, ...] | None:
    """The shape that a header states; None for another format than that of bytes."""
    if head[:3] != _HEADER_OF_BYTES or not sizes or len(sizes) < 4 * head[3]:
        return None
    return struct.unpack(f">{head[3]}I", sizes)
