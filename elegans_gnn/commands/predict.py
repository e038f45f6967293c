"""`elegans-gnn predict RUN IMAGES...`."""

from __future__ import annotations

import argparse
import csv
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from elegans_gnn.commands.evaluate import RUN_HELP
from elegans_gnn.errors import invalid

if TYPE_CHECKING:
    from torch import Tensor

    from elegans_gnn.training.evaluation import Run


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command and its options."""
    parser = subparsers.add_parser(
        "predict",
        help="a trained model's answers to your own pictures",
        description="Name the class of each picture (classifiers), or redraw each from its code (autoencoders).",
        epilog="  elegans-gnn predict runs/mnist-classifier-001 one.png two.png\n"
        "  elegans-gnn predict runs/mnist-classifier-001 many.csv --out classes.csv\n"
        "  elegans-gnn predict runs/mnist-autoencoder-001 one.png --out redrawn",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("path", metavar="RUN", type=Path, help=RUN_HELP)
    add(
        "images", metavar="IMAGES", type=Path, nargs="+", help="PNG files, or CSV files with one picture's pixels a row"
    )
    add("--out", metavar="PATH", type=Path, help="a new CSV file (classifiers) or a new folder for PNGs (autoencoders)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Read everything, answer, and only then write."""
    from elegans_gnn.datasets import read_images
    from elegans_gnn.training.evaluation import open_run

    out: Path | None = options.out
    if out is not None and out.exists():
        raise invalid("--out", "new", f"{out}, which exists", "choose another")
    opened = open_run(options.path)
    if not opened.size:
        remedy = "give the run's folder, which knows the size of its images"
        raise invalid("RUN", "a model that takes pictures of one size", f"{options.path}, which takes any", remedy)
    names, pixels = read_images(options.images, opened.channels, opened.size)
    if opened.task == "classifier":
        return _classes(opened, names, pixels, out)
    return _redrawn(opened, names, pixels, out)


def _classes(opened: Run, names: list[str], pixels: Tensor, out: Path | None) -> int:
    from elegans_gnn.training.evaluation import class_probabilities

    probability, label = class_probabilities(opened, pixels).max(dim=1)
    called = [opened.classes[number] if opened.classes else str(number) for number in label.tolist()]
    rows = list(zip(names, called, probability.tolist(), strict=True))
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        with open(out, "x", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["image", "class", "probability"])
            writer.writerows((name, kind, f"{share:.6f}") for name, kind, share in rows)
        print(f"{len(rows)} rows in {out}")
        return 0

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table()
    for heading, side in (("image", "left"), ("class", "left"), ("probability", "right")):
        table.add_column(heading, justify="right" if side == "right" else "left")
    for name, kind, share in rows:
        table.add_row(Text(name), Text(kind), f"{share:.4f}")
    Console(width=None if sys.stdout.isatty() else 120).print(table)
    return 0


def _redrawn(opened: Run, names: list[str], pixels: Tensor, out: Path | None) -> int:
    from elegans_gnn.datasets import write_images
    from elegans_gnn.training.evaluation import reconstructions

    if out is None:
        raise invalid("--out", "a new folder for the pictures an autoencoder draws", "none", "pass --out redrawn")
    written = write_images(reconstructions(opened, pixels), names, out)
    print(f"{len(written)} pictures in {out}")
    return 0
