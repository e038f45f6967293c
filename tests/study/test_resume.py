"""kill -9 at random moments, of the driver and of workers: what was finished stays as it is and never runs again."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from elegans_gnn.study import open_study
from tests.study import scores
from tests.study.scores import run
from tests.study.test_engine import drive

pytestmark = pytest.mark.filterwarnings("ignore::elegans_gnn.study.design.WeakDesignWarning")
TIMES = ("seconds", "finished", "conditions")


def finished(folder: Path) -> dict[str, bytes]:
    contents = {path.name: path.read_bytes() for path in folder.glob("trials/*.json")}
    return {name: content for name, content in contents.items() if b'"status": "done"' in content}


def table(folder: Path) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in TIMES} for row in open_study(folder).rows]


def kill_and_resume(tmp_path: Path, kills: int, graphs: int) -> None:
    """Starts a study again and again and kills its driver or one of its workers, until `kills` have hit."""
    out, log, chance = tmp_path / "out", Path(os.environ[scores.LOG]), random.Random(3)
    begun_when_done: dict[str, int] = {}
    before: dict[str, bytes] = {}
    hits = Counter[str]()
    while sum(hits.values()) < kills:
        process = drive(out, "slow", 2, graphs)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        lines = len(_begun(log))
        while len(_begun(log)) == lines:
            assert process.poll() is None, "the study ended before it could be killed"
            time.sleep(0.02)
        time.sleep(chance.uniform(0, 1.2))
        target = chance.choice(["driver", "worker"])
        workers = [int(word) for word in children.read_text().split()] if process.poll() is None else []
        if process.poll() is None and (target == "driver" or workers):
            os.kill(process.pid if target == "driver" else chance.choice(workers), signal.SIGKILL)
            hits[target] += 1
        if target == "worker":
            time.sleep(chance.uniform(0, 0.5))
            process.kill()
        process.communicate()
        time.sleep(0.3)  # workers of a killed driver end by themselves
        now = finished(out)
        assert before.items() <= now.items(), "a finished trial was lost or changed"
        begun = Counter(_begun(log))
        for name in now:
            begun_when_done.setdefault(name, begun[_configuration(out, name)])
        for name, count in begun_when_done.items():
            assert begun[_configuration(out, name)] == count, "a finished trial ran again"
        before = now
    study = run(out, scores.slow, graphs_per_null=graphs, retry=True, workers=2)
    assert study.status.keys() == {"done"}
    assert before.items() <= finished(out).items()
    # A process killed while it wrote may leave a file under a hidden name, which is swept up later.
    assert [path for path in (out / "locks").iterdir() if not path.name.startswith(".")] == []
    undisturbed = run(tmp_path / "calm", scores.slow, graphs_per_null=graphs, workers=0)
    assert table(out) == table(tmp_path / "calm")
    assert repr(study.comparisons) == repr(undisturbed.comparisons)
    assert hits.keys() == {"driver", "worker"}
    assert sum(hits.values()) == kills


def _begun(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def _configuration(folder: Path, name: str) -> str:
    record = json.loads((folder / "trials" / name).read_text())
    return f"{record['graph']} {record['seed']}"


def test_three_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(scores.LOG, str(tmp_path / "log"))
    kill_and_resume(tmp_path, 3, graphs=6)


@pytest.mark.hard
def test_thirty_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(scores.LOG, str(tmp_path / "log"))
    kill_and_resume(tmp_path, 30, graphs=60)
