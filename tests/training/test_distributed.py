"""Two processes with half of each batch do what one process does with the whole."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from elegans_gnn.training.processes import global_rank, launched_from_outside

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("two_processes.py")


def script() -> object:
    spec = importlib.util.spec_from_file_location("two_processes", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_two_gloo_processes_have_the_losses_of_one(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error::UserWarning:elegans_gnn", str(SCRIPT)]
    done = subprocess.run(
        [*command, str(tmp_path / "two"), str(tmp_path / "two.json")],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    two = json.loads((tmp_path / "two.json").read_text())
    one, losses = script().trained(tmp_path / "one", 1)  # type: ignore[attr-defined]
    assert len(losses) == 12
    assert two["losses"] == pytest.approx(losses, abs=1e-5)
    assert two["test"] == pytest.approx(one.test, abs=1e-5)
    assert two["validation"] == pytest.approx(one.validation, abs=1e-5)
    assert (tmp_path / "two" / "summary.json").is_file()
    pair = [torch.load(tmp_path / name / "last.ckpt", weights_only=True)["state_dict"] for name in ("one", "two")]
    for key, value in pair[0].items():
        assert torch.allclose(value, pair[1][key], atol=1e-4), key


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


def test_torchrun_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    assert not launched_from_outside()
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert launched_from_outside()
