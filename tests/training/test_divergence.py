"""A run whose loss is no longer finite ends in one line, and no file of figures holds what JSON does not know."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from elegans_gnn import cli
from elegans_gnn._text import json_text
from elegans_gnn.datasets import ImageSource
from elegans_gnn.models import LogisticRegression
from elegans_gnn.training import AutoencoderConfig, train_autoencoder

RATES = r"got 1e\+20 with muon_learning_rate 1e\+20"


@pytest.mark.parametrize("task", ["digits-classifier", "mnist-autoencoder"])
def test_rates_that_diverge_end_the_run(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    options = ["--smoke", "--learning-rate", "1e20", "--muon-learning-rate", "1e20", "--name", "wild", "--no-progress"]
    assert cli.main(["train", task, *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    figure = "cross_entropy" if task == "digits-classifier" else "bce"
    expected = (
        f"learning_rate must be small enough that the validation {figure} stays finite, {RATES} .* at step 3.; .*"
    )
    assert re.fullmatch(f"elegans-gnn: {expected}", line), line
    assert not (tmp_path / "runs" / "wild" / "summary.json").exists()


class Spoil(Callback):
    """One weight becomes NaN after so many steps."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: object) -> None:
        if trainer.global_step == self.step:
            next(pl_module.parameters()).data.fill_(math.nan)


def test_a_loss_lost_between_validations_is_noticed_when_it_is_logged(
    few: ImageSource, tiny: AutoencoderConfig, tmp_path: Path
) -> None:
    config = tiny.changed(steps=24, validate_every=24)
    message = r"the training loss stays finite, got .*\(nan at step 20\); use smaller rates"
    with pytest.raises(ValueError, match=message):
        train_autoencoder(config, tmp_path / "run", source=few, progress=False, callbacks=(Spoil(12),))
    state = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["state_dict"]
    assert all(value.isfinite().all() for value in state.values())


def test_what_is_not_finite_is_null() -> None:
    written = json_text({"a": math.nan, "b": {"c": [math.inf, 1.5, -math.inf]}, "d": "nan", "e": True})
    assert json.loads(written) == {"a": None, "b": {"c": [None, 1.5, None]}, "d": "nan", "e": True}


@pytest.fixture
def lost(tmp_path: Path) -> Path:
    model = LogisticRegression(10, in_channels=1, image_size=8)
    for value in model.parameters():
        value.data.fill_(math.nan)
    return model.save_pretrained(tmp_path / "model")


def test_eval_of_a_lost_model_is_json(lost: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["eval", str(lost), "--data", "digits", "--json"]) == 0

    def refuse(name: str) -> Callable[[], None]:
        raise AssertionError(name)

    figures = json.loads(capsys.readouterr().out, parse_constant=refuse)["figures"]
    assert figures["cross_entropy"] is None
