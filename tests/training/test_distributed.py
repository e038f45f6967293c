"""Two processes with half of each batch do what one process does with the whole."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from elegans_gnn.training.folder import global_rank, launched_from_outside

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("two_processes.py")


def script() -> object:
    spec = importlib.util.spec_from_file_location("two_processes", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def start(folder: Path, *told: str) -> subprocess.CompletedProcess[str]:
    """The script in two processes; its report lies beside the run's folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error::UserWarning:elegans_gnn", str(SCRIPT)]
    return subprocess.run(
        [*command, str(folder), str(folder.with_suffix(".json")), *told],
        cwd=folder.parent, env=environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


def last(folder: Path) -> dict[str, Any]:
    plain: dict[str, Any] = torch.load(folder / "last.ckpt", weights_only=True)
    return plain


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a whole run of two processes."""
    folder = tmp_path_factory.mktemp("distributed") / "two"
    done = start(folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_two_gloo_processes_have_the_losses_of_one(two: Path, tmp_path: Path) -> None:
    report = json.loads(two.with_suffix(".json").read_text())
    one, losses = script().trained(tmp_path / "one", 1)  # type: ignore[attr-defined]
    assert len(losses) == 12
    assert report["losses"] == pytest.approx(losses, abs=1e-5)
    assert report["test"] == pytest.approx(one.test, abs=1e-5)
    assert report["validation"] == pytest.approx(one.validation, abs=1e-5)
    assert (two / "summary.json").is_file()
    weights = last(two)["state_dict"]
    for key, value in last(one.folder)["state_dict"].items():
        assert torch.allclose(value, weights[key], atol=1e-4), key


@pytest.mark.hard
def test_two_processes_stop_together_and_go_on_as_if_nothing_had_been(two: Path, tmp_path: Path) -> None:
    """One of them is told to stop in the middle of a step; both leave after it."""
    folder = tmp_path / "part"
    stopped = start(folder, "stop", "8")
    assert stopped.returncode != 0
    assert "KeyboardInterrupt" in stopped.stderr
    assert last(folder)["global_step"] == 9
    assert not (folder / "summary.json").exists()
    done = start(folder, "resume")
    assert done.returncode == 0, done.stderr
    whole, rest = (json.loads(path.with_suffix(".json").read_text()) for path in (two, folder))
    assert rest["losses"] == whole["losses"][9:]
    assert (rest["test"], rest["validation"]) == (whole["test"], whole["validation"])
    state = last(two)["state_dict"]
    assert all(torch.equal(value, state[key]) for key, value in last(folder)["state_dict"].items())
    with open(folder / "metrics.csv", newline="") as file:
        validated = [row["step"] for row in csv.DictReader(file) if row["val/accuracy"]]
    assert validated == ["6", "12"]


@pytest.mark.parametrize(
    ("variables", "rank"),
    [({}, 0), ({"LOCAL_RANK": "1"}, 1), ({"RANK": "5", "LOCAL_RANK": "1"}, 5), ({"RANK": "0", "LOCAL_RANK": "0"}, 0)],
)
def test_the_rank_is_read_from_what_the_launcher_sets(
    variables: dict[str, str], rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert global_rank() == rank


@pytest.mark.parametrize(
    ("variables", "outside"),
    [
        ({}, False),
        ({"TORCHELASTIC_RUN_ID": "none"}, True),
        ({"SLURM_NTASKS": "2"}, True),
        ({"SLURM_NTASKS": "1"}, False),
    ],
)
def test_a_start_from_outside_is_noticed(
    variables: dict[str, str], outside: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TORCHELASTIC_RUN_ID", "SLURM_NTASKS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert launched_from_outside() == outside
