"""Batch norms of several processes: shared on GPUs, refused on the CPU, left alone where they do not train."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from elegans_gnn.datasets import ImageSource, load_small_digits
from elegans_gnn.training import ClassifierConfig, run, train_classifier
from elegans_gnn.training.last_checkpoint import LastCheckpoint
from elegans_gnn.training.prepare import build, graph_of, syncs_batch_norms

CONFIG = ClassifierConfig(data="digits", backbone="resnet18", resize=16, devices=2, batch_size=32)
SHAPE = {"in_channels": 1, "image_size": 8, "num_classes": 10}


def test_on_the_cpu_several_processes_are_refused(tmp_path: Path) -> None:
    source: ImageSource = load_small_digits()
    message = "devices must be 1 on the CPU for a model whose batch norms train, got 2 processes; use --frozen"
    with pytest.raises(ValueError, match=message):
        train_classifier(CONFIG, tmp_path / "run", source=source)
    assert not (tmp_path / "run").exists()


def test_frozen_ones_and_a_single_process_need_nothing() -> None:
    frozen = CONFIG.changed(frozen=True)
    assert not syncs_batch_norms(frozen, build(frozen, graph_of(frozen), SHAPE))
    assert not syncs_batch_norms(CONFIG.changed(devices=1), nn.BatchNorm2d(3))
    assert not syncs_batch_norms(CONFIG, nn.GroupNorm(1, 3))


@pytest.mark.parametrize("accelerator", ["gpu", "auto"])
def test_on_gpus_they_are_shared(accelerator: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = CONFIG.changed(accelerator=accelerator)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert syncs_batch_norms(config, nn.Sequential(nn.BatchNorm2d(3)).eval())
    options_seen: dict[str, Any] = {}
    monkeypatch.setattr(run.L, "Trainer", lambda **options: options_seen.update(options))
    for sync in (True, False):
        run._trainer(config, tmp_path, LastCheckpoint(tmp_path / "last.ckpt", 1), (), False, sync)
        assert options_seen["sync_batchnorm"] is sync
