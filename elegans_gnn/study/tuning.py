"""Hyper-parameters for each family of graphs: the same candidates and number of trials, validation images alone."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from elegans_gnn.connectome import Connectome
from elegans_gnn.errors import invalid
from elegans_gnn.study.engine import Engine, Score, Task, run_trials
from elegans_gnn.study.ledger import Ledger, Trial, make_folder, replace_file
from elegans_gnn.study.report import TUNING
from elegans_gnn.study.run import score_name

# No trial of the comparison itself has these seeds, and no random graph this number.
FIRST_SEED = 100_000
MEMBER = 100_000


def candidates(values: Mapping[str, Sequence[Any]], trials: int) -> list[dict[str, Any]]:
    """The grid of all combinations, or `trials` of them drawn at random with a fixed seed."""
    for name, choices in values.items():
        if not isinstance(choices, list) or not choices:
            raise invalid(f"tune[{name!r}]", "a list of values", repr(choices), "such as [0.001, 0.01]")
    grid = [dict(zip(values, chosen, strict=True)) for chosen in itertools.product(*values.values())]
    if not trials or trials >= len(grid):
        return grid
    drawn = np.random.default_rng(0).choice(len(grid), size=trials, replace=False)
    return [grid[place] for place in sorted(drawn)]


def tune(
    families: Mapping[str, Connectome],
    tried: Sequence[Mapping[str, Any]],
    score: Callable[[Mapping[str, Any]], Score],
    folder: Path,
    engine: Engine,
    *,
    metric: str,
    larger_is_better: bool,
    seeds: int,
    retry: bool = False,
    progress: bool = True,
) -> dict[str, dict[str, Any]]:
    """Try every candidate on one graph of each family; the ledger in ``tuning/`` holds the trials.

    Args:
        families: label -> the graph that stands for its family.
        tried: the candidates: settings by name.
        score: candidate -> score function.
        folder: of the study; ``tuning.json`` in it will say what was found.
        engine: where the trials run.
        metric, larger_is_better: what candidates are chosen by, on average over the seeds.
        seeds: for each candidate.
        retry, progress: see :func:`run_trials`.

    Returns:
        label -> the best candidate; of equal ones the first.
    """
    ledger = Ledger(folder / "tuning")
    make_folder(ledger.folder)
    functions = [score(candidate) for candidate in tried]
    names = [score_name(function) for function in functions]
    keys: dict[tuple[str, int], list[str]] = {}
    tasks: dict[str, Task] = {}
    for label, graph in families.items():
        for place, function in enumerate(functions):
            for seed in range(FIRST_SEED, FIRST_SEED + seeds):
                trial = Trial(names[place], graph.fingerprint, seed)
                keys.setdefault((label, place), []).append(trial.key)
                tasks[trial.key] = Task(trial, function, graph, metric, f"tuning {label}, {tried[place]}, seed {seed}")
    run_trials(ledger, list(tasks.values()), engine, retry=retry, progress=progress)
    means = {label: [_mean(ledger, keys[label, place], metric) for place in range(len(tried))] for label in families}
    chosen = {label: _best(label, values, larger_is_better) for label, values in means.items()}
    replace_file(folder / TUNING, {"candidates": list(tried), "scores": means, "chosen": chosen})
    return {label: dict(tried[place]) for label, place in chosen.items()}


def _mean(ledger: Ledger, keys: Sequence[str], metric: str) -> float | None:
    """None if a trial failed: a candidate that diverges with some seed is no candidate."""
    records = [ledger.record(key) or {"status": "not run"} for key in keys]
    if any(record["status"] != "done" for record in records):
        return None
    return float(np.mean([record["scores"][metric] for record in records]))


def _best(label: str, values: Sequence[float | None], larger_is_better: bool) -> int:
    known = [(value if larger_is_better else -value, -place) for place, value in enumerate(values) if value is not None]
    if not known:
        raise invalid("tune", f"values with which {label} trains", "failures alone", "see the records in tuning/trials")
    return -max(known)[1]
