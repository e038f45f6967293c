"""One metrics.csv across kills: no row twice, none lost, and what was cut off is passed over."""

from __future__ import annotations

import csv
from contextlib import ExitStack
from pathlib import Path

import pytest

from elegans_gnn.training.folder import kept_rows


def logged(path: Path, steps: range, part: str, torn: str = "") -> None:
    """What Lightning's logger leaves: a file of its own, begun anew, perhaps cut off in its last row."""
    rows = "".join(f"{step},{part}\n" for step in steps)
    path.write_text(f"step,part\n{rows}{torn}")


def rows(path: Path) -> list[tuple[int, str]]:
    with open(path, newline="") as file:
        return [(int(row["step"]), row["part"]) for row in csv.DictReader(file)]


def killed(path: Path, steps: range, part: str, torn: str = "") -> None:
    """A part that gets to its end in no way: nothing after the rows is run."""
    stack = ExitStack()
    stack.enter_context(kept_rows(path))
    logged(path, steps, part, torn)
    stack.pop_all()


def test_two_kills_leave_each_step_once(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    killed(path, range(1, 8), "first", torn="8,fi")
    killed(path, range(5, 11), "second", torn="11")
    with kept_rows(path):
        path.unlink()  # as the logger does when it begins
        logged(path, range(9, 13), "third")
    expected = {"first": range(1, 5), "second": range(5, 9), "third": range(9, 13)}
    assert rows(path) == [(step, part) for part, steps in expected.items() for step in steps]
    assert [found.name for found in tmp_path.iterdir()] == ["metrics.csv"]


def test_a_kill_before_the_first_row_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    killed(path, range(1, 5), "first")
    stack = ExitStack()
    stack.enter_context(kept_rows(path))
    path.unlink()
    stack.pop_all()
    with kept_rows(path):
        logged(path, range(3, 6), "third")
    assert rows(path) == [(1, "first"), (2, "first"), (3, "third"), (4, "third"), (5, "third")]


@pytest.mark.parametrize("torn", ["", "8", "8,", "8,\0\0", "\0\0\0"])
def test_a_last_row_without_an_end_is_passed_over(torn: str, tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    logged(path, range(1, 8), "first", torn)
    with kept_rows(path):
        logged(path, range(20, 21), "second")
    assert rows(path) == [*((step, "first") for step in range(1, 8)), (20, "second")]


def test_a_kill_while_rows_are_put_together_loses_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is replaced as a whole: whoever dies just before has the old one and the rows beside it."""
    path = tmp_path / "metrics.csv"
    killed(path, range(1, 5), "first")

    def dead(*_: object) -> None:
        raise KeyboardInterrupt

    def second() -> None:
        with kept_rows(path):
            logged(path, range(3, 9), "second")
            monkeypatch.setattr(Path, "replace", dead)

    with pytest.raises(KeyboardInterrupt):
        second()
    assert rows(path) == [(step, "second") for step in range(3, 9)]
    monkeypatch.undo()
    with kept_rows(path):
        logged(path, range(9, 10), "third")
    assert [step for step, _ in rows(path)] == list(range(1, 10))


def test_processes_that_do_not_write_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    logged(path, range(1, 5), "first")
    with kept_rows(path, writing=False):
        assert [found.name for found in tmp_path.iterdir()] == ["metrics.csv"]
        logged(path, range(3, 5), "second")
    assert rows(path) == [(3, "second"), (4, "second")]
