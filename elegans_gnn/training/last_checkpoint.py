"""What makes a run resumable: last.ckpt, written only between steps, and a Ctrl-C that waits for such a moment."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint


class LastCheckpoint(Checkpoint):
    """Writes last.ckpt at the start, at every validation and when training breaks off; whole or not at all.

    As a Checkpoint it comes after the other callbacks, and after the one that keeps the best weights if it follows
    that one in the list: last.ckpt then knows which weights were the best so far.

    In the middle of a step Lightning's counters and the weights belong to different steps: after an interruption there
    nothing is written, and the file from before is the one to resume from.

    An interruption while a run starts or its state is restored leaves the file as it is, too.

    It also counts the seconds of training up to the last file, over all interruptions.

    Args:
        path: of the file.
        interval: steps between validations.
    """

    def __init__(self, path: Path, interval: int) -> None:
        self.path, self.interval = path, interval
        self.validated = 0
        self.asked_to_stop = False
        self.seconds = self._before = 0.0
        self._started: float | None = None

    def state_dict(self) -> dict[str, float]:
        return {"seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.seconds = self._before = state_dict["seconds"]

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """What ModelCheckpoint wrote of its files holds for the folder they are in now; else it forgets the best."""
        states = checkpoint["callbacks"]
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.state_key in states:
                states[callback.state_key] = _moved(states[callback.state_key], Path(str(callback.dirpath)))

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._started = time.perf_counter()
        self.validated = trainer.global_step
        if not trainer.global_step:
            self._save(trainer)

    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        if self._stopping(trainer) and not self._validation_due(trainer):
            raise KeyboardInterrupt

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.validated = trainer.global_step
        self._save(trainer)
        if self._stopping(trainer):
            raise KeyboardInterrupt

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        if self._started is None:
            return  # the model is not yet that of the run
        if trainer.world_size > 1 and not self.asked_to_stop:
            return  # the other processes are not here to save with
        batches: Any = trainer.fit_loop.epoch_loop.batch_progress.current
        in_a_step = batches.ready != batches.processed
        # Lightning would take a validation broken off here for done; the file before it leads back to it.
        if self.path.exists() and not in_a_step and not self._validation_due(trainer):
            self._save(trainer)

    @contextmanager
    def catching_ctrl_c(self) -> Iterator[None]:
        """The first Ctrl-C stops training after the step and the validation due then, the second one at once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def ask(number: int, frame: FrameType | None) -> None:
            if self.asked_to_stop:
                raise KeyboardInterrupt
            self.asked_to_stop = True

        before = signal.signal(signal.SIGINT, ask)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)

    def _stopping(self, trainer: L.Trainer) -> bool:
        """Whether any process was asked to stop: all leave after the same step."""
        if trainer.world_size > 1:
            self.asked_to_stop = trainer.strategy.reduce_boolean_decision(self.asked_to_stop, all=False)
        return self.asked_to_stop

    def _validation_due(self, trainer: L.Trainer) -> bool:
        return trainer.global_step % self.interval == 0 and self.validated != trainer.global_step

    def _save(self, trainer: L.Trainer) -> None:
        assert self._started is not None
        self.seconds = self._before + time.perf_counter() - self._started
        aside = self.path.with_suffix(".tmp")
        trainer.save_checkpoint(aside)
        if trainer.is_global_zero:
            aside.replace(self.path)


def _moved(state: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The state of a ModelCheckpoint whose files are in this folder; an empty one if the best is not there."""

    def here(path: str) -> str:
        return str(folder / Path(path).name) if path else ""

    if state["best_model_path"] and not Path(here(state["best_model_path"])).is_file():
        return {}
    paths = {name: here(state[name]) for name in ("best_model_path", "kth_best_model_path", "last_model_path")}
    best = {here(path): score for path, score in state["best_k_models"].items()}
    return {**state, **paths, "best_k_models": best, "dirpath": str(folder)}
