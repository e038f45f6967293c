"""A resume that fails: the file to resume from stays as it is, and what is wrong with it is said in one line."""

from __future__ import annotations

import json
import re
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import Callback

from elegans_gnn import cli, load_connectome, random_connectome
from elegans_gnn.datasets import ImageSource
from elegans_gnn.training import AutoencoderConfig, ClassifierConfig, train_autoencoder, train_classifier


class BreakOff(Callback):
    """An error, or Ctrl-C pressed twice, in one hook."""

    def __init__(self, hook: str, keys: bool) -> None:
        self.keys = keys
        setattr(self, hook, self._press)

    def _press(self, *_: object, **__: object) -> None:
        if not self.keys:
            raise RuntimeError("out of memory")
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


class StopAt(Callback):
    """What Ctrl-C does, after so many steps."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: L.Trainer, *_: object) -> None:
        if trainer.global_step == self.step:
            raise KeyboardInterrupt


@pytest.fixture
def interrupted(few: ImageSource, tiny: AutoencoderConfig, tmp_path: Path) -> Path:
    """The folder of a run broken off after five of eight steps."""
    with pytest.raises(KeyboardInterrupt):
        train_autoencoder(tiny, tmp_path / "run", source=few, progress=False, callbacks=(StopAt(5),))
    return tmp_path / "run"


@pytest.mark.parametrize("keys", [False, True], ids=["error", "Ctrl-C twice"])
@pytest.mark.parametrize("hook", ["setup", "on_load_checkpoint", "on_fit_start", "on_train_start"])
def test_a_resume_that_breaks_off_while_it_starts_leaves_the_file(
    hook: str, keys: bool, interrupted: Path, few: ImageSource, tiny: AutoencoderConfig
) -> None:
    before = (interrupted / "last.ckpt").read_bytes()
    options: dict[str, Any] = {"source": few, "progress": False, "resume": True}
    with pytest.raises(KeyboardInterrupt if keys else RuntimeError):
        train_autoencoder(tiny, interrupted, callbacks=(BreakOff(hook, keys),), **options)
    assert (interrupted / "last.ckpt").read_bytes() == before
    assert not (interrupted / "last.tmp").exists()
    assert train_autoencoder(tiny, interrupted, **options).seconds < 1000
    assert torch.load(interrupted / "last.ckpt", weights_only=True)["global_step"] == 8


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps, as the command line leaves it."""
    config = ClassifierConfig(data="digits", steps=4, validate_every=2, width=8, batch_size=32, threads=1)
    threads = torch.get_num_threads()
    folder = train_classifier(config, tmp_path_factory.mktemp("finished") / "run", progress=False).folder
    torch.set_num_threads(threads)
    return folder


def another_graph(plain: dict[str, Any]) -> None:
    null = random_connectome("degree-preserving", like=load_connectome("varshney2011"), seed=0)
    plain["connectome"] = null.to_dict()


def missing_weight(name: str) -> Callable[[dict[str, Any]], None]:
    def remove(plain: dict[str, Any]) -> None:
        del plain[name]["model.head.0.weight"]

    return remove


def larger_weight(plain: dict[str, Any]) -> None:
    plain["state_dict"]["model.head.0.bias"] = torch.zeros(3)


def another_run(plain: dict[str, Any]) -> None:
    plain["hyper_parameters"].update(graph="watts-strogatz", graph_seed=3)


NO_WEIGHT = r"resume must be weights of the model it names, got .*last\.ckpt: Missing key.*head.0.weight.*; use the .*"
DAMAGED: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "another graph": (
        another_graph,
        "resume must be a checkpoint whose weights belong to the graph in it, .*, got .*another graph; use the file .*",
    ),
    "another run's file": (
        another_run,
        r"resume must be a checkpoint of the run in .*/run, on varshney2011, got .*last\.ckpt, on watts-strogatz "
        r"\(seed 3\) drawn like varshney2011; use another checkpoint of the run, .*",
    ),
    "no graph": (lambda plain: plain.update(connectome=None), "resume must be a checkpoint with a whole graph, got .*"),
    "half a graph": (lambda plain: plain["connectome"].pop("names"), "resume must be a checkpoint with a whole .*"),
    "a weight missing": (missing_weight("state_dict"), NO_WEIGHT),
    "a weight not averaged missing": (missing_weight("current_model_state"), NO_WEIGHT),
    "a weight of another shape": (larger_weight, "resume must be weights of the model it names, .*size mismatch .*"),
    **{
        f"no {name}": (
            lambda plain, name=name: plain.pop(name),  # type: ignore[misc]
            f"resume must be a checkpoint with {name}, got .*, which lacks it; use another checkpoint of the run, .*",
        )
        for name in ("optimizer_states", "lr_schedulers", "loops", "callbacks", "current_model_state")
    },
}


@pytest.mark.parametrize("case", DAMAGED)
def test_what_cannot_be_resumed_is_said_in_one_line(
    case: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage, message = DAMAGED[case]
    folder = shutil.copytree(finished, tmp_path / "run")
    plain = torch.load(folder / "last.ckpt", weights_only=True)
    damage(plain)
    torch.save(plain, folder / "last.ckpt")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert cli.main(["train", "digits-classifier", "--resume", str(folder)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(f"elegans-gnn: {message}", line), line
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_somebody_elses_file_among_the_weights_is_noticed_before_all_is_evaluated(
    finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shutil.copytree(finished, tmp_path / "run")
    (folder / "model" / "notes.txt").write_text("mine")
    (folder / "summary.json").write_text("as it was")
    assert cli.main(["train", "digits-classifier", "--resume", str(folder)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "folder must be one with a model and nothing else, got" in line
    assert "notes.txt" in line
    assert (folder / "summary.json").read_text() == "as it was"
    (folder / "model" / "notes.txt").unlink()
    assert cli.main(["train", "digits-classifier", "--resume", str(folder), "--no-progress"]) == 0
    again, first = (json.loads((place / "summary.json").read_text()) for place in (folder, finished))
    assert again["test"] == first["test"]
