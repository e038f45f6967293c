"""`elegans-gnn train TASK`."""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from pathlib import Path

from elegans_gnn._text import read_json
from elegans_gnn.commands._settings import TASKS, SettingsParser
from elegans_gnn.errors import invalid
from elegans_gnn.training.config import TrainingConfig
from elegans_gnn.training.folder import (
    CONFIG,
    LAST,
    global_rank,
    launched_from_outside,
    named_run_folder,
    new_run_folder,
)

# Tells the processes that the first one starts which folder it chose.
_FOLDER = "ELEGANS_GNN_RUN"
_EPILOG = """settings come from --preset (cut by --smoke), then from --config, then from the options; the last one wins

  elegans-gnn train {task} --preset headline
  elegans-gnn train {task} --config mine.yaml --steps 3000
  elegans-gnn train {task} --devices 2
  torchrun --nnodes 2 --nproc-per-node 4 ... -m elegans_gnn.cli train {task} --nodes 2 --devices 4 --name mine
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command and its tasks; the options of a task are parsed when it is chosen."""
    parser = subparsers.add_parser(
        "train",
        help="train a model on images",
        description="Train a model whose core is a connectome, or a baseline; everything is written to RUNS/NAME.",
        epilog="tasks:\n"
        + "".join(f"  {name:26s}{task.help}\n" for name, task in TASKS.items())
        + "\nelegans-gnn train TASK --help lists the options of a task",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("task", choices=tuple(TASKS), metavar="TASK", help="one of the tasks below")
    parser.add_argument("rest", nargs=argparse.REMAINDER, metavar="OPTIONS", help="see TASK --help")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Train, then print the result."""
    program = f"elegans-gnn train {options.task}"
    parser = SettingsParser(options.task, program, _EPILOG.format(task=options.task))
    place, given = parser.parse(options.rest)
    resume = place.resume is not None
    if resume and (given or place.name or place.smoke or place.preset or place.config):
        raise invalid("--resume", "alone", "other options", "omit them: the run keeps its settings")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DeprecationWarning)
        if resume:
            config = _config_of(place.resume, options.task)
        else:
            in_file = {} if place.config is None else parser.read(place.config)
            config = parser.task.configuration(place.preset, in_file, given, smoke=place.smoke)
    for warning in caught:
        print(f"elegans-gnn: warning: {warning.message}", file=sys.stderr)

    from elegans_gnn.training import print_result, train

    folder = place.resume if resume else _new_folder(place, options.task, config)
    sets_folder = config.machine.processes > 1 and global_rank() == 0
    if sets_folder:
        os.environ[_FOLDER] = str(folder)
    try:
        result = train(config, folder, resume=resume, progress=not place.no_progress)
    except KeyboardInterrupt:
        if (folder / LAST).is_file() and global_rank() == 0:
            print(f"interrupted; go on with: elegans-gnn train {options.task} --resume {folder}", file=sys.stderr)
        raise
    finally:
        if sets_folder:
            os.environ.pop(_FOLDER, None)
    print_result(result)
    return 0


def _new_folder(place: argparse.Namespace, task: str, config: TrainingConfig) -> Path:
    """The folder of a new run, the same one in all of its processes."""
    several = config.machine.processes > 1
    if several and global_rank() and _FOLDER in os.environ:
        return Path(os.environ[_FOLDER])
    if several and place.name is None and (launched_from_outside() or config.machine.nodes > 1):
        raise invalid("--name", "given when the processes are started from outside", "none", "pass --name mine")
    # The other processes may find what the first one has begun to write.
    if several and global_rank():
        return named_run_folder(place.runs, place.name)
    return new_run_folder(place.runs, place.name, task)


def _config_of(folder: Path, name: str) -> TrainingConfig:
    """The configuration an interrupted run of this task was started with."""
    path = folder / CONFIG
    remedy = "start a new run without --resume"
    if not path.is_file() or not (folder / LAST).is_file():
        raise invalid("--resume", f"the folder of a run, with {CONFIG} and {LAST}", folder, remedy)
    readable = f"the folder of a run with a readable {CONFIG}"
    plain = read_json(path, "--resume", expected=readable, remedy=remedy)
    if not isinstance(plain, dict):
        raise invalid("--resume", readable, f"{path}: {type(plain).__name__}", remedy)
    others = [other for other, task in TASKS.items() if task.takes(plain)]
    if others and name not in others:
        another = f"use elegans-gnn train {others[0]} --resume {folder}"
        raise invalid("--resume", f"a run of {name}", f"{folder}, one of {others[0]}", another)
    if not others:
        raise invalid("--resume", f"a run of {name}", f"{folder}, whose {CONFIG} has other settings", remedy)
    return TASKS[name].config.from_dict(plain)
