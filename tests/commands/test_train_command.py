"""`elegans-gnn train`: what wins among preset, file and options, and what each task takes."""

from __future__ import annotations

import json
import os
from dataclasses import fields
from pathlib import Path

import pytest

from elegans_gnn import cli, load_connectome, training
from elegans_gnn.commands import train as command
from elegans_gnn.commands._tasks import TASKS, read_settings
from elegans_gnn.connectome import write_connectome
from elegans_gnn.training import AutoencoderConfig, ClassifierConfig, new_run_folder
from elegans_gnn.training.load import graph_of

AUTO, DIGITS = "mnist-autoencoder", "digits-classifier"


def test_preset_then_file_then_options(tmp_path: Path) -> None:
    """And 2e-4 is a number although YAML has it as text."""
    file = tmp_path / "mine.yaml"
    file.write_text("steps: 4000\nema: 0.5\nlearning_rate: 2e-4\n")
    task = TASKS["mnist-autoencoder"]
    config = task.configuration("headline", read_settings(file, task), {"steps": 2000})
    assert (config.steps, config.ema, config.learning_rate, config.augment) == (2000, 0.5, 2e-4, "strong")
    (tmp_path / "run.json").write_text(json.dumps(config.to_dict()))
    assert task.configuration(None, read_settings(tmp_path / "run.json", task)) == config


@pytest.mark.parametrize("name", TASKS)
def test_every_task_has_its_data_and_says_every_setting_it_takes(name: str) -> None:
    task = TASKS[name]
    config = task.configuration(None)
    assert config == task.config.preset("demo", data=task.data)
    assert set(task.options()) | set(task.fixed()) == {item.name for item in fields(task.config)}
    assert ("fold" in task.options()) == (name == "digits-classifier") != ("data_dir" in task.options())


def test_a_file_for_another_task_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("data: cifar10")
    with pytest.raises(ValueError, match="data in .*mine.yaml must be 'digits', got 'cifar10'; choose another task"):
        read_settings(file, TASKS["digits-classifier"])


def test_smoke_cuts_the_preset_alone(tmp_path: Path) -> None:
    task = TASKS[AUTO]
    (tmp_path / "mine.yaml").write_text("steps: 40\nseed: 3")
    in_file = read_settings(tmp_path / "mine.yaml", task)
    assert task.configuration(None, {"seed": 3}, {}, smoke=True).steps == 6
    config = task.configuration(None, in_file, {}, smoke=True)
    assert (config.steps, config.batch_size, config.validate_every) == (40, 32, 3)
    config = task.configuration("headline", in_file, {"steps": 12}, smoke=True)
    assert isinstance(config, AutoencoderConfig)
    assert (config.steps, config.seed, config.augment, config.encoder_width) == (12, 3, "strong", 16)
    # What a recipe says of the connectome's model is no setting of a baseline.
    smoke = task.configuration("smoke", {}, {"model": "mlp"})
    assert isinstance(smoke, AutoencoderConfig)
    assert smoke.encoder_width == 64
    assert AutoencoderConfig(model="mlp").smoke().encoder_width == 64
    assert TASKS["cifar10-classifier"].configuration("headline", {}, {"backbone": "resnet18"}).width == 0
    assert TASKS["cifar10-classifier"].configuration("headline").width == 128


def test_text_with_short_choices_may_be_a_number_in_a_file(tmp_path: Path) -> None:
    task = TASKS[AUTO]
    for text, accelerator in (("precision: 32", "cpu"), ("precision: 16", "auto")):
        (tmp_path / "mine.yaml").write_text(f"{text}\naccelerator: {accelerator}")
        assert task.configuration(None, read_settings(tmp_path / "mine.yaml", task)).precision == text[-2:]
    (tmp_path / "mine.yaml").write_text("precision: 31")
    with pytest.raises(ValueError, match="precision must be one of 32, bf16, 16, got '31'"):
        task.configuration(None, read_settings(tmp_path / "mine.yaml", task))


def test_twelve_steps_are_twelve_and_nothing_stays_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two devices are announced; the run itself is a stand-in."""
    monkeypatch.chdir(tmp_path)
    seen: list[tuple[int, str | None]] = []

    def stand_in(config: ClassifierConfig, folder: Path, **_: object) -> None:
        seen.append((config.steps, os.environ.get(command._FOLDER)))

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
