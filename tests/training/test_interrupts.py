"""Ctrl-C wherever it may fall: the run that goes on ends like one that was never interrupted."""

from __future__ import annotations

import signal
from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from elegans_gnn.datasets import ImageSource
from elegans_gnn.training import AutoencoderConfig, AutoencoderResult, load_autoencoder, train_autoencoder

IN_A_STEP = ("on_train_batch_start", "on_after_backward", "on_before_optimizer_step", "on_before_zero_grad")
IN_VALIDATION = (
    "on_validation_start",
    "on_validation_batch_start",
    "on_validation_batch_end",
    "on_validation_epoch_end",
    "on_validation_end",
)
# The run has 8 steps and validates after the 4th and the 8th.
EVERY_MOMENT = [
    *[(hook, steps) for hook in IN_A_STEP for steps in (0, 3, 4, 7)],
    *[("on_train_batch_end", steps) for steps in (1, 3, 4, 7, 8)],
    *[(hook, steps) for hook in IN_VALIDATION for steps in (4, 8)],
]
SOME_MOMENTS = [
    ("on_train_batch_start", 4),
    ("on_after_backward", 3),
    ("on_before_optimizer_step", 5),
    ("on_train_batch_end", 8),
    ("on_validation_batch_end", 4),
    ("on_validation_end", 4),
]


class Interrupt(Callback):
    """Ctrl-C in one hook, the first time it is called with so many steps done."""

    def __init__(self, hook: str, steps: int) -> None:
        self.steps = steps
        setattr(self, hook, self._press)

    def _press(self, trainer: L.Trainer, *_: object, **__: object) -> None:
        if trainer.global_step == self.steps:
            raise KeyboardInterrupt


def final_state(folder: Path) -> dict[str, torch.Tensor]:
    plain = torch.load(folder / "last.ckpt", weights_only=True)
    assert plain["global_step"] == 8
    state: dict[str, torch.Tensor] = plain["state_dict"]
    return state


@pytest.fixture(scope="module")
def uninterrupted(
    few: ImageSource, tiny: AutoencoderConfig, tmp_path_factory: pytest.TempPathFactory
) -> tuple[AutoencoderResult, dict[str, torch.Tensor]]:
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    result = train_autoencoder(tiny, folder, source=few, progress=False)
    return result, final_state(folder)


def interrupted(folder: Path, source: ImageSource, config: AutoencoderConfig, *callbacks: Callback) -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train_autoencoder(config, folder, source=source, progress=False, callbacks=callbacks)
    assert signal.getsignal(signal.SIGINT) is before
    load_autoencoder(folder / "last.ckpt")


@pytest.mark.parametrize(
    ("hook", "steps"), [*SOME_MOMENTS, *[pytest.param(*moment, marks=pytest.mark.hard) for moment in EVERY_MOMENT]]
)
def test_a_run_broken_off_at_any_moment_ends_like_a_whole_one(
    hook: str,
    steps: int,
    few: ImageSource,
    tiny: AutoencoderConfig,
    uninterrupted: tuple[AutoencoderResult, dict[str, torch.Tensor]],
    tmp_path: Path,
) -> None:
    """Here the exception comes at once, as after a second Ctrl-C."""
    folder = tmp_path / "run"
    whole, state = uninterrupted
    interrupted(folder, few, tiny, Interrupt(hook, steps))
    result = train_autoencoder(tiny, folder, source=few, progress=False, resume=True)
    assert result.test == whole.test
    assert result.best_step == whole.best_step
    ended = final_state(folder)
    assert all(torch.equal(ended[key], state[key]) for key in state)


class PressCtrlC(Callback):
    """Sends the signal in the middle of a step."""

    def __init__(self, steps: int, times: int = 1) -> None:
        self.steps, self.times = steps, times

    def on_after_backward(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.global_step == self.steps:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(("steps", "kept"), [(1, 2), (3, 4), (5, 6)])
def test_ctrl_c_waits_for_the_end_of_the_step_and_of_a_validation_that_is_due(
    steps: int, kept: int, few: ImageSource, tiny: AutoencoderConfig, tmp_path: Path
) -> None:
    interrupted(tmp_path / "run", few, tiny, PressCtrlC(steps))
    assert torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["global_step"] == kept
    assert (tmp_path / "run" / "best.ckpt").is_file() == (kept >= 4)


def test_a_second_ctrl_c_stops_at_once_and_leaves_the_file_from_before(
    few: ImageSource, tiny: AutoencoderConfig, tmp_path: Path
) -> None:
    interrupted(tmp_path / "run", few, tiny, PressCtrlC(6, times=2))
    plain = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert plain["global_step"] == 4
    # It knows of the validation that came just before, so that a worse one later does not take its place.
    (best,) = [state for state in plain["callbacks"].values() if "best_model_score" in state]
    assert best["best_model_score"] > 0
