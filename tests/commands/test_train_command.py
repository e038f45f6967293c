"""`elegans-gnn train`: what wins among preset, file and options, and what each task takes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from elegans_gnn import cli, load_connectome, training
from elegans_gnn.commands import train as command
from elegans_gnn.commands._settings import TASKS, SettingsParser
from elegans_gnn.connectome import write_connectome
from elegans_gnn.training import AutoencoderConfig, ClassifierConfig, new_run_folder
from elegans_gnn.training.prepare import graph_of

AUTO, DIGITS = "mnist-autoencoder", "digits-classifier"


def parser(task: str) -> SettingsParser:
    return SettingsParser(task, f"elegans-gnn train {task}", "")


def test_preset_then_file_then_options(tmp_path: Path) -> None:
    """And 2e-4 is a number although YAML has it as text."""
    file = tmp_path / "mine.yaml"
    file.write_text("steps: 4000\nema: 0.5\nlearning_rate: 2e-4\n")
    task, read = TASKS[AUTO], parser(AUTO).read
    config = task.configuration("headline", read(file), {"steps": 2000})
    optim = config.optim
    assert (optim.steps, optim.ema, optim.learning_rate, config.augment.augment) == (2000, 0.5, 2e-4, "strong")
    (tmp_path / "run.json").write_text(json.dumps(config.to_dict()))
    assert task.configuration(None, read(tmp_path / "run.json")) == config


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_its_data_and_says_every_setting_it_takes(name: str) -> None:
    task, options = TASKS[name], parser(name).settings
    config = task.configuration(None)
    assert config == task.config.preset("demo", data=task.data)
    assert set(options) | set(task.fixed()) == config.settings().keys() - config.model.options.keys()
    assert ("fold" in options) == (name == "digits-classifier") != ("data_dir" in options)


def test_a_file_for_another_task_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("data: cifar10")
    with pytest.raises(ValueError, match="data in .*mine.yaml must be 'digits', got 'cifar10'; choose another task"):
        parser(DIGITS).read(file)


def test_smoke_cuts_the_preset_alone(tmp_path: Path) -> None:
    task = TASKS[AUTO]
    (tmp_path / "mine.yaml").write_text("steps: 40\nseed: 3")
    in_file = parser(AUTO).read(tmp_path / "mine.yaml")
    assert task.configuration(None, {"seed": 3}, {}, smoke=True).optim.steps == 6
    config = task.configuration(None, in_file, {}, smoke=True)
    assert (config.optim.steps, config.optim.batch_size, config.optim.validate_every) == (40, 32, 3)
    config = task.configuration("headline", in_file, {"steps": 12}, smoke=True)
    assert isinstance(config, AutoencoderConfig)
    assert (config.optim.steps, config.optim.seed, config.augment.augment) == (12, 3, "strong")
    assert config.model.options["encoder_width"] == 16
    # What a recipe says of the connectome's model is no setting of a baseline.
    smoke = task.configuration("smoke", {}, {"model": "mlp"})
    assert isinstance(smoke, AutoencoderConfig)
    assert smoke.model.options == AutoencoderConfig(model="mlp").smoke().model.options == {}
    photographs = TASKS["cifar10-classifier"]
    assert photographs.configuration("headline", {}, {"backbone": "resnet18"}).model.options == {}
    assert photographs.configuration("headline", {}, {"model": "resnet"}).model.options == {"width": 128}
    assert photographs.configuration("headline").model.options == {"width": 128, "blocks": 2}


def test_text_with_short_choices_may_be_a_number_in_a_file(tmp_path: Path) -> None:
    task, read = TASKS[AUTO], parser(AUTO).read
    for text, accelerator in (("precision: 32", "cpu"), ("precision: 16", "auto")):
        (tmp_path / "mine.yaml").write_text(f"{text}\naccelerator: {accelerator}")
        assert task.configuration(None, read(tmp_path / "mine.yaml")).machine.precision == text[-2:]
    (tmp_path / "mine.yaml").write_text("precision: 31")
    with pytest.raises(ValueError, match="precision must be one of 32, bf16, 16, got '31'"):
        task.configuration(None, read(tmp_path / "mine.yaml"))


def test_twelve_steps_are_twelve_and_nothing_stays_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two devices are announced; the run itself is a stand-in."""
    monkeypatch.chdir(tmp_path)
    seen: list[tuple[int, str | None]] = []

    def stand_in(config: ClassifierConfig, folder: Path, **_: object) -> None:
        seen.append((config.optim.steps, os.environ.get(command._FOLDER)))

    monkeypatch.setattr(training, "train", stand_in)
    monkeypatch.setattr(training, "print_result", lambda result: None)
    assert cli.main(["train", DIGITS, "--steps", "12", "--smoke", "--devices", "2"]) == 0
    assert seen == [(12, "runs/digits-classifier-001")]
    assert command._FOLDER not in os.environ


def test_a_connectome_may_be_a_file(tmp_path: Path) -> None:
    worm = load_connectome("varshney2011")
    write_connectome(worm, tmp_path / "worm.graphml")
    write_connectome(worm, tmp_path / "tables")
    for path in (tmp_path / "worm.graphml", tmp_path / "tables"):
        read = graph_of(AutoencoderConfig(connectome=str(path)))
        assert read.num_edges == worm.num_edges
        assert read.names.tolist() == worm.names.tolist()


def test_the_first_free_number_is_found(tmp_path: Path) -> None:
    (tmp_path / "a-001").mkdir()
    assert new_run_folder(tmp_path, None, "a") == tmp_path / "a-002"
