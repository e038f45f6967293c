"""The statistics behind the tables of results, and that an interrupted comparison continues where it stopped."""

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
RESULTS = Path(__file__).parents[1] / "docs" / "results"


@pytest.fixture(scope="module")
def modules() -> Iterator[dict[str, ModuleType]]:
    sys.path.insert(0, str(BENCHMARKS))
    names = ("comparisons", "tables", "compare")
    yield {name: importlib.import_module(name) for name in names}
    sys.path.remove(str(BENCHMARKS))


def run_of(comparison: Any, row: str, seed: int, accuracy: float, **settings: Any) -> dict[str, Any]:
    used = {**comparison.settings(row, seed), **settings}
    return {"row": row, "settings": used, "test": {"accuracy": accuracy}, "training_seconds": 1.0}


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


def test_trials_change_rates_and_augmentation_only_and_keep_clear_of_the_seeds_of_figures(
    modules: dict[str, ModuleType],
) -> None:
    comparison = modules["comparisons"].COMPARISONS["classifiers"]
    trials = comparison.trials()
    assert len(trials.rows) == len(comparison.tuned) * len(modules["comparisons"].TRIALS)
    for name in trials.rows:
        config = trials.configuration({"seed": 0, **trials.rows[name]}).to_dict()
        usual = comparison.configuration({"seed": 0, **comparison.rows[name.partition(":")[0]]}).to_dict()
        changed = {key for key, value in config.items() if value != usual[key]}
        # Without augmentation the other settings of augmentation have no effect, and are left at their defaults.
        idle = {"augment_share", "shift", "cutout"} if config["augment"] == "none" else set()
        assert changed <= {"learning_rate", "muon_learning_rate", "augment", *idle}
        assert trials.settings(name, trials.first_seed)["seed"] >= comparison.seeds
    faster = trials.rows["vit: rates x 3"]
    assert faster["learning_rate"] == pytest.approx(3 * trials.rows["vit: as given"]["learning_rate"])


def test_the_best_trial_has_the_highest_accuracy_then_the_smallest_loss(modules: dict[str, ModuleType]) -> None:
    trials = {"a": (0.98, 0.2), "b": (0.99, 0.3), "c": (0.99, 0.1), "d": (0.97, 0.0)}
    plain = {name: {"accuracy": a, "cross_entropy": b} for name, (a, b) in trials.items()}
    assert modules["tables"].best_trial("classifier", plain) == "c"


@pytest.mark.parametrize("name", ["autoencoders", "classifiers", "digits"])
def test_every_model_runs_with_the_best_of_its_recorded_trials(name: str, modules: dict[str, ModuleType]) -> None:
    comparison = modules["comparisons"].COMPARISONS[name]
    record = json.loads((RESULTS / f"tuning-{name}.json").read_text())["runs"]
    trials = modules["tables"].trials_by_row(comparison, record)
    assert set(trials) == set(comparison.tuned)
    for row, found in trials.items():
        assert comparison.chosen.get(row, "as given") == modules["tables"].best_trial(comparison.task, found), row


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


@pytest.mark.parametrize("name", ["cores", "cores-as-given", "autoencoders", "classifiers", "digits"])
def test_the_tables_of_the_document_are_those_of_the_records(
    name: str, modules: dict[str, ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    comparison = modules["comparisons"].COMPARISONS[name]
    modules["tables"].print_table(comparison, json.loads((RESULTS / f"{name}.json").read_text())["runs"])
    if comparison.tuned:
        trials = json.loads((RESULTS / f"tuning-{name}.json").read_text())["runs"]
        modules["tables"].print_trials(comparison, trials)
    printed = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("|", "- "))]
    assert len(printed) > 2 * len(comparison.rows)
    document = (RESULTS.parent / "results.md").read_text().splitlines()
    assert [line for line in printed if line not in document] == []


def mean_accuracy(name: str, row: str) -> float:
    runs = json.loads((RESULTS / f"{name}.json").read_text())["runs"]
    return float(np.mean([run["test"]["accuracy"] for run in runs if run["row"] == row]))


def test_the_targets_are_met_by_the_records() -> None:
    headline = [json.loads((RESULTS / f"headline-seed{seed}.json").read_text()) for seed in range(3)]
    assert np.mean([run["test"]["accuracy"] for run in headline]) >= 0.9984
    assert np.mean([run["test"]["f1"] for run in headline]) >= 0.995
    assert np.mean([run["test_8bit"]["accuracy"] for run in headline]) >= 0.9980
    assert mean_accuracy("classifiers", "worm") >= 0.985
    assert mean_accuracy("digits", "worm") >= 0.99


def test_baselines_are_trained_until_they_are_good() -> None:
    """An MLP with 128 floats of code is known to redraw 99.80 % of mnist5k's pixels, a convolutional one 99.70 %."""
    assert mean_accuracy("autoencoders-2400", "mlp") >= 0.9980
    assert mean_accuracy("autoencoders-2400", "conv") >= 0.9970
