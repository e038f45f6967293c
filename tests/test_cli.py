"""`elegans-gnn`: help that teaches, a whole run, exit codes, Ctrl-C and going on."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from elegans_gnn import __version__, cli
from elegans_gnn.training import AutoencoderConfig, load_autoencoder

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


def test_options_are_not_guessed_from_their_beginning(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["train", "digits-classifier", "--out", "somewhere"])
    assert stopped.value.code == 2
    assert "unrecognized arguments: --out somewhere" in capsys.readouterr().err


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
            "--data ",
            "no download",
            "--smoke",
            "--resume",
            "elegans-gnn connectome list",
            "(default: varshney2011)",
            "mnist5k, mnist, fashion-",
            "lattice",
            "reservoir",
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
    for name, value in AutoencoderConfig().resolved().settings().items():
        option = f"--{name.replace('_', '-')}"
        about = text.partition(f" {option} {name.upper()} ")[2] or text.partition(f" {option}, ")[2].partition(" ")[2]
        assert about, name
        shown = {"None": "none", "True": "on", "False": "off"}.get(str(value), value)
        assert f"default: {shown})" in about.split(" --")[0], name


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


WRONG = [
    ([], "elegans-gnn: the following arguments are required: COMMAND; see elegans-gnn --help"),
    (["train"], "elegans-gnn train: the following arguments are required: TASK, OPTIONS; see elegans-gnn train --help"),
    (["train", "mnist"], "elegans-gnn train: argument TASK: invalid choice: 'mnist' .*; see elegans-gnn train --help"),
    ([*TRAIN, "--steps", "many"], "elegans-gnn train mnist-autoencoder: --steps must be of type int, got many; see .*"),
    ([*TRAIN, "--stpes", "3"], ".*: unrecognized arguments: --stpes 3; did you mean --steps."),
    ([*TRAIN, "--leak", "much"], ".*--leak.*'much' is not a number; see .*"),
    (["predict", "run", "a.png", "--wite", "1"], ".*: unrecognized arguments: --wite 1; did you mean --white."),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG)
def test_a_wrong_option_costs_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(arguments)
    assert left.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert re.fullmatch(message, printed.err.removesuffix("\n")), printed.err


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
