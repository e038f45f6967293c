"""`elegans-gnn train`: help that teaches, a whole run, one line for every mistake, Ctrl-C and going on."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import fields
from pathlib import Path

import pytest
import torch

from elegans_gnn import __version__, cli
from elegans_gnn.commands._tasks import TASKS, read_settings
from elegans_gnn.training import AutoencoderConfig, ClassifierConfig, load_autoencoder

ROOT = Path(__file__).resolve().parents[1]
TRAIN = ("train", "mnist-autoencoder")
SMALL = (
    "--threads", "1", "--batch-size", "8", "--code", "16", "--encoder-width", "8", "--decoder-width", "8",
    "--decoder-blocks", "1", "--no-progress",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _as_before() -> object:
    """The command sets the number of threads and a variable of the environment."""
    threads, variable = torch.get_num_threads(), os.environ.get("THP_MEM_ALLOC_ENABLE")
    yield
    torch.set_num_threads(threads)
    if variable is None:
        os.environ.pop("THP_MEM_ALLOC_ENABLE", None)


@pytest.mark.parametrize("arguments", [(), ("train",), TRAIN, ("train", "digits-classifier"), ("eval",), ("predict",)])
def test_help_teaches(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main([*arguments, "--help"])
    assert left.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    expected = {
        (): ["train", "eval", "predict", "models", "connectome", "--version", "C. elegans"],
        ("train",): ["mnist-autoencoder", "redraw handwritten digits", "digits-classifier", "RUNS/NAME"],
        ("train", "digits-classifier"): ["--fold", "0 to 4", "--preset headline", "--backbone", "torchrun"],
        ("eval",): ["RUN", "--part", "validation", "--json"],
        ("predict",): ["IMAGES", "PNG", "CSV", "--out"],
        TRAIN: [
            "--data",
            "no download",
            "--smoke",
            "--resume",
            "elegans-gnn connectome list",
            "(default: varshney2011)",
        ],
    }[arguments]
    for part in expected:
        assert part in text


def test_every_setting_is_an_option_with_its_default(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "500")  # no word is broken
    with pytest.raises(SystemExit):
        cli.main([*TRAIN, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for item in fields(AutoencoderConfig):
        option = f"--{item.name.replace('_', '-')} "
        assert option in text
        assert f"(default: {item.default})" in text.partition(f" {option}{item.name.upper()} ")[2].split(" --")[0]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"elegans-gnn {__version__}\n"


def test_smoke_run_from_end_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main([*TRAIN, "--smoke", "--no-progress", "--threads", "1", "--seed", "5"]) == 0
    printed = capsys.readouterr().out
    folder = tmp_path / "runs" / "mnist-autoencoder-001"
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]
    written = {path.name for path in folder.iterdir()}
    assert written == {
        "best.ckpt", "last.ckpt", "metrics.csv", "config.json", "summary.json", "reconstructions.png",
        "edge_weights.png", "tensorboard", "model",
    }  # fmt: skip
    assert json.loads((folder / "config.json").read_text())["seed"] == 5
    summary = json.loads((folder / "summary.json").read_text())
    assert 100 * summary["pca128_test"]["accuracy"] == pytest.approx(99.53, abs=0.01)
    assert set(summary["test"]) == {"accuracy", "f1", "bce", "ssim"}
    assert f"{100 * summary['test']['accuracy']:.3f}" in printed
    for part in ("pixel accuracy", "F1", "BCE", "SSIM", "PCA", "parameters: encoder", "core 7,710", "trained for"):
        assert part in printed
    assert "runs/mnist-autoencoder-001" in printed
    assert load_autoencoder(folder).connectome.num_neurons == 279


MISTAKES = {
    "unknown connectome": (
        ["--connectome", "varshney2012"],
        "name must be one of varshney2011, .*, got 'varshney2012'; did you mean 'varshney2011'.",
    ),
    "negative steps": (["--steps", "-3"], r"steps must be >= 1, got -3; use steps=\d+"),
    "unreachable outputs": (["--core-steps", "1"], "outputs .*"),
    "unknown unit": (["--unit", "roles"], "unit must be one of .*, got 'roles'; did you mean 'role'."),
    "no channels": (["--channels", "0"], "channels must be .*, got 0; .*"),
    "no number": (["--learning-rate", "nan"], "learning_rate must be positive, got nan; use learning_rate=0.002"),
    "negative decay": (["--weight-decay", "-1"], "weight_decay must be >= 0, got -1.0; .*"),
    "unknown accelerator": (["--accelerator", "tpu"], "accelerator must be one of cpu, gpu, auto, got 'tpu'; .*"),
    "a folder that is not MNIST": (["--data", "."], "data must be mnist5k, mnist, or a folder .*, got '.' .*"),
    "no such folder": (["--data", "pictures"], "data must be .*, got 'pictures' .no such folder.; unpack .*"),
    "existing run": (["--name", "old"], "name must be a new run's name, got 'old', which exists in runs; .*"),
    "a path as a name": (["--name", "../out"], "name must be a plain folder name, got '../out'; .*"),
    "a file for the runs": (["--runs", "notes.txt"], "runs must be a folder, got notes.txt, which is a file; .*"),
    "resume of nothing": (
        ["--resume", "runs/new"],
        "--resume must be the folder of a run, with config.json and last.ckpt, got runs/new; start the run anew .*",
    ),
    "resume of no run": (["--resume", "runs/old"], "--resume must be the folder of a run, .*, got runs/old; .*"),
    "resume of a damaged checkpoint": (
        ["--resume", "runs/damaged"],
        r"resume must be a readable checkpoint, got runs/damaged/last\.ckpt, which is damaged .*; use another .*",
    ),
    "resume of another task": (
        ["--resume", "runs/classifier"],
        "--resume must be a run of mnist-autoencoder, got runs/classifier, one of mnist-classifier; use elegans-gnn "
        "train mnist-classifier --resume runs/classifier",
    ),
    "unknown preset": (
        ["--preset", "headlines"],
        "preset must be one of smoke, demo, headline, got 'headlines'; did you mean 'headline'.",
    ),
    "no configuration file": (["--config", "none.yaml"], "--config must be a readable file, got none.yaml: .*"),
    "not YAML": (["--config", "broken.yaml"], "--config must be a YAML file, got broken.yaml: .*; write lines .*"),
    "YAML without settings": (
        ["--config", "notes.txt"],
        "--config must be a file with one setting a line, .*: str; .*",
    ),
    "unknown setting": (
        ["--config", "unknown.yaml"],
        "a setting in unknown.yaml must be one of .*, got 'step'; did you mean 'steps'.",
    ),
    "wrong type in a file": (["--config", "words.yaml"], "steps must be of type int, got 'many'; .*"),
    "half of the files": (
        ["--data", "half"],
        "data must be mnist5k, mnist, or a folder .*a folder without t10k-images-idx3-ubyte, .*; unpack .*",
    ),
    "small digits": (
        ["--data", "digits"],
        "data must be of images with 1 channel and 28 x 28 pixels, got 1 x 8 x 8; .*",
    ),
    "unknown model": (["--model", "mpl"], "model must be one of .*, got 'mpl'; did you mean 'mlp'."),
    "unknown core": (["--core", "denes"], "core must be one of .*, got 'denes'; did you mean 'dense'."),
    "unknown random graph": (["--graph", "watts"], ".*watts-strogatz.*"),
    "resume of a broken run": (
        ["--resume", "runs/broken"],
        "--resume must be the folder of a run with a readable config.json, got runs/broken/config.json: Expecting .*",
    ),
    "resume with other settings": (["--resume", "runs/old", "--seed", "1"], "--resume must be alone, .*"),
    "resume under another name": (["--resume", "runs/old", "--name", "b"], "--resume must be alone, .*"),
}


def listing(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_costs_one_line_and_nothing_is_written(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs/old").mkdir(parents=True)
    Path("runs/broken").mkdir()
    Path("runs/broken/last.ckpt").write_bytes(b"")
    Path("runs/broken/config.json").write_text("{")
    Path("notes.txt").write_text("mine")
    Path("broken.yaml").write_text("steps: [3")
    Path("unknown.yaml").write_text("step: 3")
    Path("words.yaml").write_text("steps: many")
    for name, settings in (("damaged", AutoencoderConfig()), ("classifier", ClassifierConfig())):
        Path("runs", name).mkdir()
        Path("runs", name, "last.ckpt").write_bytes(b"PK cut off")
        Path("runs", name, "config.json").write_text(json.dumps(settings.to_dict()))
    Path("half").mkdir()
    for kind in ("images-idx3", "labels-idx1"):
        Path("half", f"train-{kind}-ubyte").write_bytes(b"")
    before = listing(tmp_path)
    options, message = MISTAKES[case]
    assert cli.main([*TRAIN, *options]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert re.fullmatch(f"elegans-gnn: {message}\n", printed.err), printed.err
    assert listing(tmp_path) == before


def test_later_settings_win(tmp_path: Path) -> None:
    """Preset, then file, then options; 2e-3 is a number although YAML has it as text."""
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
    assert ("fold" in task.options()) == (name == "digits-classifier")


def test_a_file_for_another_task_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("data: cifar10")
    with pytest.raises(ValueError, match="data in .*mine.yaml must be 'digits', got 'cifar10'; choose another task"):
        read_settings(file, TASKS["digits-classifier"])


def test_cifar_without_network_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "cifar100-classifier"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("elegans-gnn: CIFAR-100 is not in downloads and could not be downloaded; unpack ")
    assert not Path("runs").exists()


def test_a_gpu_that_is_not_there_is_said_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert cli.main([*TRAIN, "--accelerator", "gpu"]) == 2
    assert "gpu on a machine where torch finds none; use accelerator='cpu'" in capsys.readouterr().err
    assert listing(tmp_path) == []


def test_mnist_without_network_is_said_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.chdir(tmp_path)
    assert cli.main([*TRAIN, "--data", "mnist"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("elegans-gnn: MNIST is not in downloads and could not be downloaded; put its files ")
    assert line.endswith("data='mnist5k'")
    assert not Path("runs").exists()


@pytest.mark.parametrize("arguments", [[], ["train"], ["train", "mnist"], [*TRAIN, "--steps", "many"]])
def test_what_argparse_refuses_exits_with_2_too(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    assert left.value.code == 2
    assert "usage: elegans-gnn" in capsys.readouterr().err


def test_a_defect_of_ours_shows_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain ValueError is no message to the user: it must not be dressed up as one."""

    def broken(_: object) -> int:
        raise ValueError("a defect")

    monkeypatch.setattr(cli.train, "run", broken)
    with pytest.raises(ValueError, match="a defect"):
        cli.main([*TRAIN])


