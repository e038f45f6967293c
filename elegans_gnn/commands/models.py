"""`elegans-gnn models`."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from elegans_gnn.commands._table import print_json, print_table
from elegans_gnn.errors import unknown_name

if TYPE_CHECKING:
    from elegans_gnn.connectome import Connectome

_CLASSES = 10
_HEADINGS = ("task", "model", "image", "parameters", "by part", "MFLOP/image", "in the core")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command and its options."""
    parser = subparsers.add_parser(
        "models",
        help="list all models: parameters by part, operations per image",
        description="List all models, ours and the baselines, with their default sizes: "
        "parameters by part, floating point operations of one pass over one image (a multiplication and an addition "
        "each), and the shares of both that belong to the synapses and neurons of the core.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--task", default=None, help="autoencoder or classifier; both if not given")
    parser.add_argument(
        "--connectome",
        default="varshney2011",
        help="for the models that use one: a name (see `elegans-gnn connectome list`), or a path to GraphML or CSV",
    )
    parser.add_argument(
        "--graph", default="original", help="original, or a random graph like it; a wrong name lists them"
    )
    parser.add_argument("--graph-seed", type=int, default=0, help="seed of the random graph")
    parser.add_argument(
        "--core", default="message-passing", help="for the models that have a core; a wrong name lists all"
    )
    parser.add_argument("--image-size", type=int, default=28, help="height and width of the classifiers' images")
    parser.add_argument(
        "--in-channels", type=int, default=1, help="channels of the classifiers' images: 1 for grey, 3 for colours"
    )
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Build every model once and print its sizes."""
    from elegans_gnn.graphs import open_graph
    from elegans_gnn.models import MODELS

    if options.task not in (None, *MODELS):
        raise unknown_name("task", options.task, MODELS)
    tasks = list(MODELS) if options.task is None else [options.task]
    names = [(task, name) for task in tasks for name in MODELS[task]]
    where = {"argument": "--connectome", "graph_argument": "--graph"}
    graph = open_graph(options.connectome, options.graph, options.graph_seed, **where)
    rows = [_row(task, name, graph, options) for task, name in names]
    if options.json:
        print_json(rows)
    else:
        print_table(
            "models at their default sizes", _HEADINGS, map(_cells, rows), numbers=(3, 5, 6), whole=(0, 1, 2, 3, 5, 6)
        )
    return 0


def _row(task: str, name: str, graph: Connectome, options: argparse.Namespace) -> dict[str, Any]:
    """The sizes of one model."""
    from elegans_gnn.models import MODELS, build_model, count_flops, parameters, uses_connectome

    arguments: dict[str, Any] = {}
    if task == "classifier":
        sizes = {"image_size": options.image_size, "in_channels": options.in_channels}
        arguments = {"num_classes": _CLASSES, **sizes}
    wired = uses_connectome(task, name)
    if "core" in MODELS[task][name].options():
        arguments["core"] = options.core
    model: Any = build_model(task, name, connectome=graph if wired else None, **arguments)
    image = (1, model.in_channels, model.image_size, model.image_size)
    total, flops = parameters(model), count_flops(model, *image)
    inside = wired and {
        "parameters": sum(parameters(getattr(model, part)) for part in model.WIRED) / total,
        "flops": sum(count_flops(model, *image, part=part) for part in model.WIRED) / flops,
    }
    return {
        "task": task,
        "model": name,
        "connectome": graph.name if wired else None,
        "core": arguments.get("core"),
        "image": list(image[1:]),
        "parameters": total,
        "trainable": parameters(model, trainable=True),
        "parts": model.parameters_by_part(),
        "flops": flops,
        "in_core": inside or None,
    }


def _cells(row: dict[str, Any]) -> list[str]:
    """One line of the table."""
    about = ", ".join(row[key] for key in ("connectome", "core") if row[key] is not None)
    name = f"{row['model']} ({about})" if about else row["model"]
    inside = row["in_core"] and f"{row['in_core']['parameters']:.0%}, {row['in_core']['flops']:.0%} of FLOP"
    parts = ", ".join(f"{part} {count:,}" for part, count in row["parts"].items())
    image = " x ".join(map(str, row["image"]))
    return [row["task"], name, image, f"{row['parameters']:,}", parts, f"{row['flops'] / 1e6:,.2f}", inside or ""]
