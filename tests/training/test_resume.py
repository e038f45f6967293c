"""A run that goes on, perhaps elsewhere: its best weights, what dropout draws and its seconds are those of one run."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from elegans_gnn.datasets import Images, ImageSource, load_small_digits
from elegans_gnn.training import AutoencoderConfig, ClassifierConfig, last_checkpoint, run, train
from elegans_gnn.training.run import train_classifier


@pytest.fixture(scope="module")
def small() -> ImageSource:
    """The first 8 x 8 digits of each part."""
    source = load_small_digits()

    def first(part: Callable[[], Images], count: int) -> Callable[[], Images]:
        return lambda: Images(*(column[:count] for column in part()))

    return ImageSource("small", first(source.train, 200), first(source.validation, 60), first(source.test, 60))


class Press(Callback):
    """Ctrl-C in the middle of the step after so many; pressed twice, it breaks off at once as a kill does."""

    def __init__(self, steps: int, times: int = 1) -> None:
        self.steps, self.times = steps, times

    def on_after_backward(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.global_step == self.steps:
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)


def checkpoint(folder: Path, name: str = "last.ckpt") -> dict[str, Any]:
    plain: dict[str, Any] = torch.load(folder / name, weights_only=True)
    return plain


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


@pytest.fixture(scope="module")
def worse_in_the_end() -> ClassifierConfig:
    """At too high a rate validation gets worse soon."""
    return ClassifierConfig(
        steps=24, batch_size=32, validate_every=2, warmup=2, width=8, threads=1, ema=0.0, learning_rate=0.5,
        muon_learning_rate=0.5,
    )  # fmt: skip


def test_a_moved_run_never_overwrites_its_best_weights_with_worse_ones(
    small: ImageSource, worse_in_the_end: ClassifierConfig, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"source": small, "progress": False}
    whole = train_classifier(worse_in_the_end, tmp_path / "whole", **options)
    assert whole.best_step <= 18
    stop = Press(whole.best_step + 2)
    with pytest.raises(KeyboardInterrupt):
        train_classifier(worse_in_the_end, tmp_path / "here", callbacks=(stop,), **options)
    best = (tmp_path / "here" / "best.ckpt").read_bytes()
    (tmp_path / "there").mkdir()
    moved = (tmp_path / "here").rename(tmp_path / "there" / "run")
    resumed = train_classifier(worse_in_the_end, moved, resume=True, **options)
    assert (moved / "best.ckpt").read_bytes() == best
    assert (resumed.best_step, resumed.validation) == (whole.best_step, whole.validation)
    (state,) = [state for state in checkpoint(moved)["callbacks"].values() if "best_model_score" in state]
    assert -float(state["best_model_score"]) == pytest.approx(whole.validation["cross_entropy"], rel=1e-4)
    assert Path(state["best_model_path"]) == moved / "best.ckpt"
    assert not (tmp_path / "here").exists()


def test_without_its_best_weights_a_run_keeps_the_best_of_what_follows(
    small: ImageSource, worse_in_the_end: ClassifierConfig, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"source": small, "progress": False}
    with pytest.raises(KeyboardInterrupt):
        train_classifier(worse_in_the_end, tmp_path / "run", callbacks=(Press(20),), **options)
    (tmp_path / "run" / "best.ckpt").unlink()
    resumed = train_classifier(worse_in_the_end, tmp_path / "run", resume=True, **options)
    assert resumed.best_step in (22, 24)


@pytest.fixture
def dropping(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model leaves out a tenth of what each norm and linear map returns."""
    build = run.build

    def drop(module: nn.Module, _: object, output: Tensor) -> Tensor:
        return nn.functional.dropout(output, 0.1, module.training)

    def built(*arguments: Any) -> nn.Module:
        model = build(*arguments)
        for module in model.modules():
            if isinstance(module, nn.LayerNorm | nn.Linear):
                module.register_forward_hook(drop)
        return model

    monkeypatch.setattr(run, "build", built)


SHORT = {"steps": 12, "validate_every": 4, "batch_size": 32, "warmup": 2, "width": 16, "threads": 1}
MODELS = [
    ClassifierConfig(**SHORT, augment="strong"),  # type: ignore[arg-type]
    ClassifierConfig(**SHORT, model="vit"),  # type: ignore[arg-type]
    AutoencoderConfig(**SHORT, model="attention", code=16),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("config", MODELS, ids=lambda config: f"{config.task}-{config.model}")
@pytest.mark.parametrize(("times", "kept"), [(1, 7), (2, 4)], ids=["Ctrl-C", "kill"])
def test_dropout_draws_the_same_after_a_break_in_the_middle_of_an_epoch(
    times: int,
    kept: int,
    config: ClassifierConfig | AutoencoderConfig,
    dropping: None,
    small: ImageSource,
    few: ImageSource,
    tmp_path: Path,
) -> None:
    """An epoch has six steps, or three: the run goes on from the middle of one."""
    options: dict[str, Any] = {"source": small if config.task == "classifier" else few, "progress": False}
    whole = train(config, tmp_path / "whole", **options)
    with pytest.raises(KeyboardInterrupt):
        train(config, tmp_path / "part", callbacks=(Press(6, times),), **options)
    assert checkpoint(tmp_path / "part")["global_step"] == kept
    torch.rand(1000)
    resumed = train(config, tmp_path / "part", resume=True, **options)
    for name in ("last.ckpt", "best.ckpt"):
        first, second = (checkpoint(result.folder, name)["state_dict"] for result in (whole, resumed))
        assert same(first, second)
    assert resumed.test == whole.test


class Draws(Callback):
    """The next random number after the model's own, step by step."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_before_backward(self, trainer: L.Trainer, pl_module: L.LightningModule, loss: Tensor) -> None:
        self.seen.append(float(torch.rand(1)))


def test_dropout_draws_anew_at_each_step_and_seed(dropping: None, small: ImageSource, tmp_path: Path) -> None:
    draws = [Draws() for _ in range(3)]
    for number, (seed, drawn) in enumerate(zip((0, 0, 1), draws, strict=True)):
        config = MODELS[0].changed(steps=4, seed=seed)
        train(config, tmp_path / str(number), source=small, progress=False, callbacks=(drawn,))
    assert draws[0].seen == draws[1].seen
    assert len({*draws[0].seen, *draws[2].seen}) == 8


def test_the_seconds_of_all_parts_count(
    few: ImageSource, tiny: AutoencoderConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock on which each step takes 100 seconds."""
    clock = [0.0]
    monkeypatch.setattr(last_checkpoint, "time", SimpleNamespace(perf_counter=lambda: clock[0]))

    class Slow(Callback):
        def on_train_batch_start(self, *_: object) -> None:
            clock[0] += 100

    options: dict[str, Any] = {"source": few, "progress": False}
    whole = train(tiny, tmp_path / "whole", callbacks=(Slow(),), **options)
    assert whole.seconds == 800
    for first, resume in ((2, False), (5, True)):
        clock[0] += 12_345
        with pytest.raises(KeyboardInterrupt):
            train(tiny, tmp_path / "part", resume=resume, callbacks=(Slow(), Press(first)), **options)
    clock[0] += 12_345
    resumed = train(tiny, tmp_path / "part", resume=True, callbacks=(Slow(),), **options)
    assert resumed.seconds == 800
    assert json.loads((tmp_path / "part" / "summary.json").read_text())["seconds"] == 800
