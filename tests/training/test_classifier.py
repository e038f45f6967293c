"""Classification runs: what they write, resume, early stop, clipping, precision, and the choice of the weights."""

from __future__ import annotations

import csv
import json
import signal
from collections.abc import Callable
from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from elegans_gnn.datasets import Images, ImageSource, load_small_digits
from elegans_gnn.training import (
    AutoencoderConfig,
    ClassificationMetrics,
    ClassifierConfig,
    evaluate_classification,
    load_autoencoder,
    load_classifier,
    train_autoencoder,
    train_classifier,
)


@pytest.fixture(scope="module")
def small() -> ImageSource:
    """The first 8 x 8 digits of each part."""
    source = load_small_digits()

    def first(part: Callable[[], Images], count: int) -> Callable[[], Images]:
        return lambda: Images(*(column[:count] for column in part()))

    return ImageSource("small", first(source.train, 200), first(source.validation, 60), first(source.test, 60))


@pytest.fixture(scope="module")
def config() -> ClassifierConfig:
    return ClassifierConfig(
        steps=12, batch_size=32, validate_every=4, warmup=2, width=8, threads=1, augment="strong", label_smoothing=0.1
    )


def weights(folder: Path, name: str = "last.ckpt") -> dict[str, Tensor]:
    state: dict[str, Tensor] = torch.load(folder / name, weights_only=True)["state_dict"]
    return state


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_metrics_are_the_formulas() -> None:
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 1.0, 3.0], [0.0, 0.0, 1.0]])
    labels = torch.tensor([0, 1, 2])
    figures = evaluate_classification(lambda pixels: logits[: len(pixels)], torch.zeros(3, 1, 2, 2), labels, 3)
    losses = [-float(torch.log_softmax(row, 0)[label]) for row, label in zip(logits, labels, strict=True)]
    assert figures == pytest.approx({"accuracy": 2 / 3, "cross_entropy": sum(losses) / 3}, abs=1e-6)


def test_batches_weigh_as_much_as_they_hold() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(23, 4, generator=generator), torch.randint(4, (23,), generator=generator)
    found = []
    for size in (23, 5):
        metrics = ClassificationMetrics(4)
        for batch in zip(logits.split(size), labels.split(size), strict=True):
            metrics.update(*batch)
        found.append({name: float(value) for name, value in metrics.compute().items()})
    assert found[1] == pytest.approx(found[0], abs=1e-6)


def test_a_run_learns_writes_and_is_read_back(small: ImageSource, tmp_path: Path) -> None:
    config = ClassifierConfig(steps=40, batch_size=32, validate_every=20, warmup=5, width=16, threads=1, shift=0)
    result = train_classifier(config, tmp_path / "run", source=small, progress=False)
    # Chance is 10 %; the first 60 test digits.
    assert result.test["accuracy"] > 0.7
    written = {path.name for path in result.folder.iterdir()}
    assert written == {
        "best.ckpt", "last.ckpt", "metrics.csv", "config.json", "summary.json", "edge_weights.png", "tensorboard",
        "model",
    }  # fmt: skip
    model = load_classifier(result.folder)
    assert evaluate_classification(model, *small.test(), 10) == result.test
    summary = json.loads((result.folder / "summary.json").read_text())
    assert summary["test"] == result.test
    assert sum(summary["parameters"].values()) == sum(value.numel() for value in model.parameters())
    stored = json.loads((result.folder / "config.json").read_text())
    assert ClassifierConfig.from_dict(stored) == config.changed(data="small").resolved()
    with pytest.raises(ValueError, match="checkpoint must be that of a run of the task autoencoder, got classifier"):
        load_autoencoder(result.folder)


class StopAt(Callback):
    """What Ctrl-C does, in the middle of a given step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_after_backward(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.global_step == self.step:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("step", [2, 6])
def test_a_resumed_run_ends_in_the_same_weights(
    step: int, small: ImageSource, config: ClassifierConfig, tmp_path: Path
) -> None:
    """An epoch has six steps: both interruptions fall into its middle, with augmentation under way."""
    whole = train_classifier(config, tmp_path / "whole", source=small, progress=False)
    with pytest.raises(KeyboardInterrupt):
        train_classifier(config, tmp_path / "part", source=small, progress=False, callbacks=(StopAt(step),))
    assert torch.load(tmp_path / "part" / "last.ckpt", weights_only=True)["global_step"] == step + 1
    resumed = train_classifier(config, tmp_path / "part", source=small, progress=False, resume=True)
    assert same(weights(resumed.folder), weights(whole.folder))
    assert same(weights(resumed.folder, "best.ckpt"), weights(whole.folder, "best.ckpt"))
    assert resumed.test == whole.test
    other = train_classifier(config.changed(seed=1), tmp_path / "other", source=small, progress=False)
    assert not same(weights(other.folder), weights(whole.folder))


def test_training_ends_when_validation_stops_getting_better(
    small: ImageSource, config: ClassifierConfig, tmp_path: Path
) -> None:
    """Frozen by a rate of nearly nothing, no validation is better than the first."""
    still = config.changed(learning_rate=1e-12, muon_learning_rate=0.0, steps=40, patience=2)
    result = train_classifier(still, tmp_path / "run", source=small, progress=False)
    with open(tmp_path / "run" / "metrics.csv", newline="") as file:
        validated = [int(row["step"]) for row in csv.DictReader(file) if row["val/accuracy"]]
    assert len(validated) < 10
    assert torch.load(result.folder / "last.ckpt", weights_only=True)["global_step"] == validated[-1]


class Norms(Callback):
    """The norm of all gradients just before each step."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_before_zero_grad(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: object) -> None:
        gradients = [value.grad for value in pl_module.parameters() if value.grad is not None]
        if gradients:
            self.seen.append(float(torch.cat([value.flatten() for value in gradients]).norm()))


