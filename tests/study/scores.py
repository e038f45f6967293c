"""Score functions for the tests, importable by the processes that run trials, and a driver to be killed."""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from elegans_gnn.connectome import Connectome

LOG = "STUDY_TEST_LOG"


def small_graph(size: int = 24, seed: int = 0) -> Connectome:
    random = np.random.default_rng(seed)
    pre, post = np.nonzero(random.random((size, size)) < 0.2)
    roles = np.array(["sensory", "inter", "motor"])[np.arange(size) % 3]
    return Connectome.from_edges("small", [f"N{i}" for i in range(size)], pre, post, roles=roles)


def score(connectome: Connectome, seed: int, pause: float = 0.0) -> dict[str, Any]:
    """A number with spread between graphs and between seeds, and a curve; says in a log that it began."""
    if LOG in os.environ:
        with open(os.environ[LOG], "a") as log:
            log.write(f"{connectome.fingerprint} {seed}\n")
    time.sleep(pause)
    graph = int(connectome.fingerprint[:8], 16)
    effect = np.random.default_rng(graph).normal(0, 0.3) + np.random.default_rng([graph, seed]).normal(0, 0.2)
    better = 0.0 if "seed" in connectome.name else 2.0
    return {"accuracy": 80 + better + effect, "steps": 10, "loss": np.exp(-np.arange(5) / 2).tolist()}


slow = partial(score, pause=0.4)
endless = partial(score, pause=600)


def plain(connectome: Connectome, seed: int) -> float:
    return float(np.random.default_rng([int(connectome.fingerprint[:8], 16), seed]).normal())


def frozen(connectome: Connectome, seed: int) -> dict[str, Any]:
    return {**score(connectome, seed), "accuracy": score(connectome, seed)["accuracy"] + 0.1 * (-1) ** seed}


def silent(connectome: Connectome, seed: int) -> dict[str, Any]:
    return {**score(connectome, seed), "accuracy": 60.0 + seed / 100}


def unequal(connectome: Connectome, seed: int) -> dict[str, float]:
    return {"accuracy": plain(connectome, seed), "parameters": 100.0 + ("seed" in connectome.name)}


def swaying(connectome: Connectome, seed: int) -> dict[str, float]:
    more = 0 if "seed" not in connectome.name else 1 if connectome.name.endswith("seed0") else -1
    return {"accuracy": plain(connectome, seed), "parameters": 100.0 + more}


def not_a_number(connectome: Connectome, seed: int) -> float:
    return float("nan") if seed == 1 else 1.0 + seed


def raising(connectome: Connectome, seed: int) -> float:
    if seed == 1:
        raise FloatingPointError("the loss\nis infinite")
    return 1.0 + seed


def other_keys(connectome: Connectome, seed: int) -> dict[str, float]:
    return {"accuracy": 1.0 + seed, **({"loss": 2.0} if seed == 1 else {})}


def dying(connectome: Connectome, seed: int) -> float:
    if seed == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return 1.0 + seed


def dying_once(connectome: Connectome, seed: int) -> float:
    """Dies at the first try: a file says that there was one."""
    mark = Path(os.environ[LOG])
    if seed == 1 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return 1.0 + seed


def run(folder: Path, function: Any = score, **options: Any) -> Any:
    """A small study; too small for a verdict."""
    from elegans_gnn.study import compare

    usual = {
        "nulls": ["erdos-renyi"], "graphs_per_null": 6, "seeds": range(6), "margin": 0.5, "metric": "accuracy",
        "strict": False, "figures": False, "progress": False,
    }  # fmt: skip
    return compare(function, {"worm": small_graph()}, out=folder, **{**usual, **options})


if __name__ == "__main__":
    import warnings

    from tests.study import scores

    warnings.simplefilter("ignore")
    chosen = getattr(scores, sys.argv[2])
    study = scores.run(
        Path(sys.argv[1]), chosen, workers=int(sys.argv[3]), graphs_per_null=int(sys.argv[4]), retry=True, progress=True
    )
    print(study.status)
