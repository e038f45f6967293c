"""Trials that fail, in all the ways they can: each costs itself alone and says why."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from elegans_gnn.study import LedgerError, open_study
from elegans_gnn.study.engine import execute
from tests.study import scores
from tests.study.scores import run, small_graph

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.filterwarnings("ignore::elegans_gnn.study.design.WeakDesignWarning")
# Two graphs and two seeds: four processes.
PAIR: dict[str, Any] = {"graphs_per_null": 2, "seeds": range(2), "metric": "score"}


def failures(study: Any) -> dict[int, str]:
    return {row["seed"]: row["reason"] for row in study.rows if row["status"] == "failed"}


@pytest.mark.parametrize(
    ("function", "metric", "reason"),
    [
        (scores.not_a_number, "score", r"score['score'] must be a finite number, got nan; did the training diverge?"),
        (scores.raising, "score", "FloatingPointError: the loss is infinite"),
        (scores.other_keys, "accuracy", "the score returned ['accuracy', 'loss'], other trials ['accuracy']"),
    ],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_a_trial_that_fails_is_recorded_with_its_reason(
    function: Any, metric: str, reason: str, workers: int, tmp_path: Path
) -> None:
    study = run(tmp_path, function, **{**PAIR, "metric": metric}, workers=workers)
    assert study.status == {"done": 2, "failed": 2}
    assert failures(study).keys() == {1}
    assert reason in failures(study)[1]
    assert {comparison.verdict for comparison in study.comparisons} == {"undecided"}
    assert study.comparisons[0].missing == 2
    assert reason.split(";")[0].split("'")[0] in (study.report().parent / "report.md").read_text()


def test_a_worker_that_is_killed_costs_its_trial_alone(tmp_path: Path) -> None:
    study = run(tmp_path, scores.dying, **PAIR, workers=2)
    assert study.status == {"done": 2, "failed": 2}
    assert failures(study) == {1: "the worker process died: SIGKILL (out of memory?)"}


def test_failures_run_again_only_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(scores.LOG, str(tmp_path / "mark"))
    out = tmp_path / "out"
    assert run(out, scores.dying_once, **PAIR).status == {"done": 3, "failed": 1}
    kept = {path: path.read_bytes() for path in (out / "trials").iterdir()}
    assert run(out, scores.dying_once, **PAIR).status == {"done": 3, "failed": 1}
    assert {path: path.read_bytes() for path in (out / "trials").iterdir()} == kept
    assert run(out, scores.dying_once, **PAIR, retry=True).status == {"done": 4}
    changed = [path for path, content in kept.items() if path.read_bytes() != content]
    assert len(changed) == 1


@pytest.mark.parametrize(
    ("result", "message"),
    [
        ({"loss": 1.0}, r"score must be a number or a dict with 'score', got a dict with \['loss'\]"),
        ({"score": 1.0, "note": "good"}, r"score\['note'\] must be a number or a list of numbers, got 'good'"),
        ({"score": [1.0, 2.0]}, r"score\['score'\] must be a finite number, got a list"),
        ({"score": float("inf")}, r"got inf"),
        (None, r"score\['score'\] must be a number or a list of numbers, got None"),
    ],
)
def test_what_a_score_may_not_return(result: Any, message: str) -> None:
    outcome = execute(lambda connectome, seed: result, small_graph(), 0, "score")
    assert outcome["status"] == "failed"
    assert re.search(message, outcome["reason"])


def test_numbers_of_other_libraries_are_taken() -> None:
    import numpy as np
    import torch

    result = {"score": torch.tensor(0.5), "steps": np.int64(3), "curve": np.arange(3), "loss": torch.ones(2)}
    outcome = execute(lambda connectome, seed: result, small_graph(), 0, "score")
    assert outcome["scores"] == {"score": 0.5, "steps": 3.0}
    assert outcome["curves"] == {"curve": [0.0, 1.0, 2.0], "loss": [1.0, 1.0]}
    assert outcome["conditions"]["versions"]["torch"] == torch.__version__


def drive(folder: Path, function: str, workers: int, graphs: int = 6, **options: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.study.scores", str(folder), function, str(workers), str(graphs)]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options
    )  # fmt: skip


def test_ctrl_c_stops_cleanly_and_says_how_to_go_on(tmp_path: Path) -> None:
    process = drive(tmp_path, "slow", 2, process_group=0)
    while len(list(tmp_path.glob("trials/*.json"))) < 2:
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode != 0
    assert "stopped; finished trials are kept: run the same command again to go on" in said
    assert list((tmp_path / "locks").iterdir()) == []
    done = {path: path.read_bytes() for path in (tmp_path / "trials").iterdir()}
    assert len(done) >= 2
    study = run(tmp_path, scores.slow, workers=2)
    assert study.status == {"done": 12}
    assert {path: path.read_bytes() for path in done} == done


def test_two_processes_on_one_folder_share_the_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(scores.LOG, str(tmp_path / "log"))
    both = [drive(tmp_path / "out", "slow", 1) for _ in range(2)]
    said = [process.communicate(timeout=120) for process in both]
    assert [out for out, _ in said] == ["{'done': 12}\n"] * 2
    begun = (tmp_path / "log").read_text().splitlines()
    assert len(begun) == len(set(begun)) == 12


def test_a_full_disk_stops_the_study_and_loses_nothing(tmp_path: Path) -> None:
    """A limit on the size of files stands for the disk: records no longer fit, what is written stays whole."""
    study = run(tmp_path, workers=0, seeds=range(2), graphs_per_null=2)
    done = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    for path in sorted((tmp_path / "trials").iterdir())[:2]:
        path.unlink()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300, before[1]))
    try:
        # plan.json does not fit either, and is the first to say so.
        with pytest.raises(LedgerError, match="cannot write: File too large; make room"):
            run(tmp_path, workers=0, seeds=range(2), graphs_per_null=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not [path for path in tmp_path.rglob(".*") if path.is_file()]
    assert len(list((tmp_path / "trials").iterdir())) == 2
    again = run(tmp_path, workers=0, seeds=range(2), graphs_per_null=2)
    assert again.status == {"done": 4}
    assert repr(again.comparisons) == repr(study.comparisons)
    assert set(done) == set(tmp_path.rglob("*.json"))


def test_a_read_only_folder_is_named_and_a_finished_study_in_it_opens(tmp_path: Path) -> None:
    """As a user without rights to the folder, since root may write anywhere."""
    run(tmp_path, workers=0, seeds=range(2), graphs_per_null=2)
    missing = sorted((tmp_path / "trials").iterdir())[0]
    missing.unlink()
    folders = [tmp_path, *filter(Path.is_dir, tmp_path.iterdir())]
    for folder in tmp_path.parents[:3]:
        folder.chmod(folder.stat().st_mode | 0o055)
    for folder in folders:
        folder.chmod(0o555)
    root = os.geteuid() == 0
    try:
        if root:
            os.seteuid(65534)
        assert open_study(tmp_path).status == {"not run": 1, "done": 3}
        with pytest.raises(LedgerError, match="cannot write: Permission denied; make room or give write access"):
            run(tmp_path, workers=0, seeds=range(2), graphs_per_null=2)
    finally:
        if root:
            os.seteuid(0)
        for folder in folders:
            folder.chmod(0o755)
    assert not missing.exists()
    assert run(tmp_path, workers=0, seeds=range(2), graphs_per_null=2).status == {"done": 4}


def test_a_worker_does_not_outlive_its_driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the next driver would run a trial at the same time as the orphan."""
    monkeypatch.setenv(scores.LOG, str(tmp_path / "log"))
    process = drive(tmp_path / "out", "endless", 1)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while not (tmp_path / "log").exists():
        assert process.poll() is None
        time.sleep(0.05)
    workers = [int(word) for word in children.read_text().split()]
    process.kill()
    process.communicate()
    patience = time.monotonic() + 10
    while any(map(_alive, workers)) and time.monotonic() < patience:
        time.sleep(0.05)
    assert not any(_alive(worker) for worker in workers)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False
