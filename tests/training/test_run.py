"""A whole run: what it writes, that it repeats, resumes, survives Ctrl-C, and keeps its hands off the test images."""

from __future__ import annotations

import csv
import dataclasses
import json

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from elegans_gnn import ElegansAutoencoder, load_connectome, random_connectome
from elegans_gnn.datasets import Images, ImageSource, ink
from elegans_gnn.training import (
    AutoencoderConfig,
    MuonAdamW,
    evaluate_reconstruction,
    load_autoencoder,
    new_run_folder,
    parameter_groups,
    train_autoencoder,
)


def metrics_rows(folder):
    with open(folder / "metrics.csv", newline="") as file:
        return list(csv.DictReader(file))


def weights(folder, name="best.ckpt"):
    return torch.load(folder / name, weights_only=True)["state_dict"]


def same_weights(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[key], second[key]) for key in first)


def test_writes_everything_and_the_checkpoint_gives_the_same_figures(few, tiny, tmp_path):
    result = train_autoencoder(tiny, tmp_path / "run", source=few, progress=False)
    written = {path.name for path in result.folder.iterdir()}
    assert {"config.json", "best.ckpt", "last.ckpt", "metrics.csv", "summary.json", "tensorboard"} <= written
    assert {"reconstructions.png", "edge_weights.png"} <= written
    stored = json.loads((result.folder / "config.json").read_text())
    assert AutoencoderConfig.from_dict(stored) == tiny.changed(data="few").resolved()
    model = load_autoencoder(result.folder)
    assert model.connectome.fingerprint == result.model.connectome.fingerprint
    assert evaluate_reconstruction(model, ink(few.test().pixels)) == result.test
    summary = json.loads((result.folder / "summary.json").read_text())
    assert summary["test"] == result.test
    assert sum(summary["parameters"].values()) == sum(p.numel() for p in model.parameters())
    validated = [row for row in metrics_rows(result.folder) if row["val/accuracy"]]
    assert len(validated) == 2
    best = max(float(row["val/accuracy"]) for row in validated)
    assert result.validation["accuracy"] == pytest.approx(best, abs=1e-6)


def test_same_seed_gives_the_same_result_to_the_last_digit(few, tiny, tmp_path):
    first = train_autoencoder(tiny, tmp_path / "a", source=few, progress=False)
    again = train_autoencoder(tiny, tmp_path / "b", source=few, progress=False)
    other = train_autoencoder(tiny.changed(seed=1), tmp_path / "c", source=few, progress=False)
    assert first.test == again.test
    assert same_weights(weights(first.folder), weights(again.folder))
    assert other.test != first.test


def test_the_test_images_are_opened_only_after_the_choice(few, tiny, tmp_path):
    """The order of reading, and as proof that nothing leaks: other test images, same checkpoint."""
    order = []

    def noted(name, part):
        def read():
            order.append(name)
            return part()

        return read

    class Watch(Callback):
        def on_fit_end(self, trainer, pl_module):
            order.append("fit ended")

    noise = Images(torch.rand(40, 1, 28, 28), torch.zeros(40, dtype=torch.int64))
    watched = ImageSource(
        "watched", noted("train", few.train), noted("validation", few.validation), noted("test", few.test)
    )
    result = train_autoencoder(tiny, tmp_path / "a", source=watched, progress=False, callbacks=(Watch(),))
    assert order == ["train", "validation", "fit ended", "test"]
    poisoned = dataclasses.replace(few, test=lambda: noise)
    other = train_autoencoder(tiny, tmp_path / "b", source=poisoned, progress=False)
    assert same_weights(weights(result.folder), weights(other.folder))
    assert result.best_step == other.best_step
    assert result.test != other.test


