"""`elegans-gnn predict RUN IMAGES...`."""

from __future__ import annotations

import argparse
import csv
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from elegans_gnn.commands._table import print_table
from elegans_gnn.commands.evaluate import run_help
from elegans_gnn.errors import invalid

if TYPE_CHECKING:
    from torch import Tensor

    from elegans_gnn.training.evaluation import Run


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command and its options."""
    parser = subparsers.add_parser(
        "predict",
        help="classify or reconstruct your own pictures",
        description="Classify each picture (classifiers), or reconstruct each from its code (autoencoders).\n\n"
        "IMAGES are pictures (PNG and others) of the size the model was trained on, with 8 bits a channel (grey: or\n"
        "16), a folder of pictures, - for one picture from standard input, or CSV files (.tsv: with tabs) with one\n"
        "picture per row: its pixels line by line, numbers from 0 to white. Colours become grey for a model of grey\n"
        "images, and grey becomes colour for a model of colours. --white gives the number of white; without it, white\n"
        "is 1 in a file without larger numbers and 255 in a file with numbers above 16; a file in between is refused.\n"
        "Digits and clothes must be light on dark, as in the training images. Existing files are never overwritten.",
        epilog="examples:\n"
        "  elegans-gnn predict runs/mnist-classifier-001 one.png two.png           # a table on the screen\n"
        "  elegans-gnn predict runs/mnist-classifier-001 folder/                   # all pictures in a folder\n"
        "  elegans-gnn predict runs/mnist-classifier-001 - < one.png\n"
        "  elegans-gnn predict runs/mnist-classifier-001 many.csv --out classes.csv\n"
        "  elegans-gnn predict runs/digits-classifier-001 digits.csv --white 16    # scikit-learn's digits, 0 to 16\n"
        "  elegans-gnn predict runs/cifar10-classifier-001/model one.png --image-size 32   # trained on a backbone\n"
        "  elegans-gnn predict runs/mnist-autoencoder-001 one.png --out redrawn.png\n"
        "  elegans-gnn predict runs/mnist-autoencoder-001 many.csv --out redrawn    # a folder with a PNG for each",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("path", metavar="RUN", type=Path, help=run_help())
    add("images", metavar="IMAGES", type=Path, nargs="+", help="pictures, folders, CSV files, or -")
    add(
        "--out",
        metavar="PATH",
        type=Path,
        help="new: a CSV file (classifiers); a folder, or for one picture a PNG file (autoencoders; default: redrawn)",
    )
    add("--white", metavar="NUMBER", type=float, help="the number of white in the CSV files, such as 255, 16 or 1")
    add(
        "--image-size",
        metavar="PIXELS",
        type=int,
        help="height and width of IMAGES, for the model folder of a backbone that takes any size",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Read everything, answer, and only then write."""
    from elegans_gnn.datasets import read_images
    from elegans_gnn.training.evaluation import open_run

    out: Path | None = options.out
    if out is not None and os.path.lexists(out):
        raise invalid("--out", "new", f"{out}, which exists", "choose another")
    opened = open_run(options.path)
    if opened.task == "classifier" and out is not None and out.suffix.lower() != ".csv":
        raise invalid("--out", "a CSV file for the classes", out, f"pass --out {out.with_suffix('.csv')}")
    size = _size_of(opened, options)
    with _files(options.images) as files:
        names, pixels = read_images(files, _channels_of(opened), size, options.white)
    if opened.task == "classifier":
        return _classes(opened, names, pixels, out)
    if out is None:
        out = _free_place("redrawn", ".png" if len(names) == 1 else "")
    _check_pictures(out, len(names))
    return _redrawn(opened, names, pixels, out)


@contextmanager
def _files(images: list[Path]) -> Iterator[list[Path]]:
    """The files behind the arguments: those of folders in the order of their names, and standard input as one file."""
    from elegans_gnn.datasets import PICTURE_ENDINGS

    with tempfile.TemporaryDirectory() as aside:
        files: list[Path] = []
        for path in images:
            if path.is_dir():
                inside = sorted(item for item in path.iterdir() if item.suffix.lower() in PICTURE_ENDINGS)
                if not inside:
                    endings = ", ".join(PICTURE_ENDINGS)
                    raise invalid("IMAGES", f"a folder with pictures ({endings})", path, "give the files themselves")
                files += inside
            elif str(path) == "-":
                files.append(Path(aside) / "stdin")
                files[-1].write_bytes(sys.stdin.buffer.read())
            else:
                files.append(path)
        yield files


