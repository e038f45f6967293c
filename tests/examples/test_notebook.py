"""The notebook: committed with the outputs of a full run, and still running."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "examples" / "notebooks" / "edge_weights.ipynb"


@pytest.fixture(scope="module")
def committed() -> NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


def outputs(notebook: NotebookNode) -> list[NotebookNode]:
    return [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]


def text_of(notebook: NotebookNode) -> str:
    """All that the outputs say, pictures left out."""
    parts = [output.get("text", "") for output in outputs(notebook)]
    for output in outputs(notebook):
        parts += [value for kind, value in output.get("data", {}).items() if kind.startswith("text/")]
    return "\n".join(parts)


def pictures(notebook: NotebookNode) -> int:
    return sum("image/png" in output.get("data", {}) for output in outputs(notebook))


def test_committed_with_the_outputs_of_a_full_run(committed):
    nbformat.validate(committed)
    code = [cell for cell in committed.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert {output.output_type for output in outputs(committed)} <= {"stream", "display_data", "execute_result"}
    assert [output.text for output in outputs(committed) if output.get("name") == "stderr"] == []
    steps = re.search(r"STEPS = \d+ if SHORT else (\d+)", code[0].source)
    assert steps is not None
    assert f"{steps[1]} steps in" in text_of(committed)
    assert pictures(committed) == 6
    assert not re.search(r"/(home|tmp|root|Users)/", text_of(committed))


def test_figures_in_the_text_are_those_of_the_outputs(committed):
    said = "\n".join(cell.source for cell in committed.cells if cell.cell_type == "markdown")
    quoted = set(re.findall(r"\d+\.\d+", said))
    assert len(quoted) > 10
    assert quoted - set(re.findall(r"\d+\.\d+", text_of(committed))) == set()


def test_runs_from_top_to_bottom(committed, monkeypatch):
    monkeypatch.setenv("ELEGANS_GNN_SHORT_NOTEBOOK", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.from_dict(committed)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(NOTEBOOK.parent)}}
    )
    client.execute()
    assert pictures(notebook) == 6
    assert "4 steps in" in text_of(notebook)
    assert [output.text for output in outputs(notebook) if output.get("name") == "stderr"] == []
