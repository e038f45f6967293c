"""`elegans-gnn train TASK`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from elegans_gnn.commands._tasks import TASKS, add_settings, read_settings
from elegans_gnn.errors import invalid
from elegans_gnn.training.config import TrainingConfig
from elegans_gnn.training.processes import global_rank, launched_from_outside

# Tells the processes that the first one starts which folder it chose.
_FOLDER = "ELEGANS_GNN_RUN"
_EPILOG = """settings come from --preset (cut by --smoke), then from --config, then from the options; the last one wins

  elegans-gnn train {task} --preset headline
  elegans-gnn train {task} --config mine.yaml --steps 3000
  elegans-gnn train {task} --devices 2
  torchrun --nnodes 2 --nproc-per-node 4 ... -m elegans_gnn.cli train {task} --nodes 2 --devices 4 --name mine
"""


class _Formatter(argparse.RawDescriptionHelpFormatter):
    """Examples stay as they are."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command and its options."""
    parser = subparsers.add_parser(
        "train",
        help="train a model on images",
        description="Train a model whose core is a connectome, or a baseline; everything is written to RUNS/NAME.",
    )
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    for name, task in TASKS.items():
        sub = tasks.add_parser(
            name,
            help=task.help,
            description=task.description,
            epilog=_EPILOG.format(task=name),
            formatter_class=_Formatter,
            argument_default=argparse.SUPPRESS,
        )
        add = sub.add_argument
        add("--runs", type=Path, default=Path("runs"), help="folder that holds the runs (default: runs)")
        add("--name", default=None, help="name of the run; the first free number if not given")
        add("--resume", type=Path, default=None, metavar="RUN", help="go on with an interrupted run's folder")
        add("--preset", default=None, metavar="NAME", help="smoke, demo or headline (default: demo)")
        add("--config", type=Path, default=None, metavar="FILE", help="a YAML file with settings, such as steps: 2000")
        add(
            "--smoke",
            action="store_true",
            default=False,
            help="the preset cut to a few small steps, to see that all works",
        )
        add("--no-progress", action="store_true", default=False, help="no progress bar")
        add_settings(sub, task)
        sub.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Train, then print the result."""
    task = TASKS[options.task]
    given = {name: getattr(options, name) for name in task.options() if hasattr(options, name)}
    resume = options.resume is not None
    if resume and (given or options.name or options.smoke or options.preset or options.config):
        raise invalid("--resume", "alone", "other options beside it", "leave them away: the run keeps its settings")
    if resume:
        config = _config_of(options.resume, options.task)
    else:
        in_file = {} if options.config is None else read_settings(options.config, task)
        config = task.configuration(options.preset, in_file, given, smoke=options.smoke)

    from elegans_gnn.training import print_result, train

    folder = options.resume if resume else _new_folder(options, config)
    told = config.devices * config.nodes > 1 and global_rank() == 0
    if told:
        os.environ[_FOLDER] = str(folder)
    try:
        result = train(config, folder, resume=resume, progress=not options.no_progress)
    except KeyboardInterrupt:
        if (folder / "last.ckpt").is_file() and global_rank() == 0:
            print(f"interrupted; go on with: elegans-gnn train {options.task} --resume {folder}", file=sys.stderr)
        raise
    finally:
        if told:
            os.environ.pop(_FOLDER, None)
    print_result(result)
    return 0


def _new_folder(options: argparse.Namespace, config: TrainingConfig) -> Path:
    """The folder of a new run, the same one in all of its processes."""
    from elegans_gnn.training.folders import named_run_folder, new_run_folder

    several = config.devices * config.nodes > 1
    if several and global_rank() and _FOLDER in os.environ:
        return Path(os.environ[_FOLDER])
    if several and options.name is None and (launched_from_outside() or config.nodes > 1):
        raise invalid("--name", "given when the processes are started from outside", "none", "pass --name mine")
    # The other processes may find what the first one has begun to write.
    if several and global_rank():
        return named_run_folder(options.runs, options.name)
    return new_run_folder(options.runs, options.name, options.task)


def _config_of(folder: Path, name: str) -> TrainingConfig:
    """The configuration an interrupted run of this task was started with."""
    path = folder / "config.json"
    remedy = "start the run anew without --resume"
    if not path.is_file() or not (folder / "last.ckpt").is_file():
        raise invalid("--resume", "the folder of a run, with config.json and last.ckpt", folder, remedy)
    readable = "the folder of a run with a readable config.json"
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise invalid("--resume", readable, f"{path}: {error}", remedy) from error
    if not isinstance(plain, dict):
        raise invalid("--resume", readable, f"{path}: {type(plain).__name__}", remedy)
    others = [other for other, task in TASKS.items() if task.takes(plain)]
    if others and name not in others:
        another = f"use elegans-gnn train {others[0]} --resume {folder}"
        raise invalid("--resume", f"a run of {name}", f"{folder}, one of {others[0]}", another)
    if not others:
        raise invalid("--resume", f"a run of {name}", f"{folder}, whose config.json has other settings", remedy)
    return TASKS[name].config.from_dict(plain)