class StopAt(Callback):
    """What Ctrl-C does, at a given step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        if trainer.global_step == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize("step", [3, 4, 6])
def test_interrupted_and_resumed_run_ends_like_an_uninterrupted_one(few, tiny, tmp_path, step):
    whole = train_autoencoder(tiny, tmp_path / "whole", source=few, progress=False)
    with pytest.raises(KeyboardInterrupt):
        train_autoencoder(tiny, tmp_path / "part", source=few, progress=False, callbacks=(StopAt(step),))
    load_autoencoder(tmp_path / "part" / "last.ckpt")  # readable
    resumed = train_autoencoder(tiny, tmp_path / "part", source=few, progress=False, resume=True)
    assert resumed.test == whole.test
    assert same_weights(weights(resumed.folder, "last.ckpt"), weights(whole.folder, "last.ckpt"))
    steps = [row["step"] for row in metrics_rows(resumed.folder) if row["val/accuracy"]]
    assert steps == [row["step"] for row in metrics_rows(whole.folder) if row["val/accuracy"]]


@pytest.mark.parametrize(
    ("steps", "every", "interval"),
    [(1400, 100, 100), (250, 100, 125), (150, 100, 75), (130, 100, 130), (6, 100, 6), (1, 100, 1)],
)
def test_the_last_step_is_always_validated(steps, every, interval):
    assert AutoencoderConfig(steps=steps, validate_every=every).validation_interval == interval


def test_steps_that_no_interval_divides_are_refused():
    with pytest.raises(
        ValueError, match="steps must be a multiple of a number near validate_every=100, got 1399; .*1400"
    ):
        AutoencoderConfig(steps=1399)


def test_a_run_on_a_graph_of_ones_own_is_recorded_and_resumed_on_that_graph(few, tiny, tmp_path):
    null = random_connectome("degree-preserving", like=load_connectome("varshney2011"), seed=0)
    options = {"source": few, "progress": False}
    whole = train_autoencoder(tiny, tmp_path / "whole", connectome=null, **options)
    assert json.loads((tmp_path / "whole" / "config.json").read_text())["connectome"] == null.name
    with pytest.raises(KeyboardInterrupt):
        train_autoencoder(tiny, tmp_path / "part", connectome=null, callbacks=(StopAt(5),), **options)
    with pytest.raises(ValueError, match="connectome must be the graph of the run"):
        train_autoencoder(tiny, tmp_path / "part", connectome=null.merged(), resume=True, **options)
    with pytest.raises(ValueError, match="config must be that of the interrupted run .*'seed': 0.*got {'seed': 1}"):
        train_autoencoder(tiny.changed(seed=1), tmp_path / "part", resume=True, **options)
    resumed = train_autoencoder(tiny, tmp_path / "part", resume=True, **options)
    assert resumed.model.connectome == null
    assert resumed.test == whole.test


def test_a_run_folder_may_be_moved_before_resuming(few, tiny, tmp_path):
    whole = train_autoencoder(tiny, tmp_path / "whole", source=few, progress=False)
    with pytest.raises(KeyboardInterrupt):
        train_autoencoder(tiny, tmp_path / "here", source=few, progress=False, callbacks=(StopAt(6),))
    (tmp_path / "here").rename(tmp_path / "there")
    resumed = train_autoencoder(tiny, tmp_path / "there", source=few, progress=False, resume=True)
    assert resumed.test == whole.test
    assert len(metrics_rows(resumed.folder)) == len(metrics_rows(whole.folder))


def test_code_longer_than_the_image_is_compared_with_what_pca_can_do(few, tiny, tmp_path):
    result = train_autoencoder(tiny.changed(code=800), tmp_path / "run", source=few, progress=False)
    assert result.pca_components == 96


def test_noise_and_silence_change_the_result_as_they_must(few, tmp_path):
    """Real digits are redrawn better than noise; without synapses the code says nothing of the image."""
    config = AutoencoderConfig(
        steps=60, batch_size=32, validate_every=60, warmup=5, encoder_width=16, decoder_width=16, threads=1
    )
    result = train_autoencoder(config, tmp_path / "digits", source=few, progress=False)
    generator = torch.Generator().manual_seed(0)
    grey = torch.rand(96, 1, 28, 28, generator=generator) * 0.5
    noise = Images(grey, torch.zeros(96, dtype=torch.int64))
    source = ImageSource("noise", lambda: noise, lambda: noise, few.test)
    from_noise = train_autoencoder(config, tmp_path / "noise", source=source, progress=False)
    assert result.test["f1"] > from_noise.test["f1"] + 0.2
    assert result.test["bce"] < from_noise.test["bce"]
    test = ink(few.test().pixels)
    result.model.core.lesion(edges=range(result.model.connectome.num_edges))
    silent = evaluate_reconstruction(result.model, test)
    assert silent["accuracy"] < result.test["accuracy"] - 0.01
    # What is left is one blurred mean digit for all.
    assert silent["f1"] < result.test["f1"] - 0.05


def test_shuffled_targets_are_not_learned(few, tmp_path):
    """The same training on digits paired with other digits: the test digits are no longer redrawn."""
    config = AutoencoderConfig(
        steps=60, batch_size=32, validate_every=60, warmup=5, encoder_width=16, decoder_width=16, threads=1, shift=0
    )
    digits, test = ink(few.train().pixels), ink(few.test().pixels)

    def after_training(targets):
        torch.manual_seed(0)
        model = ElegansAutoencoder(load_connectome("varshney2011"), **config.model_keywords())
        parts = [model.encoder, model.to_code, model.from_code, model.decoder]
        optimizer = MuonAdamW(parameter_groups(model, matrix_parts=parts, lr=2e-3, muon_lr=0.05, weight_decay=0.02))
        for step in range(config.optim.steps):
            batch = torch.arange(32 * step, 32 * (step + 1)) % len(digits)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(model(digits[batch]), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return evaluate_reconstruction(model, test)

    own, shuffled = after_training(digits), after_training(digits.roll(7, 0))
    assert own["f1"] > shuffled["f1"] + 0.1
    assert own["bce"] < 0.8 * shuffled["bce"]


def test_nothing_existing_is_overwritten(few, tiny, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match="folder must be new or empty, got .*; choose another folder, or resume"):
        train_autoencoder(tiny, folder, source=few, progress=False)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    with pytest.raises(ValueError, match="resume must be a run folder with last.ckpt"):
        train_autoencoder(tiny, folder, source=few, progress=False, resume=True)
    with pytest.raises(ValueError, match="name must be a new run's name, got 'run', which exists"):
        new_run_folder(tmp_path, "run", "task")
    assert new_run_folder(tmp_path, None, "task").name == "task-001"
    (tmp_path / "task-001").mkdir()
    assert new_run_folder(tmp_path, None, "task").name == "task-002"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": -5}, "steps must be >= 1, got -5; use steps=1400"),
        ({"batch_size": 0}, "batch_size must be >= 1, got 0"),
        ({"learning_rate": 0.0}, "learning_rate must be positive, got 0.0"),
        ({"ema": 1.0}, r"ema must be in \[0, 1\), got 1.0"),
        ({"steps": 1.5}, "steps must be of type int, got 1.5"),
        ({"accelerator": "tpu"}, "accelerator must be one of cpu, gpu, auto"),
    ],
)
def test_configuration_is_checked(options, message):
    with pytest.raises(ValueError, match=message):
        AutoencoderConfig(**options)


def test_configuration_is_frozen_and_survives_json():
    config = AutoencoderConfig(steps=7, unit="role")
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.optim.steps = 8
    assert AutoencoderConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(ValueError, match="is unknown; did you mean 'steps'"):
        AutoencoderConfig.from_dict({"step": 3})


def test_a_checkpoint_that_is_none_is_refused(tmp_path):
    with pytest.raises(ValueError, match="checkpoint must be a checkpoint or a run folder"):
        load_autoencoder(tmp_path)


def test_checkpoints_hold_plain_data_only(few, tiny, tmp_path):
    train_autoencoder(tiny, tmp_path / "run", source=few, progress=False)
    plain = torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)
    assert plain["hyper_parameters"] == tiny.changed(data="few").resolved().to_dict()
    assert isinstance(plain["connectome"], dict)
    assert np.array_equal(plain["connectome"]["names"][:2], ["ADAL", "ADAR"])
