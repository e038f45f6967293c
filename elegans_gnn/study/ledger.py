"""The trials of a study on disk: one file each, written whole or not at all, and locks so that none runs twice."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from elegans_gnn._text import json_text, read_json
from elegans_gnn.errors import FolderError, invalid

HEARTBEAT_SECONDS = 10.0
# A lock of another machine that has not been renewed for so long is abandoned.
ABANDONED_SECONDS = 120.0
_HELD: set[Path] = set()
_CLAIMING = threading.Lock()


class LedgerError(FolderError):
    """A study's folder cannot be written; what has been recorded stays."""


@dataclass(frozen=True)
class Trial:
    """One score to compute: which function, on which graph (by fingerprint), with which seed."""

    score: str
    graph: str
    seed: int

    @property
    def key(self) -> str:
        """The name of its file: a hash of the configuration."""
        text = json.dumps({"score": self.score, "graph": self.graph, "seed": self.seed}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]


class Ledger:
    """The folder of a study: ``trials/<hash>.json`` and, while a trial runs, ``locks/<hash>.<number>``.

    A lock is created with O_EXCL and holds host, process and its start. Where the holder is dead (same machine) or has
    not renewed it for two minutes (another machine), the lock with the next number may be created: again by one
    process only, and without removing anything that another one may just have made its own.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.trials = folder / "trials"
        self.locks = folder / "locks"
        self._seen: dict[str, dict[str, Any]] = {}

    def record(self, key: str) -> dict[str, Any] | None:
        """What is known of a trial, or None if it has not run."""
        if key not in self._seen:
            path = self.trials / f"{key}.json"
            if not path.exists():
                return None
            found = read_json(path, "trial", remedy="delete the file to run the trial again")
            if found.get("status") != "done":
                return dict(found)
            self._seen[key] = found
        return self._seen[key]

    def write(self, key: str, content: Mapping[str, Any]) -> None:
        """Write the record of a finished trial.

        Raises:
            LedgerError: the disk is full or the folder cannot be written; the message holds the scores.
        """
        try:
            _write(self.trials / f"{key}.json", content, replace=True)
        except OSError as error:
            scores = json.dumps(content.get("scores") or content.get("reason"))
            raise _unwritable(self.trials, error, f" (the result that could not be written: {scores})") from error

    def claim(self, key: str) -> bool:
        """Take the lock of a trial; False while another process has it."""
        self._folders()
        with _CLAIMING:
            numbers = self._numbers(key)
            if numbers and not self._abandoned(self.locks / f"{key}.{numbers[-1]}"):
                return False
            path = self.locks / f"{key}.{numbers[-1] + 1 if numbers else 0}"
            owner = {"host": socket.gethostname(), "pid": os.getpid(), "started": _started(os.getpid())}
            try:
                _write(path, owner, replace=False)
            except FileExistsError:
                return False
            except OSError as error:
                raise _unwritable(self.locks, error) from error
            _HELD.add(path)
            return True

    def owns(self, key: str) -> bool:
        """Whether the lock is still this process's (another machine may have taken it from one that slept)."""
        numbers = self._numbers(key)
        return bool(numbers) and self.locks / f"{key}.{numbers[-1]}" in _HELD

    def release(self, key: str) -> None:
        """Give the lock up, and clear away what dead holders left."""
        for number in self._numbers(key):
            path = self.locks / f"{key}.{number}"
            # In a folder that has become read-only the lock stays; it ends with this process.
            with suppress(OSError):
                path.unlink(missing_ok=True)
            if path in _HELD:
                _HELD.discard(path)
                break

    def renew(self, key: str) -> None:
        """Say that the holder lives."""
        for number in self._numbers(key):
            if (path := self.locks / f"{key}.{number}") in _HELD:
                os.utime(path)

    def sweep(self) -> None:
        """Remove what processes that were killed while they wrote left under names of their own."""
        for path in chain(self.trials.glob(".*"), self.locks.glob(".*")):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > 30 * ABANDONED_SECONDS:
                    path.unlink()

    def _numbers(self, key: str) -> list[int]:
        return sorted(int(path.suffix[1:]) for path in self.locks.glob(f"{key}.*"))

    def _folders(self) -> None:
        for folder in (self.trials, self.locks):
            make_folder(folder)

    def _abandoned(self, path: Path) -> bool:
        if path in _HELD:
            return False
        try:
            owner = json.loads(path.read_text(encoding="utf-8"))
            age = self._now() - path.stat().st_mtime
        except FileNotFoundError:
            return False
        if owner["host"] == socket.gethostname():
            started = _started(owner["pid"])
            return started is None or started != owner["started"] or owner["pid"] == os.getpid()
        return age > ABANDONED_SECONDS

    def _now(self) -> float:
        """The time of the file system that dates the locks: clocks of machines differ."""
        probe = self.locks / f".clock-{uuid.uuid4().hex}"
        try:
            probe.touch()
            return probe.stat().st_mtime
        except OSError as error:
            raise _unwritable(self.locks, error) from error
        finally:
            probe.unlink(missing_ok=True)


def make_folder(folder: Path) -> None:
    """Make a folder, or say why it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from error


def write_new(path: Path, content: Mapping[str, Any] | str) -> None:
    """Write a file unless another process has."""
    try:
        _write(path, content, replace=False)
    except FileExistsError:
        return
    except OSError as error:
        raise _unwritable(path.parent, error) from error


def replace_file(path: Path, content: Mapping[str, Any] | str) -> None:
    """Write a file whole, over an older one."""
    try:
        _write(path, content, replace=True)
    except OSError as error:
        raise _unwritable(path.parent, error) from error


def _write(path: Path, content: Mapping[str, Any] | str, *, replace: bool) -> None:
    """Under a name of its own first, to the disk, then to its place, so that no process reads half a file."""
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    text = content if isinstance(content, str) else json_text(content) + "\n"
    try:
        with open(aside, "x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            os.replace(aside, path)
        else:
            os.link(aside, path)
        _to_disk(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def _to_disk(folder: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _unwritable(folder: Path, error: OSError, more: str = "") -> LedgerError:
    said = f"{folder}: cannot write: {error.strerror or error}{more}; "
    return LedgerError(
        said + "make room or give write access, then run the same command again: finished trials are kept"
    )


def _started(pid: int) -> str | None:
    """When a process of this machine began (process numbers are used again); None if it is dead."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return None if state in "ZX" else rest[18]
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except ProcessLookupError:
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return "unknown"


def file_record(trial: Trial, outcome: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a trial's file."""
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"score": trial.score, "graph": trial.graph, "seed": trial.seed, **outcome, "finished": when}


def open_folder(folder: str | os.PathLike[str]) -> Path:
    """The folder of a study that exists."""
    path = Path(folder)
    if not (path / "design.json").exists():
        raise invalid("folder", "the folder of a study, with design.json", path, "name the folder that compare() wrote")
    return path
