"""The statistics behind the tables of results, and that a broken-off comparison goes on where it stopped."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from scipy import stats

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def modules() -> Iterator[dict[str, ModuleType]]:
    sys.path.insert(0, str(BENCHMARKS))
    names = ("comparisons", "tables", "compare")
    yield {name: importlib.import_module(name) for name in names}
    sys.path.remove(str(BENCHMARKS))


def run_of(comparison: Any, row: str, seed: int, accuracy: float, **settings: Any) -> dict[str, Any]:
    told = {**comparison.settings(row, seed), **settings}
    return {"row": row, "settings": told, "test": {"accuracy": accuracy}, "training_seconds": 1.0}


def test_the_interval_is_that_of_a_paired_t_test(modules: dict[str, ModuleType]) -> None:
    gaps = np.array([0.3, -0.1, 0.25, 0.4, 0.05])
    low, high = modules["tables"].interval(gaps)
    expected = stats.ttest_1samp(gaps, 0.0).confidence_interval(0.95)
    assert (low, high) == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        ((0.97, 0.973, 0.973), ": worm (varshney2011) is better"),
        ((0.995, 0.998, 0.999), ": worm, core frozen as drawn is better"),
        ((0.995, 0.991, 0.99), "no difference shown"),
        ((1.0, 0.99), "(n = 2)"),
    ],
)
def test_a_difference_pairs_seeds_and_says_what_follows(
    modules: dict[str, ModuleType], theirs: tuple[float, ...], words: str
) -> None:
    comparison = modules["comparisons"].COMPARISONS["cores"]
    ours = [run_of(comparison, "worm", seed, value) for seed, value in enumerate((0.99, 0.992, 0.994))]
    other = [run_of(comparison, "frozen", seed, value) for seed, value in enumerate(theirs)]
    assert words in modules["tables"].difference(comparison, ours, other, "worm", "frozen")
    alone = modules["tables"].difference(comparison, ours[:1], other[1:], "worm", "frozen")
    assert "fewer than two seeds" in alone


def test_runs_under_other_settings_stay_out_of_a_row(modules: dict[str, ModuleType]) -> None:
    comparison = modules["comparisons"].COMPARISONS["cores"]
    record = [run_of(comparison, "worm", 1, 0.5), run_of(comparison, "worm", 0, 0.4)]
    record.append(run_of(comparison, "worm", 2, 0.9, steps=3))
    found = modules["tables"].runs_by_row(comparison, record)
    assert [run["test"]["accuracy"] for run in found["worm"]] == [0.4, 0.5]
    short = modules["tables"].runs_by_row(comparison, record, steps=3)
    assert [run["test"]["accuracy"] for run in short["worm"]] == [0.9]


def test_random_graphs_are_drawn_anew_for_each_seed_and_nothing_else_changes(modules: dict[str, ModuleType]) -> None:
    comparison = modules["comparisons"].COMPARISONS["cores"]
    a, b = (comparison.settings("watts-strogatz", seed) for seed in (0, 1))
    assert {key for key in a if a[key] != b[key]} == {"seed", "graph_seed"}
    assert {key for key, value in comparison.settings("worm", 0).items() if a.get(key) != value} == set()


def test_every_row_is_a_valid_configuration_and_has_a_label(modules: dict[str, ModuleType]) -> None:
    from elegans_gnn.training import AutoencoderConfig, ClassifierConfig

    for comparison in modules["comparisons"].COMPARISONS.values():
        config = AutoencoderConfig if comparison.task == "autoencoder" else ClassifierConfig
        for row in comparison.rows:
            config.preset(**comparison.settings(row, 0), threads=1)
            assert row in comparison.labels


def test_what_is_in_the_file_is_not_run_again(
    modules: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    comparison = modules["comparisons"].COMPARISONS["autoencoders"]
    there = {"runs": [run_of(comparison, "mlp", seed, 0.9) for seed in range(2)]}
    path = tmp_path / "record.json"
    path.write_text(json.dumps(there))

    def refuse(*_: object) -> None:
        raise AssertionError("it ran something")

    monkeypatch.setattr(modules["compare"], "run", refuse)
    arguments = ["compare.py", "autoencoders", "--rows", "mlp", "--seeds", "2", "--json", str(path)]
    monkeypatch.setattr(sys, "argv", arguments)
    monkeypatch.setattr(modules["tables"], "FIGURES", {"autoencoder": ("accuracy",)})
    modules["compare"].main()
    assert "| MLP autoencoder | 90.000" in capsys.readouterr().out
    assert json.loads(path.read_text()) == there