def test_gradients_are_clipped_to_the_norm(small: ImageSource, config: ClassifierConfig, tmp_path: Path) -> None:
    seen = []
    for clip in (0.0, 0.05):
        norms = Norms()
        few = config.changed(clip=clip, steps=4)
        train_classifier(few, tmp_path / str(clip), source=small, progress=False, callbacks=(norms,))
        seen.append(norms.seen)
    assert min(seen[0]) > 0.1
    assert max(seen[1]) <= 0.05 * 1.001


def test_mixed_precision_trains_close_to_full_precision(
    small: ImageSource, config: ClassifierConfig, tmp_path: Path
) -> None:
    full = train_classifier(config, tmp_path / "full", source=small, progress=False)
    mixed = train_classifier(config.changed(precision="bf16"), tmp_path / "mixed", source=small, progress=False)
    assert not same(weights(mixed.folder), weights(full.folder))
    assert {value.dtype for value in weights(mixed.folder).values() if value.is_floating_point()} == {torch.float32}
    # bfloat16 has 8 bits: after 12 small steps the loss is the same to a few per cent.
    assert mixed.test["cross_entropy"] == pytest.approx(full.test["cross_entropy"], rel=0.05)


def test_the_smallest_validation_cross_entropy_is_chosen(
    small: ImageSource, config: ClassifierConfig, tmp_path: Path
) -> None:
    """At too high a rate validation gets worse in the end."""
    wild = config.changed(learning_rate=0.5, muon_learning_rate=0.5, steps=24, ema=0.0, validate_every=2)
    result = train_classifier(wild, tmp_path / "run", source=small, progress=False)
    with open(tmp_path / "run" / "metrics.csv", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["val/accuracy"]]
    best = min(rows, key=lambda row: float(row["val/cross_entropy"]))
    assert result.best_step == int(best["step"])
    assert result.validation["cross_entropy"] == pytest.approx(float(best["val/cross_entropy"]), rel=1e-4)


def test_the_test_images_are_opened_last(small: ImageSource, config: ClassifierConfig, tmp_path: Path) -> None:
    order: list[str] = []

    def noted(name: str, part: Callable[[], Images]) -> Callable[[], Images]:
        def read() -> Images:
            order.append(name)
            return part()

        return read

    watched = ImageSource(
        "small", noted("train", small.train), noted("validation", small.validation), noted("test", small.test)
    )
    train_classifier(config.changed(steps=4), tmp_path / "run", source=watched, progress=False)
    assert order == ["train", "validation", "test"]


@pytest.mark.parametrize("model", ["logistic", "vit", "resnet", "randomly-wired"])
def test_every_baseline_runs(model: str, small: ImageSource, config: ClassifierConfig, tmp_path: Path) -> None:
    size = {} if model == "logistic" else {"width": 16}
    config = ClassifierConfig(**{name: value for name, value in config.given().items() if name != "width"})
    few = config.changed(model=model, steps=2, validate_every=2, **size)
    result = train_classifier(few, tmp_path / "run", source=small, progress=False)
    summary = json.loads((result.folder / "summary.json").read_text())
    assert summary["connectome"] is None
    assert not (result.folder / "edge_weights.png").exists()
    assert same(
        weights(result.folder, "best.ckpt"),
        {f"model.{k}": v for k, v in load_classifier(result.folder).state_dict().items()},
    )


@pytest.mark.parametrize("model", ["mlp", "conv", "attention"])
def test_every_autoencoder_baseline_runs(model: str, few: ImageSource, tmp_path: Path) -> None:
    shared = {"batch_size": 32, "warmup": 2, "code": 16, "threads": 1}
    config = AutoencoderConfig(model=model, steps=2, validate_every=2, width=16, **shared)
    result = train_autoencoder(config, tmp_path / "run", source=few, progress=False)
    assert set(result.test_8bit) == set(result.test)
    assert (result.folder / "reconstructions.png").is_file()