def test_ctrl_c_leaves_a_readable_checkpoint_and_says_how_to_go_on(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "elegans_gnn.cli", *TRAIN]
    folder = tmp_path / "runs" / "mine"
    steps = ("--steps", "60", "--validate-every", "20", "--name", "mine")
    with subprocess.Popen(
        [*command, *SMALL, *steps], cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as started:
        deadline = time.monotonic() + 300
        while not (folder / "best.ckpt").is_file() and started.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        started.send_signal(signal.SIGINT)
        _, said = started.communicate(timeout=300)
    assert started.returncode == 130, said
    assert said.splitlines()[-1] == "interrupted; go on with: elegans-gnn train mnist-autoencoder --resume runs/mine"
    assert "Traceback" not in said
    assert not (folder / "summary.json").exists()
    stopped = torch.load(folder / "last.ckpt", weights_only=True)["global_step"]
    assert 20 <= stopped < 60
    load_autoencoder(folder / "last.ckpt")

    again = said.splitlines()[-1].partition("elegans-gnn ")[2].split()
    resumed = subprocess.run(
        [sys.executable, "-m", "elegans_gnn.cli", *again, "--no-progress"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert resumed.returncode == 0, resumed.stderr
    assert torch.load(folder / "last.ckpt", weights_only=True)["global_step"] == 60
    assert "pixel accuracy" in resumed.stdout
    assert (folder / "summary.json").is_file()
    with open(folder / "metrics.csv", newline="") as file:
        validated = [int(row["step"]) for row in csv.DictReader(file) if row["val/accuracy"]]
    assert validated == [20, 40, 60]
