"""The checks of any file before it is parsed: it exists, is a regular file of limited size, and no other format."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from elegans_gnn.errors import ConnectomeFormatError

# About a second of parsing, 30 times the worm as GraphML; a larger max_bytes reads larger graphs.
MAX_BYTES = 8 * 2**20
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
_HEAD_BYTES = 1024


def checked_head(path: Path, max_bytes: int) -> bytes:
    """The first bytes of a file that may be a connectome.

    Raises:
        ConnectomeFormatError: no such file, a folder or device, empty, too large, compressed, or a web page.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            # A pipe or a device would be read for ever.
            raise ConnectomeFormatError(path, "not a regular file", "give the path of the file itself")
        if status.st_size > max_bytes:
            problem = f"{status.st_size:,} bytes are more than max_bytes={max_bytes:,}"
            raise ConnectomeFormatError(path, problem, "pass a larger max_bytes if this is really a connectome")
        with path.open("rb") as file:
            head = file.read(_HEAD_BYTES)
    except OSError as error:
        raise ConnectomeFormatError(path, error.strerror or str(error), "check the path") from error
    if not head:
        raise ConnectomeFormatError(path, "the file is empty", "write or download it again")
    for magic, name in _COMPRESSED.items():
        if head.startswith(magic):
            raise ConnectomeFormatError(path, f"this is a {name} archive", "unpack it first")
    lowered = head.lower()
    if b"<!doctype html" in lowered or b"<html" in lowered:
        raise ConnectomeFormatError(path, "this is an HTML page", "download the raw file instead of its page", line=1)
    return head


def undecodable_line(path: Path) -> int | None:
    """The line of the first bytes that are not UTF-8."""
    with open(path, "rb") as file:
        for line, raw in enumerate(file, start=1):
            try:
                raw.decode("utf-8")
            except UnicodeDecodeError:
                return line
    return None


def title_of(path: str | os.PathLike[str]) -> str:
    """A graph's default title: the file's name without its endings."""
    name = Path(path).resolve().name
    return name.partition(".")[0] or name
