"""Configurations, checkpoints and run folders of earlier releases."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from elegans_gnn import cli
from elegans_gnn.datasets import load_small_digits
from elegans_gnn.errors import InvalidArgumentError
from elegans_gnn.training import (
    AutoencoderConfig,
    ClassifierConfig,
    TrainingConfig,
    evaluate_classification,
    open_checkpoint,
    train,
)

RUNS = Path(__file__).parent / "data" / "format1"
FINISHED, INTERRUPTED = RUNS / "finished", RUNS / "interrupted"


def settings(name: str) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads((RUNS / name / "config.json").read_text())
    return plain


def test_settings_keep_their_meaning() -> None:
    config = ClassifierConfig.from_dict(settings("finished"))
    assert config.data.fold == 1
    assert (config.optim.steps, config.optim.muon_learning_rate) == (4, 0.05)
    assert config.model.options == {"width": 2, "blocks": 1, "channels": 1}
    assert config.core.options == {
        "core_steps": 3, "unit": "shared", "leak": 0.25, "activation": None,
        "norm": None, "signs": None, "gap": "coupled", "init": "fan-in", "inputs": "sensory", "outputs": "motor",
    }  # fmt: skip
    assert config == ClassifierConfig.from_dict(json.loads(json.dumps(config.to_dict())))


def test_settings_that_had_no_effect_are_left_out() -> None:
    wired = ClassifierConfig.from_dict(settings("wired"))
    assert wired.model.model == "randomly-wired"
    assert wired.model.options == {"width": 1, "depth": 6, "wiring": "er", "wiring_seed": 3}
    assert wired.graph.graph_seed == 0
    network = ClassifierConfig.from_dict(settings("network"))
    assert (network.core.core, network.model.options) == ("tensor-network", {"channels": 1})


def test_a_checkpoint_gives_the_figures_it_gave() -> None:
    opened = open_checkpoint(FINISHED)
    found = evaluate_classification(opened.model, *load_small_digits(1).test(), 10)
    assert found == pytest.approx(json.loads((FINISHED / "summary.json").read_text())["test"], rel=1e-5)
    assert opened.config.to_dict()["format"] == 2
    assert torch.allclose(opened.model.core.leak, torch.tensor(0.25), atol=0.05)  # type: ignore[union-attr]


def test_an_interrupted_run_goes_on_to_the_same_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(INTERRUPTED, tmp_path / "run")
    assert cli.main(["train", "digits-classifier", "--resume", "run", "--no-progress"]) == 0
    weights, expected = (
        torch.load(folder / "last.ckpt", weights_only=True)["state_dict"] for folder in (tmp_path / "run", FINISHED)
    )
    assert [name.replace("leak", "keep") for name in weights] == list(expected)
    for mine, theirs in zip(weights.values(), expected.values(), strict=True):
        torch.testing.assert_close(mine, theirs)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["format"] == 2


def test_it_goes_on_from_python_too(tmp_path: Path) -> None:
    shutil.copytree(INTERRUPTED, tmp_path / "run")
    config = ClassifierConfig.from_dict(settings("interrupted"))
    assert train(config, tmp_path / "run", resume=True, progress=False).best_step == 4


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ({**AutoencoderConfig().to_dict(), "format": 3}, "configuration must be of format 1 to 2, got format 3; use "),
        (
            ClassifierConfig().to_dict(),
            "configuration must be of the task autoencoder, got one of the task classifier",
        ),
        ({**AutoencoderConfig().to_dict(), "steps": "4"}, "steps must be of type int, got '4'"),
    ],
)
def test_what_cannot_be_read_is_refused(plain: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        AutoencoderConfig.from_dict(plain)


OLD: list[tuple[type[TrainingConfig], dict[str, Any], str, dict[str, Any]]] = [
    (AutoencoderConfig, {"keep": 0.3}, "keep is now called leak", {"leak": 0.3}),
    (ClassifierConfig, {"depth": 2}, "depth is now called blocks", {"blocks": 2}),
    (
        ClassifierConfig,
        {"model": "randomly-wired", "graph_seed": 3},
        "graph_seed is now called wiring_seed",
        {"wiring_seed": 3},
    ),
]


@pytest.mark.parametrize(("config", "given", "message", "options"), OLD)
def test_old_names_work_with_a_warning(
    config: type[TrainingConfig], given: dict[str, Any], message: str, options: dict[str, Any]
) -> None:
    with pytest.warns(DeprecationWarning, match=message) as caught:
        made = config(**given)
    assert {**made.model.options, **made.core.options} == options
    assert caught[0].filename == __file__
