"""Trains a small classifier and records the loss of every step; started once for each process by the tests."""

from __future__ import annotations

import json
import signal
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


class Press(Callback):
    """Ctrl-C in the last process alone, in the middle of the step after so many."""

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def on_after_backward(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.global_step == self.steps and trainer.global_rank == trainer.world_size - 1:
            signal.raise_signal(signal.SIGINT)


def source() -> ImageSource:
    """The first 8 x 8 digits."""
    whole = load_small_digits()
    train, rest = Images(*(c[:160] for c in whole.train())), Images(*(c[:61] for c in whole.validation()))
    return ImageSource("small", lambda: train, lambda: rest, lambda: rest)


def trained(
    folder: Path, devices: int, stop: int | None = None, resume: bool = False
) -> tuple[ClassifierResult, list[float]]:
    """A short run with everything switched on that could differ between one process and two.

    Args:
        folder: of the run.
        devices: processes.
        stop: steps before Ctrl-C, None for a whole run.
        resume: go on with the run in the folder.
    """
    config = ClassifierConfig(
        steps=12, batch_size=32, validate_every=6, warmup=2, width=16, threads=1, augment="strong", clip=1.0,
        devices=devices,
    )  # fmt: skip
    losses = Losses()
    callbacks = (losses,) if stop is None else (losses, Press(stop))
    result = train_classifier(config, folder, source=source(), resume=resume, progress=False, callbacks=callbacks)
    return result, losses.seen


if __name__ == "__main__":
    folder, report, *told = sys.argv[1:]
    stop = int(told[1]) if told[:1] == ["stop"] else None
    found, seen = trained(Path(folder), 2, stop, resume=told == ["resume"])
    Path(report).write_text(json.dumps({"losses": seen, "test": found.test, "validation": found.validation}))
