"""`elegans-gnn study`: from its help to a finished study, interrupted on the way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from elegans_gnn import cli
from elegans_gnn.study.specs import READY

ROOT = Path(__file__).resolve().parents[2]
SMALL = ("--smoke", "--set", "controls=[frozen]", "--set", "nulls=[erdos-renyi]")


def command(*arguments: str, **options: object) -> list[str]:
    return [sys.executable, "-m", "elegans_gnn.cli", "study", *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def test_help_and_list_name_every_study_and_load_no_torch(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["study", "--help"], ["study", "run", "--help"]):
        with pytest.raises(SystemExit):
            cli.main(arguments)
    cli.main(["study", "list"])
    cli.main(["study", "run", "--list"])
    text = " ".join(capsys.readouterr().out.split())
    assert [text.count(f"{name} {spec.title}") for name, spec in READY.items()] == [4] * len(READY)
    code = (
        "import sys; from elegans_gnn import cli; cli.main(['study', 'list'])\n"
        "print({'torch', 'scipy'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment(), cwd=ROOT
    )
    assert done.stdout.splitlines()[-1] == "set()"


def test_a_study_from_start_to_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    assert cli.main(["study", "run", "paper", "--out", out, *SMALL, "--workers", "0", "--steps", "1"]) == 0
    said = capsys.readouterr()
    assert "erdos-renyi" in said.out
    assert "a sign-flip test cannot go below 0.5" in said.err
    assert "6 of 6 trials are done" in said.err
    assert json.loads((tmp_path / "out" / "study.json").read_text())["settings"]["steps"] == 1
    assert cli.main(["study", "status", out, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["trials"] == {"done": 6}
    assert [row["other"] for row in found["comparisons"]] == ["erdos-renyi", "frozen"]
    assert cli.main(["study", "report", out, "--out", str(tmp_path / "elsewhere")]) == 0
    assert (tmp_path / "elsewhere" / "report.html").exists()
    assert cli.main(["study", "run", "paper", "--out", out, *SMALL, "--steps", "2"]) == 2
    assert "settings[steps] = 1, got settings[steps] = 2; choose a new folder" in capsys.readouterr().err


def test_retry_runs_failures_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert cli.main(["study", "run", "core", "--out", str(out), *SMALL, "--workers", "0"]) == 0
    path = sorted((out / "trials").glob("*.json"))[0]
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "status": "failed", "reason": "the power went out", "traceback": ""}))
    assert cli.main(["study", "run", "core", "--out", str(out), *SMALL, "--workers", "0"]) == 1
    assert f"1 trials failed; run them again with: elegans-gnn study retry {out}" in capsys.readouterr().out
    assert cli.main(["study", "retry", str(out), "--workers", "0", "--no-progress"]) == 0
    assert "failed" not in capsys.readouterr().out
    assert json.loads(path.read_text())["scores"] == record["scores"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_cleanly_and_says_how_to_go_on(number: signal.Signals, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = command("run", "paper", "--out", str(out), *SMALL, "--set", "steps=40", "--workers", "1")
    process = subprocess.Popen(
        run, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 120
    while not list(out.glob("trials/*.json")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(process.pid, number)  # as a terminal and a scheduler do: the workers get it too
    said = process.communicate(timeout=60)[1]
    assert process.returncode == cli.EXIT_INTERRUPTED
    assert "run the same command again to go on" in said
    records = [json.loads(path.read_text())["status"] for path in out.glob("trials/*.json")]
    assert records
    assert set(records) == {"done"}
    assert not list(out.glob("locks/*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run"], "STUDY must be given"),
        (["run", "paper"], "--out must be given"),
        (["run", "papr", "--out", "x"], "did you mean 'paper'"),
        (["run", "paper", "--out", "x", "--set", "steps"], "--set must be NAME=VALUE"),
        (["run", "paper", "--out", "x", "--set", "a=["], "--set must be a value as YAML writes it"),
        (["run", "paper", "--out", "x", "--smoke", "--set", "step=3"], "step"),
        (["run", "paper", "--out", "x", "--workers", "-1"], "--workers must be >= 0"),
        (["status", "x"], "folder must be the folder of a study"),
        (["retry", "x"], "DIR must be the folder of `elegans-gnn study run`"),
    ],
)
def test_mistakes_cost_one_line(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["study", *arguments]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "x").exists()


def test_a_folder_that_cannot_be_written_costs_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert cli.main(["study", "run", "core", "--out", str(tmp_path / "file" / "out"), *SMALL]) == 2
    assert "cannot write" in capsys.readouterr().err
