"""Train models that differ in one setting only, with several seeds each, and report how much their results differ.

    python benchmarks/compare.py cores --steps 1000 --seeds 5 --json docs/results/cores.json
    python benchmarks/compare.py classifiers --tune --json docs/results/tuning-classifiers.json
    python benchmarks/compare.py classifiers --seeds 5 --json docs/results/classifiers.json

Each run trains like `elegans-gnn train` with the settings that --list shows. When it finishes, its figures are added to
the JSON file, so that an interrupted comparison continues where it stopped. The table is printed from that file.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from comparisons import COMPARISONS, Comparison
from forest import draw
from measure import conditions
from rich.progress import track
from tables import print_table, print_trials


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("comparison", choices=sorted(COMPARISONS))
    parser.add_argument("--rows", nargs="+", metavar="ROW", help="run only these rows of the comparison")
    parser.add_argument("--steps", type=int, help="optimiser steps of every run (default: the comparison's own)")
    parser.add_argument(
        "--seeds", type=int, help="number of seeds (0, 1, ...) of every row (default: the comparison's own)"
    )
    parser.add_argument("--workers", type=int, default=2, help="parallel runs, one thread each")
    parser.add_argument(
        "--json", type=Path, required=True, help="file for the figures of all runs; runs in it are not repeated"
    )
    parser.add_argument(
        "--tune", action="store_true", help="try each model with several learning rates, judged on validation images"
    )
    parser.add_argument("--plot", type=Path, help="file for a picture of the differences from the first row")
    parser.add_argument("--list", action="store_true", help="show the settings of every row, and stop")
    arguments = parser.parse_args()
    comparison = COMPARISONS[arguments.comparison]
    if arguments.tune:
        comparison = comparison.trials()
    if arguments.list:
        for name, changes in comparison.rows.items():
            print(f"{name:28s} {json.dumps({**comparison.shared, **changes})}")
        return
    record = measure(comparison, arguments)
    if arguments.tune:
        print_trials(COMPARISONS[arguments.comparison], record["runs"])
        return
    print_table(comparison, record["runs"], arguments.steps)
    if arguments.plot:
        draw(comparison, record["runs"], arguments.plot, arguments.steps)


def measure(comparison: Comparison, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run what the JSON file does not contain yet."""
    path: Path = arguments.json
    record: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"runs": []}
    done = {(run["row"], json.dumps(run["settings"], sort_keys=True)) for run in record["runs"]}
    wanted = []
    # Seed by seed, so that an interrupted comparison has the same seeds for every row.
    for seed in range(comparison.first_seed, comparison.first_seed + (arguments.seeds or comparison.seeds)):
        for row in arguments.rows or comparison.rows:
            settings = comparison.settings(row, seed, arguments.steps)
            if (row, json.dumps(settings, sort_keys=True)) not in done:
                wanted.append((row, settings))
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.workers, mp_context=context) as pool:
        futures = [pool.submit(run, comparison.task, row, settings) for row, settings in wanted]
        for future in track(as_completed(futures), total=len(futures), description=arguments.comparison):
            found = future.result()
            if arguments.tune:
                del found["test"]  # settings must not be chosen by test figures
            record["runs"].append(found)
            path.parent.mkdir(parents=True, exist_ok=True)
            aside = path.with_suffix(".tmp")
            aside.write_text(json.dumps(record, indent=1) + "\n")
            aside.replace(path)
    return record


def run(task: str, row: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """One run with one thread: its settings, its figures, and the conditions under which they were measured."""
    from elegans_gnn.training import AutoencoderConfig, ClassifierConfig, train

    config = (AutoencoderConfig if task == "autoencoder" else ClassifierConfig).preset(**settings, threads=1)
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        result = train(config, Path(folder) / "run", progress=False)
    return {
        "row": row,
        "settings": dict(settings),
        "configuration": config.to_dict(),
        "test": result.test,
        "validation": result.validation,
        "pca": getattr(result, "pca", None),
        "parameters": result.parameters,
        "best_step": result.best_step,
        "training_seconds": round(result.seconds, 1),
        "seconds": round(time.perf_counter() - started, 1),
        "conditions": conditions(),
    }


if __name__ == "__main__":
    main()
