"""Which images a model was trained on, and which it can therefore not be tested on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from elegans_gnn.datasets import DATA_SETS, data_set_of
from elegans_gnn.errors import invalid
from elegans_gnn.models.pretrained import TRAINING
from elegans_gnn.training.load import Checkpoint


class TrainedOn(NamedTuple):
    """A name of :data:`elegans_gnn.datasets.DATA_SETS`, and of the folded digits the fold."""

    data: str
    fold: int | None = None


def trained_on(checkpoint: Checkpoint) -> TrainedOn | None:
    """What a checkpoint was trained on; None where the images were handed over, since a name says nothing of them."""
    if checkpoint.own_images:
        return None
    config = checkpoint.config
    name = data_set_of(config.data)
    return TrainedOn(name, getattr(config, "fold", 0) if name == "digits" else None)


def write_training(seen: TrainedOn, folder: Path) -> None:
    """Leave the note beside a saved model."""
    plain = {name: value for name, value in seen._asdict().items() if value is not None}
    (folder / TRAINING).write_text(json.dumps(plain) + "\n", encoding="utf-8")


def read_training(folder: Path) -> TrainedOn | None:
    """The note beside a saved model; None where there is none.

    Raises:
        ValueError: something else in its place.
    """
    path = folder / TRAINING
    if not path.is_file():
        return None
    plain = read_plain_json(path)
    data, fold = (plain.get("data"), plain.get("fold")) if isinstance(plain, dict) else (None, None)
    known = isinstance(data, str) and data in DATA_SETS
    if not known or (type(fold) is not int if data == "digits" else fold is not None):
        expected = f"a model folder whose {TRAINING} names a data set, and of digits the fold"
        raise invalid("RUN", expected, f"{path} with {str(plain)[:80]}", "mend it, or remove it and pass --data")
    return TrainedOn(str(data), fold)


def read_plain_json(path: Path) -> Any:
    """What a small file of a model folder holds.

    Raises:
        ValueError: it is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise invalid("RUN", f"a model folder with a readable {path.name}", f"{path}: {error}", "remove it") from error


def check_unseen(seen: TrainedOn, name: str, fold: int, part: str) -> None:
    """Refuse a part of a data set that shares images with what a model was trained on.

    Args:
        seen: by the model.
        name, fold, part: of the images it is to be tested on.

    Raises:
        ValueError: they overlap, or may.
    """
    if seen.data == name == "digits" and fold != seen.fold:
        expected = f"{seen.fold}, the run's own, since the model was trained on images of the other folds"
        raise invalid("--fold", expected, fold, "leave it away")
    # The digits of mnist5k are some of MNIST's; those of MNIST's test part are not among them.
    if (seen.data, name) == ("mnist", "mnist5k") or (seen.data, name, part) == ("mnist5k", "mnist", "validation"):
        remedy = "use --data mnist" if seen.data == "mnist" else "use its test part"
        expected = f"images that a model trained on {seen.data} has not seen"
        raise invalid("--data", expected, f"{name}, {part}: some may be the same", remedy)
