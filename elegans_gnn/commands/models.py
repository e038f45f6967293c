"""`elegans-gnn models`."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

_CLASSES = 10
_PIPE_WIDTH = 160


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command and its options."""
    parser = subparsers.add_parser(
        "models",
        help="all models: parameters by part, operations per image",
        description="All models that can be trained here, ours and the baselines, with the sizes they have by default: "
        "parameters by part, and floating point operations of one pass over one image (a multiplication and an "
        "addition each).",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--task", default=None, help="autoencoder or classifier; both if not given")
    parser.add_argument("--connectome", default="varshney2011", help="wiring diagram of the models that have one")
    parser.add_argument("--core", default="message-passing", help="what stands in its place; a wrong name lists them")
    parser.add_argument("--image-size", type=int, default=28, help="height and width of the classifiers' images")
    parser.add_argument(
        "--in-channels", type=int, default=1, help="of the classifiers' images: 1 for grey, 3 for colours"
    )
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Build every model once and print its sizes."""
    from elegans_gnn.models import MODELS
    from elegans_gnn.models.registry import models_of

    tasks = list(MODELS) if options.task is None else [options.task]
    rows = [_row(task, name, options) for task in tasks for name in models_of(task)]
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        _print(rows)
    return 0


def _row(task: str, name: str, options: argparse.Namespace) -> dict[str, Any]:
    """The sizes of one model."""
    from elegans_gnn.connectome import load_connectome
    from elegans_gnn.models import build_model, count_flops, parameters, uses_connectome

    arguments: dict[str, Any] = {}
    if task == "classifier":
        sizes = {"image_size": options.image_size, "in_channels": options.in_channels}
        arguments = {"num_classes": _CLASSES, **sizes}
    graph = None
    if uses_connectome(task, name):
        graph, arguments["core"] = load_connectome(options.connectome), options.core
    model = build_model(task, name, connectome=graph, **arguments)
    return {
        "task": task,
        "model": name,
        "connectome": None if graph is None else graph.name,
        "core": arguments.get("core"),
        "image": [model.in_channels, model.image_size, model.image_size],
        "parameters": parameters(model),
        "trainable": parameters(model, trainable=True),
        "parts": model.parameters_by_part(),
        "flops": count_flops(model, 1, model.in_channels, model.image_size, model.image_size),
    }


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Into a pipe or a file Rich would fold lines at 80 columns.
    console = Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH)
    table = Table(title=Text("models at their default sizes"), title_justify="left", box=SIMPLE_HEAD)
    for label in ("task", "model", "image", "parameters", "by part", "MFLOP/image"):
        right = label in ("parameters", "MFLOP/image")
        table.add_column(label, justify="right" if right else "left", no_wrap=label != "by part")
    for row in rows:
        name = row["model"] if row["core"] is None else f"{row['model']} ({row['connectome']}, {row['core']})"
        parts = ", ".join(f"{part} {count:,}" for part, count in row["parts"].items())
        image = " x ".join(map(str, row["image"]))
        flops = f"{row['flops'] / 1e6:,.2f}"
        table.add_row(*map(Text, (row["task"], name, image, f"{row['parameters']:,}", parts, flops)))
    console.print(table)
