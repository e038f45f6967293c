"""Records are whole, locks are exclusive, and what dead processes left is taken over by one process only."""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import pytest

from elegans_gnn.study import ledger as module
from elegans_gnn.study.ledger import Ledger, LedgerError, Trial


def lock_of(ledger: Ledger, key: str, number: int = 0, **changes: object) -> Path:
    """A lock that somebody else left."""
    ledger.locks.mkdir(exist_ok=True)
    path = ledger.locks / f"{key}.{number}"
    path.write_text(json.dumps({"host": os.uname().nodename, "pid": os.getpid(), "started": "1", **changes}))
    return path


def test_a_trial_is_named_by_its_configuration() -> None:
    key = Trial("module:score", "abc", 3).key
    assert key == Trial("module:score", "abc", 3).key
    assert len({key, Trial("module:other", "abc", 3).key, Trial("module:score", "abc", 4).key}) == 3


def test_a_lock_has_one_holder(tmp_path: Path) -> None:
    first, second = Ledger(tmp_path), Ledger(tmp_path)
    assert first.claim("a")
    assert first.owns("a")
    assert not second.claim("a")
    assert second.claim("b")
    first.release("a")
    assert second.claim("a")
    for key in "ab":
        second.release(key)
    assert list(first.locks.iterdir()) == []


def test_a_lock_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ended = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    lock_of(ledger, "dead", pid=int(ended.stdout))
    lock_of(ledger, "again", pid=os.getppid(), started="0")
    assert ledger.claim("dead")
    assert ledger.claim("again"), "the process number is in use again, by another process"
    ledger.release("dead")
    ledger.release("again")
    assert list(ledger.locks.iterdir()) == []


def test_a_lock_of_a_living_process_is_not(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    lock_of(ledger, "alive", pid=os.getppid(), started=module._started(os.getppid()))
    assert not ledger.claim("alive")


def test_a_lock_of_another_machine_lives_by_its_heartbeat(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    path = lock_of(ledger, "far", host="elsewhere", pid=1)
    assert not ledger.claim("far")
    old = time.time() - module.ABANDONED_SECONDS - 5
    os.utime(path, (old, old))
    assert ledger.claim("far")
    # The machine that slept notices that the trial is no longer its own.
    module._HELD.add(path)
    assert ledger.owns("far")
    lock_of(ledger, "far", 2, host="elsewhere")
    assert not ledger.owns("far")
    module._HELD.clear()


def test_renewing_is_what_keeps_a_lock(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    assert ledger.claim("a")
    (path,) = ledger.locks.iterdir()
    os.utime(path, (1, 1))
    ledger.renew("a")
    assert path.stat().st_mtime > time.time() - 60
    ledger.release("a")


def claim_all(folder: Path, start: float) -> list[str]:
    ledger = Ledger(folder)
    time.sleep(max(0.0, start - time.time()))
    return [key for key in map(str, range(40)) if ledger.claim(key)]


def test_of_several_processes_one_takes_over_each_lock(tmp_path: Path) -> None:
    """Three generations of dead holders, four processes that find them at once."""
    ledger = Ledger(tmp_path)
    for key in range(40):
        for number in range(key % 4):
            lock_of(ledger, str(key), number, pid=2**22 + 1)
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        claimed = pool.starmap(claim_all, [(tmp_path, time.time() + 2)] * 4, chunksize=1)
        assert sorted(chain(*claimed)) == sorted(map(str, range(40)))


def test_threads_of_one_process_do_not_share_a_trial(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        claimed = list(pool.map(lambda _: claim_all(tmp_path, 0), range(4)))
    assert sorted(chain(*claimed)) == sorted(map(str, range(40)))
    for key in map(str, range(40)):
        Ledger(tmp_path).release(key)


def test_a_full_disk_leaves_no_half_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(tmp_path)
    ledger.trials.mkdir()
    ledger.write("a", {"status": "failed", "reason": "first"})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LedgerError, match=r'No space left on device \(the result.*"score": 0.5.*are kept'):
        ledger.write("a", {"status": "done", "scores": {"score": 0.5}})
    assert [path.name for path in ledger.trials.iterdir()] == ["a.json"]
    record = ledger.record("a")
    assert record is not None
    assert record["reason"] == "first"


def test_what_killed_writers_left_is_swept_up_in_time(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.trials.mkdir()
    for name, age in (("new", 0), ("old", 2 * 3600)):
        (path := ledger.trials / f".{name}.json.abc").touch()
        os.utime(path, (time.time() - age,) * 2)
    ledger.write("a", {"status": "done"})
    ledger.sweep()
    assert sorted(path.name for path in ledger.trials.iterdir()) == [".new.json.abc", "a.json"]


def test_a_damaged_record_is_named(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.trials.mkdir()
    (ledger.trials / "a.json").write_text('{"status": "do')
    with pytest.raises(ValueError, match=r"a.json.*delete the file to run the trial again"):
        ledger.record("a")
