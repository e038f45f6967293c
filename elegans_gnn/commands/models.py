"""`elegans-gnn models`."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elegans_gnn.connectome import Connectome

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
    parser.add_argument(
        "--connectome",
        default="varshney2011",
        help="of the models that have one: a name, see `elegans-gnn connectome list`, or a path to GraphML or CSV",
    )
    parser.add_argument(
        "--graph", default="original", help="original, or a random graph like it; a wrong name lists them"
    )
    parser.add_argument("--graph-seed", type=int, default=0, help="of the random graph")
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
    names = [(task, name) for task in tasks for name in models_of(task)]
    graph = _graph(options)
    rows = [_row(task, name, graph, options) for task, name in names]
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        _print(rows)
    return 0


def _graph(options: argparse.Namespace) -> Connectome:
    """The wiring diagram, or the random graph drawn like it."""
    from elegans_gnn.graphs import open_graph

    arguments = {"argument": "--connectome", "graph_argument": "--graph"}
    return open_graph(options.connectome, options.graph, options.graph_seed, **arguments)


def _row(task: str, name: str, graph: Connectome, options: argparse.Namespace) -> dict[str, Any]:
    """The sizes of one model."""
    from elegans_gnn.models import build_model, count_flops, parameters, uses_connectome

    arguments: dict[str, Any] = {}
    if task == "classifier":
        sizes = {"image_size": options.image_size, "in_channels": options.in_channels}
        arguments = {"num_classes": _CLASSES, **sizes}
    wired = uses_connectome(task, name)
    if wired:
        arguments["core"] = options.core
    model = build_model(task, name, connectome=graph if wired else None, **arguments)
    return {
        "task": task,
        "model": name,
        "connectome": graph.name if wired else None,
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
