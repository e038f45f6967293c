"""`elegans-gnn connectome list | show | compare | export | random`."""

from __future__ import annotations

import argparse
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from elegans_gnn.commands._table import print_json, print_table
from elegans_gnn.errors import invalid

if TYPE_CHECKING:
    from elegans_gnn.connectome import Connectome

_NAME_HELP = (
    "a bundled connectome, see `connectome list`, or a path: .graphml, .csv, .parquet, .json, a folder of two CSV"
)
_FILE_HELP = "a .graphml or .xml file, or a folder for neurons.csv and synapses.csv"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command and its options."""
    parser = subparsers.add_parser(
        "connectome",
        help="show, compare, export and randomise wiring diagrams",
        description="Show, compare, export and randomise wiring diagrams.",
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    lister = actions.add_parser("list", help="list the wiring diagrams in the package")
    lister.set_defaults(run=run_list)

    show = actions.add_parser("show", help="show the statistics of one connectome")
    show.add_argument("name", metavar="NAME", help=_NAME_HELP)
    show.set_defaults(run=run_show)

    compare = actions.add_parser("compare", help="show the differences between two connectomes")
    compare.add_argument("a", metavar="A", help=_NAME_HELP)
    compare.add_argument("b", metavar="B", help=_NAME_HELP)
    compare.add_argument("--match", action="store_true", help="compare statistics instead of neurons and edges")
    compare.set_defaults(run=run_compare)

    export = actions.add_parser("export", help="write a connectome to a file")
    export.add_argument("name", metavar="NAME", help=_NAME_HELP)
    export.add_argument("file", metavar="FILE", type=Path, help=_FILE_HELP)
    _add_file_options(export)
    export.set_defaults(run=run_export)

    random = actions.add_parser("random", help="draw a random graph that matches a connectome")
    random.add_argument("model", metavar="MODEL", help="such as watts-strogatz; an unknown name lists all")
    random.add_argument("--like", metavar="NAME", required=True, help=_NAME_HELP)
    random.add_argument("--seed", type=int, required=True, help="the same seed gives the same graph everywhere")
    random.add_argument("--p", type=float, help="rewiring probability (watts-strogatz, rewired)")
    random.add_argument("--swaps", type=float, help="swaps tried per link (models that swap links)")
    random.add_argument("--out", metavar="FILE", type=Path, help="write the graph: " + _FILE_HELP)
    _add_file_options(random)
    random.set_defaults(run=run_random)

    for action in (lister, show, compare, export, random):
        action.add_argument("--json", action="store_true", help="machine-readable output")
    for action in (show, compare, export, random):
        action.add_argument("--layers", metavar="LAYER", nargs="+", default=[], help="add extrasynaptic layers")
        action.add_argument("--include-unwired", action="store_true", help="keep the listed neurons without a synapse")
        action.add_argument("--max-bytes", type=int, help="read files larger than 8 MiB, up to this size")


def _add_file_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--style", default="plain", help="the GraphML style: plain (default), or elegans-ai for the published code"
    )
    parser.add_argument("--force", action="store_true", help="overwrite existing files")


def run_list(options: argparse.Namespace) -> int:
    """Name, animal, size and paper of all bundled connectomes and layers."""
    from elegans_gnn.connectome import dataset_table, layer_table

    if options.json:
        print_json({"connectomes": dataset_table(), "layers": layer_table()})
        return 0
    rows = []
    for name, about in dataset_table().items():
        counts = about["counts"]
        size = [f"{counts[key]:,}" for key in ("wired", "listed", "chemical", "gap")]
        rows.append([name, about["sex"], about["stage"], *size, about["doi"]])
    head = ["name", "sex", "stage", "neurons", "listed", "chemical", "gap", "doi"]
    print_table("connectomes", head, rows, numbers=(3, 4, 5, 6))
    layers = [
        [name, about["title"], f"{about['counts'][name]:,}", about["doi"]] for name, about in layer_table().items()
    ]
    print_table("layers (--layers)", ["name", "what", "entries", "doi"], layers, numbers=(2,))
    return 0


def run_show(options: argparse.Namespace) -> int:
    """The figures of :func:`elegans_gnn.graphs.summary`, and the source of the data."""
    from elegans_gnn.graphs import summary

    graph = _open(options.name, options)
    page = summary(graph).to_dict()
    if options.json:
        print_json({**page, "source": graph.source, "fingerprint": graph.fingerprint})
        return 0
    rows = [[key, _figure(value)] for key, value in page["values"].items()]
    print_table(graph.name, ["quantity", "value"], rows, numbers=(1,))
    if graph.source:
        print(f"source: {graph.source}")
    return 0


def run_compare(options: argparse.Namespace) -> int:
    """Neuron by neuron and edge by edge; with --match, statistic by statistic."""
    a, b = _open(options.a, options), _open(options.b, options)
    if options.match:
        return _print_match(a, b, options)
    found = a.diff(b)
    if options.json:
        print_json(found.to_dict())
    else:
        print(found)
    return 0


def run_export(options: argparse.Namespace) -> int:
    """Write a connectome to a file."""
    graph = _open(options.name, options)
    _write(graph, options.file, options)
    if options.json:
        print_json({"file": str(options.file), "name": graph.name, "fingerprint": graph.fingerprint})
    else:
        print(f"{options.file}: {graph}")
    return 0


def run_random(options: argparse.Namespace) -> int:
    """Draw a graph, compare it with its original, and write it to a file if `--out` is given."""
    from elegans_gnn.graphs import NullModelWarning, random_connectome

    like = _open(options.like, options)
    chosen = {key: getattr(options, key) for key in ("p", "swaps") if getattr(options, key) is not None}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", NullModelWarning)
        graph = random_connectome(options.model, like=like, seed=options.seed, **chosen)
    for warning in caught:
        print(f"elegans-gnn: warning: {warning.message}", file=sys.stderr)
    if options.out is not None:
        _write(graph, options.out, options)
    return _print_match(like, graph, options)


def _open(name: str, options: argparse.Namespace) -> Connectome:
    """A connectome by its name, or from a path, with the options of the command."""
    from elegans_gnn.connectome import load_connectome

    limit = {} if options.max_bytes is None else {"max_bytes": options.max_bytes}
    chosen = {"include_unwired": options.include_unwired, "layers": options.layers}
    return load_connectome(name, argument="NAME", **chosen, **limit)


def _write(graph: Connectome, path: Path, options: argparse.Namespace) -> None:
    from elegans_gnn.connectome import write_connectome

    occupied = any(path.iterdir()) if path.is_dir() else path.exists()
    if occupied and not options.force:
        raise invalid("FILE", "new", f"{path}, which exists", "choose another or pass --force")
    try:
        write_connectome(graph, path, style=options.style)
    except OSError as error:
        raise invalid("FILE", "writable", f"{path}: {error.strerror}", "choose another") from error


def _print_match(a: Connectome, b: Connectome, options: argparse.Namespace) -> int:
    from elegans_gnn.graphs import match_report

    report = match_report(a, b)
    if options.json:
        print_json({**report.to_dict(), "fingerprint": b.fingerprint})
        return 0
    rows = [[row.scope, row.quantity, f"{row.a:,}", f"{row.b:,}", "" if row.same else "differs"] for row in report.rows]
    print_table(f"{report.a} | {report.b}", ["scope", "quantity", "a", "b", ""], rows, numbers=(2, 3))
    return 0


def _figure(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
