"""The design is stated before it runs, checked, and cannot change under way."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from elegans_gnn.study import Spread, WeakDesignWarning, compare
from elegans_gnn.study.design import Design
from tests.study import scores
from tests.study.scores import run, small_graph
from tests.study.test_calibration import DESIGN


def test_a_design_that_can_decide_passes() -> None:
    DESIGN.check()
    replace(DESIGN, seeds=tuple(range(6))).check()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"seeds": tuple(range(5))},
            r"a sign-flip test cannot go below 0.0625: use at least 6 seeds",
        ),
        (
            {"graphs_per_null": 18, "seeds": tuple(range(9))},
            r"cannot go below 0.05263: use at least 19 graphs",
        ),
        ({"alpha": 0.01, "graphs_per_null": 40}, r"use at least 99 graphs"),
        (
            {"nulls": {}, "controls": {"frozen": "", "silent": ""}, "seeds": tuple(range(6))},
            r"over 2 comparisons cannot go below 0.0625: use at least 7 seeds",
        ),
    ],
)
def test_a_design_that_cannot_reach_alpha_is_refused_or_warned_about(changes: dict[str, Any], message: str) -> None:
    weak = replace(DESIGN, **changes)
    with pytest.raises(ValueError, match=message):
        weak.check()
    with pytest.warns(WeakDesignWarning, match=message):
        weak.check(strict=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"margin": 0.0}, "margin must be positive, got 0.0"),
        ({"margin": float("nan")}, "margin must be positive, got nan; pass the smallest difference that matters"),
        ({"seeds": ()}, "seeds must be at least one number, got none; pass seeds="),
        ({"alpha": 1.5}, "alpha must be in 0..1, got 1.5"),
        ({"seeds": (0, 0, 1)}, "seeds must be all different"),
        ({"nulls": {}}, "nulls must be at least one null model, or a second graph"),
        ({"seeds_per_null": 20}, "seeds_per_null must be in 1..19, got 20"),
        ({"graphs_per_null": 9, "seeds_per_null": 2}, "graphs_per_null must be at least 10, so that every seed has"),
    ],
)
def test_numbers_without_sense_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(DESIGN, **changes).check(strict=False)


def test_seeds_take_turns() -> None:
    design = replace(DESIGN, seeds=(5, 6, 7), seeds_per_null=2)
    assert [design.seeds_of(member) for member in range(3)] == [(5, 6), (7, 5), (6, 7)]


def test_what_a_design_can_find_follows_from_its_numbers() -> None:
    small = Spread(0.1, 0.1)
    size = DESIGN.smallest_difference(small)
    assert 0.2 < size < 0.5
    assert DESIGN.smallest_difference(Spread(1.0, 1.0)) == pytest.approx(10 * size, rel=1e-6)
    assert replace(DESIGN, seeds_per_null=4).smallest_difference(small) < size
    assert replace(DESIGN, nulls={str(n): "" for n in range(8)}).smallest_difference(small) > size
    assert replace(DESIGN, seeds=tuple(range(5))).smallest_difference(small) == float("inf")
    alone = replace(DESIGN, nulls={}, controls={"frozen": ""}).smallest_difference(small)
    assert alone == pytest.approx(0.1 * 2**0.5 * 0.72, rel=0.1)  # power 0.85 of a paired t test with 19 pairs


def test_the_design_is_in_the_folder_before_the_first_trial(tmp_path: Path) -> None:
    with pytest.warns(WeakDesignWarning):
        run(tmp_path, scores.raising, workers=0, spread=Spread(0.3, 0.2), task="a toy", metric="score")
    plain = json.loads((tmp_path / "design.json").read_text())
    assert plain["fixed"]["margin"] == 0.5
    assert plain["stated"]["spread"] == {"graphs": 0.3, "seeds": 0.2}
    text = (tmp_path / "design.md").read_text()
    for part in (
        "a toy",
        "Margin of equivalence: 0.5; alpha: 0.05",
        "Smallest difference found in 80%",
        "**undecided**",
    ):
        assert part in text
    assert Design.read(tmp_path).seeds == tuple(range(6))


@pytest.mark.filterwarnings("ignore::elegans_gnn.study.design.WeakDesignWarning")
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"margin": 0.6}, r"margin = 0.5 was stated in .*design.json, got margin = 0.6; choose a new folder"),
        ({"seeds": range(5)}, r"seeds = \[0, 1, 2, 3, 4, 5\] was stated"),
        ({"nulls": ["role-block"]}, "nulls = {'erdos-renyi': 'erdos-renyi'} was stated"),
        ({"function": scores.silent}, r"score = 'tests.study.scores:score .*' was stated"),
    ],
)
def test_another_design_in_an_old_folder_is_refused(changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    run(tmp_path, workers=0)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=message):
        run(tmp_path, workers=0, **changes)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_inputs_are_checked_before_the_folder_is_made(tmp_path: Path) -> None:
    folder, graph = tmp_path / "out", small_graph()
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (scores.score, {"nulls": "role-block"}, r"pass nulls=\['role-block'\]"),
        (scores.score, {"nulls": ["role-blok"]}, "did you mean 'role-block'"),
        (scores.score, {"nulls": {"own": [graph]}}, r"nulls\['own'\] must be graphs_per_null = 19 graphs, got 1"),
        (scores.score, {"graphs": {}}, "graphs must be label -> Connectome"),
        (lambda connectome, seed: 0.0, {}, "score must be a function that a new process can import"),
        (3, {}, "score must be a function, a functools.partial of one, or a dataclass"),
    ]
    for function, changes, message in cases:
        options: dict[str, Any] = {"graphs": {"worm": graph}, "nulls": ["role-block"], "margin": 1, **changes}
        with pytest.raises(ValueError, match=message):
            compare(function, options.pop("graphs"), out=folder, **options)
    assert not folder.exists()
