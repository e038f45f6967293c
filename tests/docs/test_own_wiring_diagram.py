"""The page about one's own wiring diagram: its code runs from top to bottom and does what the text says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from elegans_gnn.connectome._columns import ENTRY_COLUMNS, NEURON_COLUMNS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "own-wiring-diagram.md").read_text(encoding="utf-8")


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)):
        exec(compile(block, f"own-wiring-diagram.md, block {number}", "exec"), names)
    assert len((tmp_path / "circuit.csv").read_text().splitlines()) == 20
    assert repr(names["circuit"]).startswith(
        "Connectome('circuit', neurons=11 (sensory 3, motor 3, unknown 5), edges=21"
    )
    assert names["accuracy"] > 0.85
    assert (tmp_path / "circuit.png").stat().st_size > 1000


def test_the_page_names_every_column() -> None:
    for column in (*NEURON_COLUMNS, *ENTRY_COLUMNS):
        assert f"`{column.attribute}`" in PAGE
    for column in ENTRY_COLUMNS:
        assert all(f"`{name}`" in PAGE or f"`{name.replace('_', ' ')}`" in PAGE for name in column.also)