def _free_place(stem: str, suffix: str) -> Path:
    """The first of stem, stem-2, stem-3, ... that does not exist in the current folder."""
    place, number = Path(stem + suffix), 1
    while os.path.lexists(place):
        number += 1
        place = Path(f"{stem}-{number}{suffix}")
    return place


def _size_of(opened: Run, options: argparse.Namespace) -> int:
    """Height and width of the model's images, or what the user says of a model that takes any."""
    size: int | None = options.image_size
    if opened.size:
        if size not in (None, opened.size):
            raise invalid("--image-size", f"{opened.size}, the size of this model's images", size, "omit it")
        return opened.size
    if size is None:
        remedy = "pass --image-size, or give the run's folder, which knows it"
        raise invalid("RUN", "a model that knows the size of its images", f"{options.path}, which takes any", remedy)
    if size < 1:
        raise invalid("--image-size", ">= 1", size, "pass the size of the images the model was trained on")
    return size


def _channels_of(opened: Run) -> int:
    """Channels of the model's images; 0 for a backbone without its run, which takes grey for three colours."""
    from elegans_gnn.models import BackboneClassifier

    return 0 if opened.config is None and isinstance(opened.model, BackboneClassifier) else opened.channels


def _check_pictures(out: Path, count: int) -> None:
    """Refuse what is neither a folder nor, for a single picture, a PNG file."""
    from elegans_gnn.datasets import PICTURE_ENDINGS, TABLE_ENDINGS

    suffix = out.suffix.lower()
    if suffix in (*PICTURE_ENDINGS, *TABLE_ENDINGS) and not (suffix == ".png" and count == 1):
        got = f"{out} for {count} picture{'' if count == 1 else 's'}"
        remedy = f"pass --out {out.with_suffix('' if count > 1 else '.png')}"
        raise invalid("--out", "a new folder, or a PNG file for one picture", got, remedy)


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Turn what the file system refuses into one line."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        said = f"{out}: {error.strerror or error}"
        raise invalid("--out", "a place that can be written", said, "choose another") from error


def _classes(opened: Run, names: list[str], pixels: Tensor, out: Path | None) -> int:
    from elegans_gnn.training.evaluation import class_probabilities

    try:
        probability, label = class_probabilities(opened, pixels).max(dim=1)
    except RuntimeError as error:
        if opened.size:
            raise
        # What a foreign network says of images it was not made for.
        got = f"{pixels.shape[-1]} ({' '.join(str(error).split())[:120]})"
        remedy = "pass the size of the images it was trained on"
        raise invalid("--image-size", "a size that the model's backbone takes", got, remedy) from error
    called = [opened.classes[number] if opened.classes else str(number) for number in label.tolist()]
    rows = list(zip(names, called, probability.tolist(), strict=True))
    if out is not None:
        with _writing(out), open(out, "x", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["image", "class", "probability"])
            writer.writerows((name, kind, f"{share:.6f}") for name, kind, share in rows)
        print(f"{len(rows)} rows in {out}")
        return 0

    cells = [(name, kind, f"{share:.4f}") for name, kind, share in rows]
    print_table("", ("image", "class", "probability"), cells, numbers=(2,))
    return 0


def _redrawn(opened: Run, names: list[str], pixels: Tensor, out: Path) -> int:
    from elegans_gnn.datasets import write_image, write_images
    from elegans_gnn.training.evaluation import reconstructions

    drawn = reconstructions(opened, pixels)
    with _writing(out):
        if out.suffix.lower() == ".png":
            write_image(drawn[0, 0], out)
        else:
            write_images(drawn, names, out)
    print(f"{len(drawn)} picture{'' if len(drawn) == 1 else 's'} in {out}")
    return 0
