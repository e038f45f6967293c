"""One call from graphs to a report: verdicts, controls, warnings, tables, and the ten lines of the documentation."""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import sys
import xml.etree.ElementTree
from dataclasses import FrozenInstanceError, dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from elegans_gnn.connectome import Connectome
from elegans_gnn.graphs import random_connectome
from elegans_gnn.study import Spread, Study, compare, open_study
from elegans_gnn.study.graph_figures import figures
from elegans_gnn.study.run import score_name
from tests.study import scores
from tests.study.scores import run, small_graph

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A graph that is truly better than its random graphs, with controls."""
    return run(
        tmp_path_factory.mktemp("study"), workers=0, graphs_per_null=19, strict=True, seeds=range(8), task="toy",
        nulls=["erdos-renyi", "role-block"], controls={"frozen": scores.frozen, "silent": scores.silent},
        chance=50.0, ceiling=82.3, figures=True,
    )  # fmt: skip


def test_each_null_and_each_control_is_judged(study: Study) -> None:
    assert [(item.other, item.kind) for item in study.comparisons] == [
        ("erdos-renyi", "null"), ("role-block", "null"), ("frozen", "control"), ("silent", "control"),
    ]  # fmt: skip
    null, _, frozen, silent = study.comparisons
    assert (null.verdict, frozen.verdict, silent.verdict) == ("supported", "equivalent", "supported")
    assert null.difference == pytest.approx(study.table("worm").mean() - np.nanmean(study.table("worm", "erdos-renyi")))
    assert null.interval[0] < null.difference < null.interval[1]
    assert (null.p_rank, null.p_seeds, null.num_graphs, null.num_seeds) == (1 / 20, 2.0**-7, 19, 8)
    assert null.p_value < null.p_adjusted < 0.01
    assert frozen.p_rank is None
    with pytest.raises(FrozenInstanceError):
        null.verdict = "undecided"


def test_smaller_can_be_better(tmp_path: Path) -> None:
    study = run(tmp_path, workers=0, graphs_per_null=19, strict=True, larger_is_better=False, seeds=range(6))
    assert study.comparisons[0].verdict == "contradicted"


def test_pitfalls_are_named(study: Study) -> None:
    said = "\n".join(study.warnings)
    assert re.search(r"mean of accuracy, 8[12].\d*, is within the margin of the ceiling 82.3", said)
    assert "worm: training is not shown to beat the frozen graph (equivalent)" in said
    assert "worm: without synapses the model still scores 60.03 (chance 50); information passes by the graph" in said


@pytest.mark.filterwarnings("ignore::elegans_gnn.study.design.WeakDesignWarning")
def test_unequal_budgets_and_single_graphs_are_named(tmp_path: Path) -> None:
    found = run(tmp_path / "a", scores.unequal, workers=0, seeds=range(2), graphs_per_null=2).warnings
    assert found == ("worm against erdos-renyi: unequal parameters, 100 and 101 on average",)
    alone = run(tmp_path / "c", workers=0, graphs_per_null=1, seeds_per_null=6)
    assert alone.warnings[0].startswith("worm against erdos-renyi: one graph instead of many")
    # Equal on average, but not for each graph.
    swaying = run(tmp_path / "d", scores.swaying, workers=0, seeds=range(2), graphs_per_null=2).warnings
    assert swaying == ("worm against erdos-renyi: unequal parameters, 100 and 100 on average",)
    graphs = {"a": small_graph(seed=1), "b": small_graph(seed=2)}
    two = compare(
        scores.plain, graphs, margin=1, out=tmp_path / "b", seeds=range(6), workers=0, figures=False, progress=False
    )
    assert two.comparisons[0].kind == "graph"
    assert two.warnings[0].startswith("b against a: one graph instead of many")


@pytest.mark.filterwarnings("ignore::elegans_gnn.study.design.WeakDesignWarning")
def test_ones_own_graphs_can_be_the_opponents(tmp_path: Path) -> None:
    worm = small_graph()
    own = [random_connectome("rewired", like=worm, seed=seed, p=0.3) for seed in range(3)]
    study = run(
        tmp_path, workers=0, nulls={"a third rewired": own, "er": "erdos-renyi"}, graphs_per_null=3, seeds=range(3)
    )
    assert [item.other for item in study.comparisons] == ["a third rewired", "er"]
    rows = [row for row in study.rows if row["null"] == "a third rewired"]
    assert {row["fingerprint"] for row in rows} == {graph.fingerprint for graph in own}


@pytest.mark.filterwarnings("ignore::elegans_gnn.study.design.WeakDesignWarning")
def test_workers_change_nothing_but_times(tmp_path: Path) -> None:
    records = []
    for workers in (0, 2):
        run(tmp_path / str(workers), workers=workers, seeds=range(3), graphs_per_null=3)
        found = {path.name: json.loads(path.read_text()) for path in (tmp_path / str(workers) / "trials").iterdir()}
        for record in found.values():
            del record["seconds"], record["finished"], record["conditions"]["versions"]
        records.append(found)
    assert records[0] == records[1]


def test_a_finished_study_opens_without_its_score(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    again = open_study(study.folder)
    assert again.status == {"done": 62}
    assert repr(again.comparisons) == repr(study.comparisons)
    with pytest.raises(ValueError, match=r"folder must be the folder of a study, with design.json"):
        open_study(study.folder / "trials")


def test_the_table_has_a_row_for_each_trial(study: Study) -> None:
    table = study.to_dataframe()
    assert len(table) == 8 + 2 * 19 + 2 * 8
    assert table.groupby("null").accuracy.mean()["role-block"] == pytest.approx(
        np.nanmean(study.table("worm", "role-block"))
    )
    assert set(table.steps) == {10.0}


def test_a_pilot_tells_the_spread(tmp_path: Path) -> None:
    pilot = run(tmp_path, workers=0, graphs_per_null=40, seeds=range(6), seeds_per_null=3)
    found = pilot.spread()
    assert found.graphs == pytest.approx(0.3, rel=0.35)
    assert found.seeds == pytest.approx(0.2, rel=0.25)
    assert isinstance(found, Spread)


class Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]


def test_the_report_is_one_page_that_needs_no_other_file(study: Study, tmp_path: Path) -> None:
    page = study.report(tmp_path)
    text, markdown = page.read_text(), (tmp_path / "report.md").read_text()
    for title in ("Verdicts", "Scores", "Graph statistics", "Learning curves: loss", "Variance", "Conditions", "Rule"):
        assert title in text
    parser = Page()
    parser.feed(text)
    assert all(link.startswith("#") for link in parser.links)
    pictures = re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL)
    assert len(pictures) == 5
    for picture in pictures:
        xml.etree.ElementTree.fromstring(picture)
    assert "- worm is better than erdos-renyi: supported." in markdown
    assert "| worm | frozen |" in markdown
    assert "path length" in markdown
    assert study.report(tmp_path / "again").read_text() == text


@pytest.mark.filterwarnings("ignore::elegans_gnn.study.design.WeakDesignWarning")
def test_a_report_of_a_study_under_way(tmp_path: Path) -> None:
    run(tmp_path, workers=0, seeds=range(2), graphs_per_null=2)
    for path in (tmp_path / "trials").iterdir():
        path.unlink()
    study = open_study(tmp_path)
    assert study.status == {"not run": 4}
    assert "undecided (4 trials are missing)" in study.report().with_suffix(".md").read_text()


def test_figures_of_a_graph() -> None:
    graph = small_graph(60)
    found = figures(graph)
    ring = figures(random_connectome("watts-strogatz", like=graph, seed=0, p=0.01))
    assert ring["small-worldness"] > 1.5 * found["small-worldness"]
    matrix = np.zeros((60, 60))
    np.add.at(matrix, (graph.post, graph.pre), 1)
    assert found["spectral radius"] == pytest.approx(np.abs(np.linalg.eigvals(matrix)).max())
    empty = figures(Connectome.from_edges("empty", ["a", "b"], [], []))
    assert np.isnan(empty["path length"])


@dataclass(frozen=True)
class Setting:
    rate: float

    def __call__(self, connectome: Connectome, seed: int) -> float:
        return self.rate


def test_a_score_is_called_by_module_name_settings_and_source() -> None:
    name = score_name(scores.score)
    assert re.fullmatch(r"tests\.study\.scores:score [0-9a-f]{8}", name)
    assert score_name(functools.partial(scores.score, pause=0.1)) == f'{name} {{"pause": 0.1}}'
    assert score_name(Setting(0.1)) != score_name(Setting(0.2))


def documented(page: str, word: str) -> str:
    """The Python example of a page that holds a word."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), flags=re.DOTALL)
    (found,) = [block for block in blocks if word in block]
    return str(found)


def test_the_ten_lines_of_the_documentation_run(tmp_path: Path) -> None:
    """The score function with scikit-learn as it is printed, on a smaller study."""
    code = documented("fair-comparison.md", "sklearn")
    function = code.partition("def score")[2].partition("\n\n")[0]
    assert len([line for line in function.splitlines() if line.strip()]) <= 10
    smaller = code.replace(
        "graphs_per_null=19, seeds=range(19)", "graphs_per_null=2, seeds=range(2), strict=False, figures=False"
    )
    assert smaller != code
    (tmp_path / "study.py").write_text(smaller)
    done = subprocess.run(
        [sys.executable, "study.py"], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    study = open_study(tmp_path / "runs" / "reservoir")
    assert study.status == {"done": 6}
    values: Any = study.to_dataframe().score
    assert ((values > 0.2) & (values < 1.0)).all()
    assert (tmp_path / "runs" / "reservoir" / "report.html").exists()
