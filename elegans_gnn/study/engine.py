"""Running trials: each in a fresh process, so that one that dies costs itself alone."""

from __future__ import annotations

import functools
import math
import multiprocessing
import os
import platform
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol

from elegans_gnn._paths import __version__
from elegans_gnn.connectome import Connectome
from elegans_gnn.errors import invalid
from elegans_gnn.study.ledger import HEARTBEAT_SECONDS, Ledger, Trial, file_record
from elegans_gnn.study.watch import Watch

Score = Callable[[Connectome, int], Any]
Outcome = dict[str, Any]
_TICK = 1.0
_THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


@dataclass(frozen=True)
class Task:
    """A trial with what it takes to run it, and what the live table calls it."""

    trial: Trial
    score: Score
    connectome: Connectome
    metric: str
    label: str


class Engine(Protocol):
    """Where trials run. Outcomes come back through :meth:`wait`; an engine never touches the ledger."""

    @property
    def slots(self) -> int:
        """How many trials may be under way."""

    def submit(self, task: Task) -> None:
        """Start a trial."""

    def wait(self, seconds: float) -> list[tuple[str, Outcome]]:
        """Key and outcome of the trials that ended, after at most `seconds`."""

    def stop(self) -> None:
        """End whatever runs."""


def execute(score: Score, connectome: Connectome, seed: int, metric: str) -> Outcome:
    """Call the score function: its figures and curves, or the reason why there are none."""
    started = time.perf_counter()
    try:
        outcome = _figures(score(connectome, seed), metric)
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        outcome = {"status": "failed", "reason": reason, "traceback": traceback.format_exc()}
    return {**outcome, "seconds": round(time.perf_counter() - started, 3), "conditions": _conditions()}


def _figures(result: Any, metric: str) -> Outcome:
    found = dict(result) if isinstance(result, Mapping) else {metric: result}
    if metric not in found:
        raise invalid(
            "score", f"a number or a dict with {metric!r}", f"a dict with {sorted(map(str, found))}", "return it"
        )
    scores: dict[str, float] = {}
    curves: dict[str, list[float]] = {}
    for name, value in found.items():
        if isinstance(value, str) or value is None:
            raise invalid(f"score[{name!r}]", "a number or a list of numbers", repr(value), "drop the other values")
        if getattr(value, "ndim", 0) or isinstance(value, list | tuple):
            curves[str(name)] = [float(item) for item in value]
        else:
            scores[str(name)] = float(value)
    if not math.isfinite(scores.get(metric, math.nan)):
        got = scores.get(metric, "a list")
        raise invalid(f"score[{metric!r}]", "a finite number", got, "did the training diverge?")
    return {"status": "done", "scores": scores, "curves": curves}


def _conditions() -> dict[str, Any]:
    """Host, processor and versions: the conditions of a measurement."""
    packages = ("numpy", "scipy", "torch", "sklearn", "jax", "torch_geometric")
    versions = {name: str(getattr(sys.modules[name], "__version__", "?")) for name in packages if name in sys.modules}
    return {
        "host": platform.node(),
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "versions": {"python": platform.python_version(), "elegans_gnn": __version__, **versions},
    }


@functools.cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


class InlineEngine:
    """Runs each trial in this process, one at a time: for notebooks and debugging, without protection."""

    slots = 1

    def __init__(self) -> None:
        self._ended: list[tuple[str, Outcome]] = []

    def submit(self, task: Task) -> None:
        """Run the trial at once."""
        self._ended.append((task.trial.key, execute(task.score, task.connectome, task.trial.seed, task.metric)))

    def wait(self, seconds: float) -> list[tuple[str, Outcome]]:
        """What has run since the last call."""
        if not self._ended:
            time.sleep(seconds)
        ended, self._ended = self._ended, []
        return ended

    def stop(self) -> None:
        """Nothing runs between calls."""


class LocalEngine:
    """A fresh spawned process for each trial; one that is killed or out of memory is a failure of its trial alone."""

    def __init__(self, workers: int, threads: int = 1) -> None:
        self.slots = workers
        self._threads = threads
        self._running: dict[str, tuple[Any, Connection]] = {}

    def submit(self, task: Task) -> None:
        """Start a process. It cannot outlive this one."""
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        work = (theirs, task.score, task.connectome, task.trial.seed, task.metric)
        process = context.Process(target=_work, args=work, daemon=False)
        with _environment(dict.fromkeys(_THREADS, str(self._threads))):
            process.start()
        theirs.close()
        self._running[task.trial.key] = process, ours

    def wait(self, seconds: float) -> list[tuple[str, Outcome]]:
        """Outcomes that came, and failures of processes that ended without one."""
        if not self._running:
            time.sleep(seconds)
            return []
        ready = wait([pipe for _, pipe in self._running.values()], timeout=seconds)
        ended = []
        for key, (process, pipe) in list(self._running.items()):
            if pipe in ready:
                ended.append((key, _receive(process, pipe)))
                del self._running[key]
        return ended

    def stop(self) -> None:
        """Kill what runs."""
        for process, pipe in self._running.values():
            process.kill()
            process.join()
            pipe.close()
        self._running.clear()


