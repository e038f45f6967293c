"""`elegans-gnn train TASK`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import fields
from pathlib import Path

from elegans_gnn.errors import invalid
from elegans_gnn.training.config import AutoencoderConfig

TASK = "mnist-autoencoder"

# What the options mean, in the order of the help text; everything else is AutoencoderConfig's.
_HELP = {
    "data": "mnist5k (5,000 real digits, no download), mnist, or a folder with MNIST's idx files",
    "data_dir": "where torchvision keeps MNIST",
    "connectome": "which wiring diagram, see `elegans-gnn connectome list`",
    "steps": "optimiser steps",
    "seed": "of everything random",
    "batch_size": "images a step",
    "code": "length of the code in floats",
    "channels": "4 x 4 maps per neuron",
    "core_steps": "how many synapses far a signal travels",
    "unit": "neuron units: shared, role or neuron",
    "keep": "share of its state a neuron keeps each step, at the start",
    "activation": "of the core: none, gelu, relu or tanh",
    "norm": "of the core: none or layer",
    "signs": "of the synapses: none (free) or transmitter",
    "gap": "gap junctions: coupled or diffusive",
    "init": "initial strengths: fan-in or counts",
    "inputs": "role of the neurons that see the image",
    "outputs": "role of the neurons that are read",
    "encoder_width": "channels of the encoder",
    "encoder_blocks": "residual blocks of the encoder",
    "decoder_width": "channels of the decoder",
    "decoder_blocks": "residual blocks of the decoder",
    "learning_rate": "peak rate of AdamW",
    "muon_learning_rate": "peak rate of Muon",
    "weight_decay": "of all matrices",
    "warmup": "steps of rising learning rate",
    "ema": "decay of the averaged weights",
    "shift": "training images move by up to this many pixels",
    "validate_every": "steps between validations",
    "threads": "CPU threads, 0 for all",
    "accelerator": "cpu, gpu or auto",
}


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command and its options."""
    parser = subparsers.add_parser(
        "train",
        help="train a model on images",
        description="Train a model whose core is a connectome; everything is written to RUNS/NAME.",
    )
    tasks = parser.add_subparsers(dest="task", required=True, metavar="TASK")
    task = tasks.add_parser(
        TASK,
        help="redraw handwritten digits from a short code",
        description="Train an autoencoder whose only path from image to code is the connectome.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        argument_default=argparse.SUPPRESS,
    )
    task.add_argument("--runs", type=Path, default=Path("runs"), help="folder that holds the runs")
    task.add_argument("--name", default=None, help="name of the run; the first free number if not given")
    task.add_argument("--resume", type=Path, default=None, metavar="RUN", help="go on with an interrupted run's folder")
    task.add_argument("--smoke", action="store_true", default=False, help="a few small steps, to see that all works")
    task.add_argument("--no-progress", action="store_true", default=False, help="no progress bar")
    types = {"int": int, "float": float, "str": str}
    defaults = {item.name: (item.default, types[str(item.type)]) for item in fields(AutoencoderConfig)}
    for name, text in _HELP.items():
        default, kind = defaults[name]
        task.add_argument(f"--{name.replace('_', '-')}", type=kind, help=f"{text} (default: {default})")
    task.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Train, then print the result."""
    given = {name: getattr(options, name) for name in _HELP if hasattr(options, name)}
    if options.resume is not None and (given or options.name or options.smoke):
        raise invalid("--resume", "alone", "other options beside it", "leave them away: the run keeps its settings")
    config = AutoencoderConfig(**given)
    config = config.smoke() if options.smoke else config

    from elegans_gnn.training import new_run_folder, print_result, train_autoencoder

    resume = options.resume is not None
    if resume:
        folder, config = options.resume, _config_of(options.resume)
    else:
        folder = new_run_folder(options.runs, options.name, TASK)
    try:
        result = train_autoencoder(config, folder, resume=resume, progress=not options.no_progress)
    except KeyboardInterrupt:
        if (folder / "last.ckpt").is_file():
            print(f"interrupted; go on with: elegans-gnn train {TASK} --resume {folder}", file=sys.stderr)
        raise
    print_result(result)
    return 0


def _config_of(folder: Path) -> AutoencoderConfig:
    """The configuration an interrupted run was started with."""
    path = folder / "config.json"
    remedy = "start the run anew without --resume"
    if not path.is_file() or not (folder / "last.ckpt").is_file():
        raise invalid("--resume", "the folder of a run, with config.json and last.ckpt", folder, remedy)
    try:
        return AutoencoderConfig.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except json.JSONDecodeError as error:
        raise invalid(
            "--resume", "the folder of a run with a readable config.json", f"{path}: {error}", remedy
        ) from error
