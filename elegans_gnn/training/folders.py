"""The folder of a run: its name, that it is new, and that a start that fails leaves none behind."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from elegans_gnn.errors import invalid


def named_run_folder(root: Path, name: str) -> Path:
    """`root/name`.

    Raises:
        ValueError: a name that is no plain one, such as a path, ``.`` or ``..``.
    """
    if name in ("", ".", "..") or Path(name).name != name:
        raise invalid("name", "a plain folder name", repr(name), f"its folder is made in {root}")
    return root / name


def new_run_folder(root: Path, name: str | None, prefix: str) -> Path:
    """The folder of a new run: `root/name`, or the first free `root/prefix-001`, `-002`, ... Never an existing one.

    Raises:
        ValueError: a name that is no plain one or that exists, or no place for runs.
    """
    with _folders_of(root, "runs"):
        standing = next(place for place in (root, *root.absolute().parents) if place.exists())
        if not standing.is_dir():
            raise invalid("runs", "a folder", f"{standing}, which is a file", "choose another")
        if name is not None:
            folder = named_run_folder(root, name)
            if folder.exists():
                remedy = "choose another or resume it"
                raise invalid("name", "a new run's name", f"{name!r}, which exists in {root}", remedy)
            return folder
        number = 1
        while (root / f"{prefix}-{number:03d}").exists():
            number += 1
    return root / f"{prefix}-{number:03d}"


def plain_path(folder: Path) -> Path:
    """The same folder by a path that ends in its name: ``.`` and ``..`` resolved."""
    return folder.resolve() if folder.name in ("", "..") else folder


def check_new(folder: Path) -> None:
    """Refuse a folder that holds something.

    Raises:
        ValueError: it does, or it is a file, or it cannot be looked into.
    """
    with _folders_of(folder, "folder"):
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise invalid("folder", "new or empty", str(folder), "choose another folder, or resume the run in it")


@contextmanager
def new_folder(folder: Path, last: Path) -> Iterator[None]:
    """Makes a run's folder; if what follows fails before there is anything to resume, all that was made goes again.

    Args:
        folder: new or empty.
        last: the file to resume from.

    Raises:
        ValueError: the folder cannot be made, or another run has begun in it.
    """
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    made = missing[1:]
    try:
        with _folders_of(folder, "folder"):
            folder.parent.mkdir(parents=True, exist_ok=True)
            if folder in missing:
                folder.mkdir()  # of two runs that begin at once, one is refused here
                made = missing
            check_new(folder)
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except BaseException:
        _remove_empty(made)
        raise
    try:
        yield
    except BaseException:
        if not last.is_file():
            _empty(folder)
            _remove_empty(made)
        raise


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _remove_empty(made: list[Path]) -> None:
    for place in made:
        with suppress(OSError):
            place.rmdir()


@contextmanager
def _folders_of(path: Path, argument: str) -> Iterator[None]:
    """What the file system refuses, in one line."""
    try:
        yield
    except OSError as error:
        said = f"{path}: {error.strerror or error}"
        raise invalid(argument, "a folder that can be read and written", said, "choose another") from error