def _receive(process: Any, pipe: Connection) -> Outcome:
    try:
        outcome: Outcome = pipe.recv()
    except (EOFError, OSError):
        outcome = {}
    pipe.close()
    process.join(10)
    if outcome:
        if process.is_alive():  # threads that the score left behind
            process.kill()
            process.join()
        return outcome
    code = process.exitcode or 0
    name = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    hint = {
        "SIGKILL": " (out of memory?)",
        "exit code 1": " (can it import the score function? does `if __name__ == '__main__':` precede compare()?)",
    }.get(name, "")
    return {"status": "failed", "reason": f"the worker process died: {name}{hint}", "traceback": ""}


def _work(pipe: Connection, score: Score, connectome: Connectome, seed: int, metric: str) -> None:
    # Ctrl-C reaches the whole group of processes; the driver decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A scheduler's SIGTERM does too. A handler instead of SIG_IGN, which programs that the score starts would inherit.
    signal.signal(signal.SIGTERM, _left_to_the_driver)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    pipe.send(execute(score, connectome, seed, metric))
    pipe.close()


def _left_to_the_driver(number: int, frame: Any) -> None:
    """Do nothing: the driver ends its workers."""


def _end_with(sentinel: int) -> None:
    """A worker whose driver was killed would run a trial that the next driver runs as well."""
    wait([sentinel])
    os._exit(1)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update({name: value for name, value in values.items() if before[name] is None})
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)


def run_trials(
    ledger: Ledger, tasks: Sequence[Task], engine: Engine, *, retry: bool = False, progress: bool = True
) -> None:
    """Run every trial that has no record yet; those that another process has under way are left to it and waited for.

    Args:
        ledger: where records go.
        tasks: the trials.
        engine: where they run.
        retry: whether trials that failed run again.
        progress: whether to show a live table (plain lines without a terminal).
    """
    ours = {task.trial.key: task for task in tasks}
    # When each failure that is to run again happened: another process may run it again first.
    failed = {key: stamp for key in ours if retry and (stamp := _failed_at(ledger, key)) is not None}
    waiting = deque(key for key in ours if key in failed or ledger.record(key) is None)
    if not waiting:
        return
    ledger.sweep()
    with Watch(len(ours), len(ours) - len(waiting), enabled=progress) as watch:
        _Run(ledger, ours, engine, watch, waiting, failed).go()


class _Run:
    """The loop of :func:`run_trials` over the trials that wait; `failed` says when those that run again had failed."""

    def __init__(
        self,
        ledger: Ledger,
        ours: Mapping[str, Task],
        engine: Engine,
        watch: Watch,
        waiting: deque[str],
        failed: Mapping[str, str],
    ) -> None:
        self.ledger, self.ours, self.engine, self.watch = ledger, ours, engine, watch
        self.waiting, self.failed = waiting, failed
        self.keys = _keys_so_far(ledger, ours)
        self.running: set[str] = set()

    def go(self) -> None:
        renewed = time.monotonic()
        try:
            while self.waiting or self.running:
                self._start_some()
                self.watch.show([self.ours[key].label for key in self.running])
                self._collect()
                if time.monotonic() - renewed > HEARTBEAT_SECONDS:
                    renewed = time.monotonic()
                    for key in self.running:
                        self.ledger.renew(key)
        except KeyboardInterrupt:
            self.watch.say("stopped; finished trials are kept: run the same command again to go on")
            raise
        finally:
            self.engine.stop()
            for key in self.running:
                self.ledger.release(key)

    def _start_some(self) -> None:
        for _ in range(len(self.waiting)):
            if len(self.running) >= self.engine.slots:
                return
            key = self.waiting.popleft()
            if not self.ledger.claim(key):
                self.waiting.append(key)
            elif self._is_open(key):
                self.running.add(key)
                self.engine.submit(self.ours[key])
            else:
                self.ledger.release(key)
                self.watch.ended_elsewhere()

    def _is_open(self, key: str) -> bool:
        """Whether no other process has run the trial since it was counted as waiting."""
        again = key in self.failed and _failed_at(self.ledger, key) == self.failed[key]
        return again or self.ledger.record(key) is None

    def _collect(self) -> None:
        for key, outcome in self.engine.wait(_TICK):
            _check_keys(outcome, self.ours[key], self.keys)
            if self.ledger.owns(key):
                self.ledger.write(key, file_record(self.ours[key].trial, outcome))
                self.watch.ended(self.ours[key].label, outcome["status"], outcome.get("reason", ""))
            else:
                self.waiting.append(key)
            self.ledger.release(key)
            self.running.remove(key)


def _failed_at(ledger: Ledger, key: str) -> str | None:
    record = ledger.record(key)
    return str(record["finished"]) if record is not None and record["status"] == "failed" else None


def _keys_so_far(ledger: Ledger, keys: Iterable[str]) -> dict[str, list[str]]:
    """score function -> the names it returned in its first recorded trial."""
    found: dict[str, list[str]] = {}
    for key in keys:
        record = ledger.record(key)
        if record is not None and record["status"] == "done":
            found.setdefault(record["score"], sorted({**record["scores"], **record["curves"]}))
    return found


def _check_keys(outcome: Outcome, task: Task, keys: dict[str, list[str]]) -> None:
    """A score that returns other names than before is a failure: the table would have holes."""
    if outcome["status"] != "done":
        return
    names = sorted({**outcome["scores"], **outcome["curves"]})
    expected = keys.setdefault(task.trial.score, names)
    if names != expected:
        reason = f"the score returned {names}, other trials {expected}; return the same keys each time"
        outcome.update(status="failed", reason=reason, traceback="")
