"""The folder of a run: its name, its log, and that a start that fails leaves none behind."""

from __future__ import annotations

import csv
import errno
import logging
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from elegans_gnn.errors import invalid

CONFIG, BEST, LAST = "config.json", "best.ckpt", "last.ckpt"


def global_rank() -> int:
    """0 in a run of one process and in the first of several; from the variables torchrun, SLURM or Lightning set."""
    for name in ("RANK", "SLURM_PROCID"):
        if name in os.environ:
            return int(os.environ[name])
    return int(os.environ.get("LOCAL_RANK", "0")) + int(os.environ.get("NODE_RANK", "0"))


def launched_from_outside() -> bool:
    """Whether all processes were started from outside, at the same time."""
    return "TORCHELASTIC_RUN_ID" in os.environ or int(os.environ.get("SLURM_NTASKS", "1")) > 1


def named_run_folder(root: Path, name: str) -> Path:
    """`root/name`.

    Raises:
        ValueError: a name that is not plain, such as a path, ``.`` or ``..``.
    """
    if name in ("", ".", "..") or Path(name).name != name:
        raise invalid("name", "a plain folder name", repr(name), f"its folder is made in {root}")
    return root / name


def new_run_folder(root: Path, name: str | None, prefix: str) -> Path:
    """The folder of a new run: `root/name`, or the first free `root/prefix-001`, `-002`, ... Never an existing one.

    Raises:
        ValueError: a name that is not plain or that exists, or no place for runs.
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
    """Make a run's folder; if what follows fails before there is anything to resume, remove all that was made.

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
    """Turn what the file system refuses into one line."""
    try:
        yield
    except OSError as error:
        said = f"{path}: {error.strerror or error}"
        raise invalid(argument, "a folder that can be read and written", said, "choose another") from error


@contextmanager
def without_chatter() -> Iterator[None]:
    """Silence Lightning's notes on what is intended here; its other warnings come through."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        # The run folder holds configuration, logs and checkpoints side by side; kept_rows keeps the earlier log.
        warnings.filterwarnings("ignore", message="Experiment logs directory .* exists", module="lightning")
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists", module="lightning")
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.* is deprecated", module="lightning")
        # A frozen backbone is in evaluation mode on purpose.
        warnings.filterwarnings("ignore", message="Found .* module.s. in eval mode", module="lightning")
        # The metrics have been gathered from all processes by then.
        warnings.filterwarnings("ignore", message="It is recommended to use .self.log.*sync_dist", module="lightning")
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


@contextmanager
def kept_rows(path: Path, writing: bool = True) -> Iterator[None]:
    """Lightning's CSV logger starts a new file; this puts the rows of the interrupted part back in front.

    Until then they are in `metrics.before.csv`, so that not even a killed process loses them. Where a later
    part repeats a step, its rows count. Of several processes only the one that writes the log does this.
    """
    if not writing:
        yield
        return
    aside = path.with_name("metrics.before.csv")
    if path.is_file():
        _write(aside, _joined(_rows(aside), _rows(path)))
    try:
        yield
    finally:
        earlier = _rows(aside)
        if earlier:
            _write(path, _joined(earlier, _rows(path)))
        aside.unlink(missing_ok=True)


def _joined(earlier: list[dict[str, str]], later: list[dict[str, str]]) -> list[dict[str, str]]:
    first = min((int(row["step"]) for row in later), default=None)
    return [*(row for row in earlier if first is None or int(row["step"]) < first), *later]


def _rows(path: Path) -> list[dict[str, str]]:
    """The whole rows of a log; what a killed process left half written is skipped."""
    if not path.is_file():
        return []
    whole, _, _ = path.read_bytes().replace(b"\0", b"").rpartition(b"\n")
    rows = csv.DictReader(whole.decode(errors="replace").splitlines())
    return [row for row in rows if None not in row and None not in row.values() and row.get("step", "").isdecimal()]


def _write(path: Path, rows: list[dict[str, str]]) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    fresh = path.with_suffix(".tmp")
    with open(fresh, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    fresh.replace(path)
