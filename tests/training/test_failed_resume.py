"""A resume that fails: the file to resume from stays as it is, and what is wrong with it is said in one line."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from elegans_gnn.datasets import ImageSource
from elegans_gnn.training import AutoencoderConfig, train_autoencoder


class BreakOff(Callback):
    """An error, or Ctrl-C pressed twice, in one hook."""

    def __init__(self, hook: str, keys: bool) -> None:
        self.keys = keys
        setattr(self, hook, self._press)

    def _press(self, *_: object, **__: object) -> None:
        if not self.keys:
            raise RuntimeError("out of memory")
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


class StopAt(Callback):
    """What Ctrl-C does, after so many steps."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        if trainer.global_step == self.step:
            raise KeyboardInterrupt


@pytest.fixture
def interrupted(few: ImageSource, tiny: AutoencoderConfig, tmp_path: Path) -> Path:
    """The folder of a run broken off after five of eight steps."""
    with pytest.raises(KeyboardInterrupt):
        train_autoencoder(tiny, tmp_path / "run", source=few, progress=False, callbacks=(StopAt(5),))
    return tmp_path / "run"


@pytest.mark.parametrize("keys", [False, True], ids=["error", "Ctrl-C twice"])
@pytest.mark.parametrize("hook", ["setup", "on_load_checkpoint", "on_fit_start", "on_train_start"])
def test_a_resume_that_breaks_off_while_it_starts_leaves_the_file(
    hook: str, keys: bool, interrupted: Path, few: ImageSource, tiny: AutoencoderConfig
) -> None:
    before = (interrupted / "last.ckpt").read_bytes()
    options: dict[str, Any] = {"source": few, "progress": False, "resume": True}
    with pytest.raises(KeyboardInterrupt if keys else RuntimeError):
        train_autoencoder(tiny, interrupted, callbacks=(BreakOff(hook, keys),), **options)
    assert (interrupted / "last.ckpt").read_bytes() == before
    assert not (interrupted / "last.tmp").exists()
    assert train_autoencoder(tiny, interrupted, **options).seconds < 1000
    assert torch.load(interrupted / "last.ckpt", weights_only=True)["global_step"] == 8
