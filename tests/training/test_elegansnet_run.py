"""Whole runs of the models of synaptic steps: they end, load again and draw their filters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from elegans_gnn.datasets import ImageSource, load_small_digits
from elegans_gnn.datasets._images import Images
from elegans_gnn.models import from_pretrained
from elegans_gnn.training import ClassifierConfig, load_classifier, train_classifier
from elegans_gnn.training.results import edge_weights_of


@pytest.fixture(scope="module")
def small() -> ImageSource:
    source = load_small_digits()
    parts = [Images(*(column[:40] for column in part())) for part in (source.train, source.validation, source.test)]
    return ImageSource("small", *(lambda part=part: part for part in parts))


@pytest.mark.parametrize(
    "options",
    [{"gap": "merged", "leak": 0.9, "synapse_learning_rate": 0.01}, {"synapses": "frozen", "channels": 2}],
)
def test_a_run_ends_and_its_checkpoint_and_folder_load(small: ImageSource, tmp_path: Path, options: Any) -> None:
    config = ClassifierConfig(
        model="elegansnet", core_steps=1, late_steps=2, steps=4, batch_size=16, validate_every=2, warmup=1, threads=1,
        seed=1, **options,
    )  # fmt: skip
    result = train_classifier(config, tmp_path / "run", source=small, progress=False)
    model: Any = result.model
    assert (tmp_path / "run" / "edge_weights.png").is_file()
    weights = edge_weights_of(model)
    assert weights is not None
    assert len(weights) == model.core.connectome.num_edges == (2993 if "gap" in options else 3225)
    images = torch.rand(3, 1, 8, 8)
    for again in (load_classifier(tmp_path / "run" / "best.ckpt"), from_pretrained(tmp_path / "run" / "model")):
        assert torch.equal(again.eval()(images), model.eval()(images))
    assert all(p.requires_grad == ("gap" in options) for p in model.core.synapses.parameters())
