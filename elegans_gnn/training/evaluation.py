"""A finished run in use: its figures on a part of its data, and its answers to a user's own pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from elegans_gnn._paths import model_path, or_bundled
from elegans_gnn._text import read_json
from elegans_gnn.datasets import DATA, Images, ImageSource, data_set_of, ink, load_images
from elegans_gnn.errors import invalid, unknown_name
from elegans_gnn.models import from_pretrained
from elegans_gnn.models.pretrained import CLASSES, WEIGHTS
from elegans_gnn.training.checkpoint import open_checkpoint
from elegans_gnn.training.config import TrainingConfig
from elegans_gnn.training.folder import BEST
from elegans_gnn.training.metrics import eight_bit_reconstruction, evaluate_classification, evaluate_reconstruction
from elegans_gnn.training.provenance import TrainedOn, check_unseen, read_training, trained_on
from elegans_gnn.training.settings import Data

PARTS = ("test", "validation")
_BATCH = 200


@dataclass(frozen=True)
class Run:
    """A trained model, and what it was trained on where that is known.

    Args:
        model: ready to use.
        task: ``"autoencoder"`` or ``"classifier"``.
        config: of the run; None for a model that was saved without one.
        trained_on: None for a model that was saved without a run or trained on images passed from Python.
        classes: names of a classifier's classes.
        channels, size: of its images; size 0 for a backbone that was saved without a run and takes any.
    """

    model: nn.Module
    task: str
    config: TrainingConfig | None
    trained_on: TrainedOn | None
    classes: tuple[str, ...]
    channels: int
    size: int


def open_run(path: Path | str) -> Run:
    """A run folder, its ``model`` folder, any folder of `save_pretrained`, a checkpoint, or a bundled model's name.

    Raises:
        ValueError: nothing of that kind, or something damaged; the message names it.
    """
    path = model_path(path)
    if (path / WEIGHTS).is_file():
        model: nn.Module = from_pretrained(path)
        task = "classifier" if hasattr(model, "num_classes") else "autoencoder"
        taken: Any = model
        named = _read_classes(path / CLASSES, taken.num_classes) if task == "classifier" else ()
        return Run(model, task, None, read_training(path), named, taken.in_channels, taken.image_size)
    if not path.is_file() and not (path / BEST).is_file():
        remedy = "give a folder that elegans-gnn train wrote"
        raise invalid("RUN", f"a run folder with best.ckpt, or a model folder{or_bundled()}", path, remedy)
    opened = open_checkpoint(path)
    config, shape = opened.config, opened.shape
    seen, size = trained_on(opened), shape["image_size"]
    return Run(opened.model, config.task, config, seen, opened.classes, shape["in_channels"], size)


def _read_classes(path: Path, count: int) -> tuple[str, ...]:
    if not path.is_file():
        return ()
    expected = f"a model folder with a readable {CLASSES}"
    named = read_json(path, "RUN", expected=expected, remedy="remove it")
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named) or len(named) != count:
        got = f"{path} with {str(named)[:60]}"
        raise invalid("RUN", f"a model folder with a list of {count} names in {CLASSES}", got, "fix or remove it")
    return tuple(named)


def source_of(
    run: Run, *, data: str | None = None, data_dir: str | None = None, fold: int | None = None, part: str = "test"
) -> ImageSource:
    """The data a run was trained on, or the one named instead.

    Args:
        run: an opened one.
        data, data_dir, fold: instead of the run's own, see :func:`elegans_gnn.datasets.load_images`.
        part: the part that will be looked at.

    Raises:
        ValueError: a model without its run, and no data named; or images that the model may have been trained on.
    """
    config, seen = run.config, run.trained_on
    if seen is None and data is None:
        what = "saved without its run" if config is None else "trained on images passed from Python"
        raise invalid("--data", f"given for a model {what}", "none", "pass --data mnist5k, for example")
    own = "" if seen is None else seen.data if config is None else config.data.data
    name = data_set_of(data or own)
    if fold is not None and not DATA[name].folds:
        raise invalid("--fold", "omitted for data without folds", f"{fold} for {name}", "omit it")
    if fold is None:
        fold = seen.fold if seen is not None and seen.fold is not None else 0
    source = load_images(data or own, data_dir or (Data() if config is None else config.data).data_dir, fold)
    if seen is not None:
        check_unseen(seen, name, fold, part)
    return source


def evaluate_run(run: Run, source: ImageSource, part: str = "test") -> dict[str, dict[str, float]]:
    """The figures of a run on one part of its data, by row.

    Returns:
        ``figures``, and for an autoencoder ``figures_8bit`` with the code rounded to eight bits a float.
    """
    if part not in PARTS:
        raise unknown_name("part", part, PARTS)
    images: Images = getattr(source, part)()
    if run.task == "classifier":
        _check_classes(run, source)
        _check_shape(run, images)
        return {"figures": evaluate_classification(run.model, *images, len(source.classes))}
    _check_shape(run, images)
    target = ink(images.pixels)
    known = ink(torch.cat([source.train().pixels, source.validation().pixels]))
    return {
        "figures": evaluate_reconstruction(run.model, target),
        "figures_8bit": evaluate_reconstruction(eight_bit_reconstruction(run.model, known), target),
    }


@torch.no_grad()
def class_probabilities(run: Run, pixels: Tensor) -> Tensor:
    """Probability of each class for each picture, [M, classes]."""
    return torch.cat([torch.softmax(run.model(batch), dim=1) for batch in pixels.split(_BATCH)])


@torch.no_grad()
def reconstructions(run: Run, pixels: Tensor) -> Tensor:
    """Probability of ink in each pixel, redrawn from the code, [M, 1, H, W]."""
    return torch.cat([torch.sigmoid(run.model(ink(batch))) for batch in pixels.split(_BATCH)])


def _check_classes(run: Run, source: ImageSource) -> None:
    model: Any = run.model
    if model.num_classes != len(source.classes):
        got = f"{source.name} with {len(source.classes)}"
        raise invalid("--data", f"data of {model.num_classes} classes", got, "choose the run's own data")


def _check_shape(run: Run, images: Images) -> None:
    channels, height = images.pixels.shape[1:3]
    if run.size and (channels, height) != (run.channels, run.size):
        expected = f"images with {run.channels} channel(s) and {run.size} x {run.size} pixels"
        raise invalid("--data", expected, f"{channels} and {height} x {height}", "choose the run's own data")
