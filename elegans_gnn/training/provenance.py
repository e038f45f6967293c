"""Which images a model was trained on, and which it can therefore not be tested on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from elegans_gnn._text import read_json, write_json
from elegans_gnn.datasets import DATA, data_set_of, may_overlap
from elegans_gnn.errors import invalid
from elegans_gnn.models.pretrained import TRAINING
from elegans_gnn.training.checkpoint import Checkpoint


class TrainedOn(NamedTuple):
    """A name of :data:`elegans_gnn.datasets.DATA`, and the fold where the data set has folds."""

    data: str
    fold: int | None = None


def trained_on(checkpoint: Checkpoint) -> TrainedOn | None:
    """What a checkpoint was trained on; None where the images were passed from Python."""
    if checkpoint.own_images:
        return None
    chosen = checkpoint.config.data
    name = data_set_of(chosen.data)
    return TrainedOn(name, chosen.fold if DATA[name].folds else None)


def write_training(seen: TrainedOn, folder: Path) -> None:
    """Write the note of a saved model."""
    write_json(folder / TRAINING, {name: value for name, value in seen._asdict().items() if value is not None})


def read_training(folder: Path) -> TrainedOn | None:
    """The note of a saved model; None where there is none.

    Raises:
        ValueError: something else in its place.
    """
    path = folder / TRAINING
    if not path.is_file():
        return None
    expected = f"a model folder with a readable {TRAINING}"
    plain = read_json(path, "RUN", expected=expected, remedy="remove it")
    data, fold = (plain.get("data"), plain.get("fold")) if isinstance(plain, dict) else (None, None)
    known = isinstance(data, str) and data in DATA
    if not known or (type(fold) is not int if DATA[str(data)].folds else fold is not None):
        expected = f"a model folder whose {TRAINING} names a data set, and the fold if it has folds"
        raise invalid("RUN", expected, f"{path} with {str(plain)[:80]}", "fix it, or remove it and pass --data")
    return TrainedOn(str(data), fold)


def check_unseen(seen: TrainedOn, name: str, fold: int, part: str) -> None:
    """Refuse a part of a data set that shares images with what a model was trained on.

    Args:
        seen: by the model.
        name, fold, part: of the images it is to be tested on.

    Raises:
        ValueError: they overlap, or may.
    """
    why = may_overlap(seen.data, seen.fold, name, fold, part)
    if why and seen.data == name:
        raise invalid("--fold", f"{seen.fold}, the run's own, since {why}", fold, "omit it")
    if why:
        free = may_overlap(seen.data, seen.fold, name, fold, "test") is None
        remedy = "use its test part" if free else f"use --data {seen.data}"
        expected = f"images that a model trained on {seen.data} has not seen"
        raise invalid("--data", expected, f"{name}, {part}: {why}", remedy)
