"""What surrounds Lightning's own logs: quiet where all is as meant, and one metrics.csv across interruptions."""

from __future__ import annotations

import csv
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def without_chatter() -> Iterator[None]:
    """Lightning's notes on what is meant to be so stay unsaid; its other warnings come through."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        # The run folder holds configuration, logs and checkpoints side by side; kept_rows keeps the earlier log.
        warnings.filterwarnings("ignore", message="Experiment logs directory .* exists", module="lightning")
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists", module="lightning")
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.* is deprecated", module="lightning")
        # A frozen backbone is in evaluation mode by intention.
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
    """Lightning's CSV logger begins its file anew; this puts the rows of the interrupted part back in front.

    Until then they lie beside it in `metrics.before.csv`, so that not even a killed process loses them. Rows of steps
    that a later part took again are the later part's. Of several processes only the one that is writing the log
    does this.
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
    """The whole rows of a log; what a killed process left half written is passed over."""
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
