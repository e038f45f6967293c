"""A frozen backbone's features: computed once, kept for every head and every resumption, and never in the way."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from elegans_gnn.datasets import Images, ImageSource
from elegans_gnn.models import BackboneClassifier
from elegans_gnn.training import ClassifierConfig, features, train_classifier

CONFIG = ClassifierConfig(
    backbone="shufflenet_v2_x0_5", frozen=True, resize=32, augment="none", steps=6, batch_size=32, validate_every=3,
    warmup=1, threads=1, head="linear",
)  # fmt: skip


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images went through a backbone, call by call."""
    seen: list[int] = []
    whole = BackboneClassifier.features

    def counting(self: BackboneClassifier, images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        return whole(self, images)

    monkeypatch.setattr(BackboneClassifier, "features", counting)
    return seen


def run(folder: Path, source: ImageSource, **settings: Any) -> Any:
    return train_classifier(CONFIG.changed(**settings), folder, source=source, progress=False)


def test_kept_features_train_what_the_images_would(few: ImageSource, tmp_path: Path) -> None:
    plain = run(tmp_path / "plain", few)
    kept = run(tmp_path / "kept", few, feature_cache=str(tmp_path / "cache"))
    # The images went through the backbone in other batches, which changes last bits.
    assert kept.test == pytest.approx(plain.test, rel=1e-4)
    assert kept.validation == pytest.approx(plain.validation, rel=1e-4)
    # The result takes images, as always.
    pixels = few.test().pixels
    assert torch.allclose(kept.model(pixels), plain.model(pixels), atol=1e-4)
    files = sorted((tmp_path / "cache").iterdir())
    assert sorted(np.load(file).shape for file in files) == [(40, 1024), (40, 1024), (96, 1024)]


def test_every_image_is_computed_once_for_all_heads(few: ImageSource, tmp_path: Path, counted: list[int]) -> None:
    cache = str(tmp_path / "cache")
    first = run(tmp_path / "first", few, feature_cache=cache)
    trial = counted[0]  # two images, to see whether they fit
    assert (trial, sum(counted)) == (2, 2 + 96 + 40 + 40)
    counted.clear()
    again = run(tmp_path / "again", few, feature_cache=cache)
    assert counted == [2]
    assert again.test == first.test
    counted.clear()
    for head in ("mlp", "worm"):
        run(tmp_path / head, few, feature_cache=cache, head=head)
    assert counted == [2, 2]
    # Another size, and other weights, have features of their own.
    for name, other in (("size", {"resize": 48}), ("seed", {"seed": 1})):
        counted.clear()
        run(tmp_path / name, few, feature_cache=cache, **other)
        assert sum(counted) == 2 + 96 + 40 + 40


def test_test_images_are_opened_when_the_weights_are_chosen(few: ImageSource, tmp_path: Path) -> None:
    opened = []

    def test() -> Images:
        opened.append((tmp_path / "run" / "best.ckpt").is_file())
        return few.test()

    run(tmp_path / "run", ImageSource("few", few.train, few.validation, test), feature_cache=str(tmp_path / "cache"))
    assert opened == [True]


class _Interrupt(Callback):
    def on_after_backward(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.global_step == 2:
            signal.raise_signal(signal.SIGINT)


def test_a_resumed_run_ends_in_the_same_weights(few: ImageSource, tmp_path: Path, counted: list[int]) -> None:
    config = CONFIG.changed(feature_cache=str(tmp_path / "cache"))
    whole = train_classifier(config, tmp_path / "whole", source=few, progress=False)
    part = tmp_path / "part"
    with pytest.raises(KeyboardInterrupt):
        train_classifier(config, part, source=few, progress=False, callbacks=(_Interrupt(),))
    counted.clear()
    resumed = train_classifier(config, part, source=few, progress=False, resume=True)
    assert counted == [2]
    states = [
        torch.load(folder / "last.ckpt", weights_only=True)["state_dict"] for folder in (part, tmp_path / "whole")
    ]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[1])
    assert resumed.test == whole.test


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frozen": False}, "feature_cache has no effect with backbone=shuffle.*; use a backbone with frozen=True"),
        ({"augment": "shift"}, "feature_cache has no effect with augment=shift"),
    ],
)
def test_what_features_cannot_replace_is_refused(
    settings: dict[str, Any], message: str, few: ImageSource, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        run(tmp_path / "run", few, feature_cache=str(tmp_path / "cache"), **settings)
    assert not (tmp_path / "run").exists()
    config = ClassifierConfig(model="logistic", augment="none", feature_cache="x", steps=2, warmup=1)
    with pytest.raises(ValueError, match="feature_cache has no effect with model=logistic"):
        train_classifier(config, tmp_path / "run", source=few, progress=False)


def test_damaged_files_and_folders_and_too_many_are_refused(
    few: ImageSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    run(tmp_path / "first", few, feature_cache=str(cache))
    (largest,) = (path for path in cache.iterdir() if len(np.load(path)) == 96)
    whole = largest.read_bytes()
    for content in (whole[:-7], b"", b"something else"):
        largest.write_bytes(content)
        with pytest.raises(ValueError, match=rf"feature_cache must be .*{largest.name} .*; remove that file"):
            run(tmp_path / "damaged", few, feature_cache=str(cache))
    np.save(largest, np.zeros((96, 3), np.float32))
    with pytest.raises(ValueError, match=rf"{largest.name} \(float32 \[96, 3\]\); remove that file"):
        run(tmp_path / "damaged", few, feature_cache=str(cache))
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ValueError, match="feature_cache must be a folder that can be written, got"):
        run(tmp_path / "damaged", few, feature_cache=str(tmp_path / "file"))
    monkeypatch.setattr(features, "_LARGEST", 96 * 1024 * 4 - 1)
    with pytest.raises(
        ValueError, match="feature_cache must be omitted for features of more .*, got 96 x 1024 numbers"
    ):
        run(tmp_path / "damaged", few, feature_cache=str(tmp_path / "new"))
    assert not (tmp_path / "damaged").exists()
