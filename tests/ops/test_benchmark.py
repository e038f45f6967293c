"""The benchmark runs from end to end at tiny sizes, and its gate stops wrong results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def benchmark(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)


@pytest.mark.hard
def test_every_part_runs_and_is_written_down(tmp_path: Path) -> None:
    parts = ("main", "grid", "overhead", "threads", "fly", "scaling")
    ran = benchmark("benchmarks/aggregate.py", "--smoke", "--parts", *parts, "--json", str(tmp_path / "out.json"))
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert "the gate is green" in ran.stdout
    assert set(json.loads((tmp_path / "out.json").read_text())) == {"conditions", *parts}


@pytest.mark.hard
def test_a_wrong_backend_gives_no_figures() -> None:
    script = (
        "import sys; sys.path.insert(0, 'benchmarks'); sys.argv = ['aggregate.py', '--smoke']\n"
        "from elegans_gnn.ops import torch_backend\n"
        "right = torch_backend.forward\n"
        "torch_backend.forward = lambda *a: (right(*a)[0] * 1.001, right(*a)[1])\n"
        "import aggregate; aggregate.main()\n"
    )
    ran = benchmark("-c", script)
    assert ran.returncode == 1
    assert "the gate is red: torch is off by" in ran.stderr
    assert "==" not in ran.stdout
