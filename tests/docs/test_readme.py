"""The Python code in README.md runs as it is printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
EDGES = "pre,post,synapses,kind\nA,B,3,chemical\nB,C,1,chemical\nA,C,2,chemical\nC,D,4,chemical\n"
OWN_GRAPH, WORM = BLOCKS


def run(block: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(block, str(README), "exec"), names)
    return names


def test_your_own_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "edges.csv").write_text(EDGES)
    monkeypatch.chdir(tmp_path)
    names = run(OWN_GRAPH)
    assert names["graph"].num_neurons == 4
    assert names["conv"].edge_weight().shape == (4,)
    assert (names["core"].num_inputs, names["core"].num_outputs) == (1, 1)


def test_the_worm_and_a_random_graph(capsys: pytest.CaptureFixture[str]) -> None:
    """Shapes and counts are those of the comments."""
    names = run(WORM)
    assert tuple(names["y"].shape) == (8, 279, 32)
    assert tuple(names["out"].shape) == (8, 115, 16)
    assert names["worm"].num_neurons == 279
    assert [int((names["worm"].kinds == kind).sum()) for kind in ("chemical", "gap")] == [2194, 1031]
    assert names["null"].num_edges == names["worm"].num_edges
    assert capsys.readouterr().out == "torch.Size([3225])\n"
