"""Every call of a newcomer's first hour works as expected or says what to do; none ends in an internal traceback."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.newcomer_calls import CALLS

ROOT = Path(__file__).parents[1]


def calls(*options: str) -> str:
    """In a process of its own, since the tests check array shapes that users do not have checked."""
    command = [sys.executable, "-m", "tests.newcomer_calls", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def outcomes() -> dict[str, str]:
    found: dict[str, str] = json.loads(calls())
    return found


def test_there_are_enough() -> None:
    assert len({call for call, _ in CALLS}) >= 60


@pytest.mark.parametrize(("call", "expected"), CALLS, ids=[call for call, _ in CALLS])
def test_a_call_works_or_says_what_to_do(call: str, expected: str | bool, outcomes: dict[str, str]) -> None:
    said = outcomes[call]
    if expected is True:
        assert said == "works"
    else:
        # load_state_dict raises torch's own error, with our reason in it.
        kinds = (
            "ValueError: ",
            "TypeError: ",
            "AttributeError: module 'elegans_gnn'",
            "RuntimeError: Error(s) in loading",
        )
        assert said.startswith(kinds), said
        assert re.search(str(expected), said), said
        assert len(said) < 900
        assert "Traceback" not in said


def test_the_document_has_the_table() -> None:
    assert calls("--table") in (ROOT / "docs" / "first-calls.md").read_text(encoding="utf-8")
