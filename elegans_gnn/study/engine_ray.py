"""The same trials as Ray tasks, on this machine or a cluster; results come back to the driver's ledger."""

from __future__ import annotations

import os
import sys
from typing import Any

from elegans_gnn.errors import require
from elegans_gnn.study.engine import Outcome, Task, execute

# A node that is lost takes its trials with it; they run again elsewhere before they count as failures.
RETRIES = 2


class RayEngine:
    """Ray Core tasks, a fresh process each.

    Args:
        address: of a cluster (``"auto"``, ``"host:6379"``); None starts Ray on this machine, or uses the Ray that this
            process is connected to.
        cpus: processors that one trial takes.
    """

    def __init__(self, address: str | None = None, *, workers: int | None = None, cpus: float = 1) -> None:
        self._ray = ray = require("ray")
        self._ours = not ray.is_initialized()
        self._cpus = cpus
        self._limit = workers
        if self._ours:
            # Without this, workers on this machine would not find a score function in the script's folder.
            path = {} if address else {"env_vars": {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}}
            local = {} if address else {"num_cpus": workers, "include_dashboard": False}
            ray.init(address=address, runtime_env=path, log_to_driver=False, logging_level="warning", **local)
        self._task = ray.remote(num_cpus=cpus, max_calls=1, max_retries=RETRIES)(execute)
        self._running: dict[Any, str] = {}

    @property
    def slots(self) -> int:
        """As many trials as the cluster has room for now; nodes may come and go."""
        room = int(self._ray.cluster_resources().get("CPU", 0) / self._cpus)
        return max(1, room if self._limit is None else min(room, self._limit))

    def submit(self, task: Task) -> None:
        """Queue a trial."""
        future = self._task.remote(task.score, task.connectome, task.trial.seed, task.metric)
        self._running[future] = task.trial.key

    def wait(self, seconds: float) -> list[tuple[str, Outcome]]:
        """Outcomes that came, and failures of trials whose worker died at every try."""
        ready, _ = self._ray.wait(list(self._running), timeout=seconds) if self._running else ([], None)
        return [(self._running.pop(future), self._outcome(future)) for future in ready]

    def stop(self) -> None:
        """Cancel what runs; end Ray if it was started here."""
        for future in self._running:
            self._ray.cancel(future, force=True)
        self._running.clear()
        if self._ours:
            self._ray.shutdown()

    def _outcome(self, future: Any) -> Outcome:
        errors = self._ray.exceptions
        try:
            outcome: Outcome = self._ray.get(future)
        except errors.OutOfMemoryError:
            return {"status": "failed", "reason": "the worker process died: out of memory", "traceback": ""}
        except (errors.WorkerCrashedError, errors.NodeDiedError) as error:
            reason = f"the worker process died {RETRIES + 1} times: {type(error).__name__}"
            return {"status": "failed", "reason": reason, "traceback": ""}
        except errors.RayError as error:
            reason = f"Ray could not run the trial: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
            return {"status": "failed", "reason": reason, "traceback": str(error)}
        return outcome
