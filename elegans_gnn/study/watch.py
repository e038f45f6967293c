"""Progress of a study: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

_LINE_SECONDS = 30.0


class Watch:
    """Counts what ends, and shows it with the rate and the time left.

    Args:
        total: number of trials.
        known: how many had a record at the start.
        enabled: whether to show anything.
    """

    def __init__(self, total: int, known: int, *, enabled: bool = True, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True)
        self._enabled = enabled
        self._total, self._known = total, known
        self._done = self._failed = self._elsewhere = 0
        self._started = self._last_line = time.monotonic()
        self._live = Live(console=self._console, auto_refresh=False, transient=True)

    def __enter__(self) -> Watch:
        if self._enabled and self._console.is_terminal:
            self._live.start()
        elif self._enabled:
            self.say(f"{self._known} of {self._total} trials are done")
        return self

    def __exit__(self, *_: object) -> None:
        if self._live.is_started:
            self._live.stop()
        if self._enabled:
            self.say(self._summary())

    def ended(self, label: str, status: str, reason: str) -> None:
        """Count a trial that ended here."""
        self._done += status == "done"
        if status != "done":
            self._failed += 1
            self.say(f"failed: {label}: {reason}")

    def ended_elsewhere(self) -> None:
        """Count a trial that another process ran."""
        self._elsewhere += 1

    def show(self, running: Sequence[str]) -> None:
        """Redraw the table, or write a line now and then."""
        if self._live.is_started:
            table = Table(title=self._summary(), title_justify="left", box=None, show_header=False)
            for label in running:
                table.add_row("running", label)
            self._live.update(table, refresh=True)
        elif self._enabled and time.monotonic() - self._last_line > _LINE_SECONDS:
            self._last_line = time.monotonic()
            self.say(f"{self._summary()}; running: {', '.join(running) or 'nothing'}")

    def say(self, text: str) -> None:
        """Write a line that stays."""
        if self._enabled:
            self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _summary(self) -> str:
        here = self._done + self._failed
        ended = self._known + here + self._elsewhere
        parts: list[Any] = [f"{ended} of {self._total} trials are done"]
        if self._failed:
            parts.append(f"{self._failed} of them failed")
        if here:
            per_minute = (here + self._elsewhere) / (time.monotonic() - self._started) * 60
            parts.append(f"{per_minute:.3g} a minute")
            if ended < self._total:
                parts.append(f"about {_duration((self._total - ended) / per_minute * 60)} left")
        return ", ".join(parts)


def _duration(seconds: float) -> str:
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 90 else f"{minutes} min" if minutes < 90 else f"{minutes / 60:.1f} h"
