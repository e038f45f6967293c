"""The benchmark runs from end to end at tiny sizes, and its gate stops wrong results."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.ops.test_benchmark import benchmark


@pytest.mark.hard
def test_every_part_runs_and_is_written_down(tmp_path: Path) -> None:
    ran = benchmark("benchmarks/synaptic.py", "--smoke", "--grid", "--json", str(tmp_path / "out.json"))
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "the gate is green" in ran.stdout
    assert set(json.loads((tmp_path / "out.json").read_text())) == {"conditions", "kernel", "tables", "steps", "grid"}


@pytest.mark.hard
def test_a_wrong_backend_gives_no_figures() -> None:
    script = (
        "import sys; sys.path.insert(0, 'benchmarks'); sys.argv = ['synaptic.py', '--smoke']\n"
        "from elegans_gnn.ops.synaptic import native\n"
        "right = native.forward\n"
        "native.forward = lambda *a: right(*a) * 1.001\n"
        "import synaptic; synaptic.main()\n"
    )
    ran = benchmark("-c", script)
    assert ran.returncode == 1
    assert "the gate is red: native is off by" in ran.stderr
    assert "==" not in ran.stdout
