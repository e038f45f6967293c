"""Trains a small classifier and records the loss of every step; started once for each process by the tests."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import Callback

from elegans_gnn.datasets import Images, ImageSource, load_small_digits
from elegans_gnn.training import ClassifierConfig, ClassifierResult, train_classifier


class Losses(Callback):
    """The mean loss over all processes, step by step."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        self.seen.append(float(trainer.callback_metrics["train/loss"]))


def source() -> ImageSource:
    """The first 8 x 8 digits."""
    whole = load_small_digits()
    train, rest = Images(*(c[:160] for c in whole.train())), Images(*(c[:61] for c in whole.validation()))
    return ImageSource("small", lambda: train, lambda: rest, lambda: rest)


def trained(folder: Path, devices: int, steps: int = 12) -> tuple[ClassifierResult, list[float]]:
    """A short run with everything switched on that could differ between one process and two."""
    config = ClassifierConfig(
        steps=steps, batch_size=32, validate_every=6, warmup=2, width=16, threads=1, augment="strong", clip=1.0,
        devices=devices,
    )  # fmt: skip
    losses = Losses()
    result = train_classifier(config, folder, source=source(), progress=False, callbacks=(losses,))
    return result, losses.seen


if __name__ == "__main__":
    found, seen = trained(Path(sys.argv[1]), 2)
    Path(sys.argv[2]).write_text(json.dumps({"losses": seen, "test": found.test, "validation": found.validation}))
