"""Ready-made studies and those of a file: each runs in seconds, goes on, and refuses another configuration."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from elegans_gnn.study import open_study
from elegans_gnn.study.specs import FIELDS, READY, Spec, named_spec
from elegans_gnn.study.studies import control_settings, graphs_of, run_spec
from elegans_gnn.study.tuning import candidates

pytestmark = pytest.mark.filterwarnings("ignore::elegans_gnn.study.design.WeakDesignWarning")


def run(spec: Spec, out: Path, **options: Any) -> Any:
    return run_spec(spec, out, **{"workers": 0, "progress": False, **options})


@pytest.mark.parametrize("name", READY)
def test_every_ready_made_study_runs(name: str, tmp_path: Path) -> None:
    spec = READY[name].smoke()
    study = run(spec, tmp_path)
    assert study.status.keys() == {"done"}
    compared = [comparison.other for comparison in study.comparisons]
    assert compared[: len(spec.nulls)] == list(spec.nulls)
    assert set(control_settings(spec)) <= set(compared)
    assert not any(comparison.missing for comparison in study.comparisons)
    page = study.report().read_text()
    assert ("Along share of links rewired" in page) == (name == "rewire")
    assert "Budgets" in page
    if spec.nulls:
        assert not [text for text in study.warnings if "unequal" in text]


@pytest.mark.parametrize("name", READY)
def test_every_ready_made_study_can_decide_as_it_stands(name: str) -> None:
    """The numbers of the real design, without a run."""
    from elegans_gnn.study.design import Design

    spec = READY[name]
    graphs = graphs_of(spec)
    readings = 300 if spec.lesions else 0
    Design(
        task="", score="", metric=spec.metric, larger_is_better=True, margin=spec.margin, alpha=spec.alpha,
        graphs=dict.fromkeys(graphs, ""), nulls=dict.fromkeys(spec.nulls, ""),
        graphs_per_null=spec.graphs_per_null if spec.nulls else 0, seeds=tuple(spec.seed_list),
        seeds_per_null=spec.seeds_per_null if spec.nulls else 0, controls=dict.fromkeys(spec.controls, ""),
        readings=tuple(map(str, range(readings))),
    ).check()  # fmt: skip
    kinds = {kind for graph in graphs.values() for kind in graph.kinds.tolist()}
    assert kinds == {"merged"}


def test_graphs_of_several_animals_have_the_same_neurons_that_can_be_used() -> None:
    for name in ("development", "sex"):
        names = [graph.names.tolist() for graph in graphs_of(READY[name]).values()]
        assert all(found == names[0] for found in names)
    assert "M1" not in graphs_of(READY["sex"])["male"].names
    assert "URAVL" not in graphs_of(READY["development"])["witvliet 1"].names


def test_a_study_in_its_folder_goes_on_and_another_one_is_refused(tmp_path: Path) -> None:
    spec = READY["core"].smoke()
    run(spec, tmp_path)
    before = {path: path.read_bytes() for path in (tmp_path / "trials").iterdir()}
    gone = sorted(before)[0]
    gone.unlink()
    run(spec, tmp_path)
    after = {path: path.read_bytes() for path in (tmp_path / "trials").iterdir()}
    assert {path for path in before if before[path] != after[path]} == {gone}
    times = ("seconds", "finished", "conditions")
    old, new = ({k: v for k, v in json.loads(text).items() if k not in times} for text in (before[gone], after[gone]))
    assert old == new
    for changes, message in (
        ({"steps": 3}, r"settings\[steps\] = 2, got settings\[steps\] = 3; choose a new folder"),
        ({"margin": 0.02}, r"margin = 0.01, got margin = 0.02"),
        ({"controls": ["frozen"]}, r"controls = \['frozen', 'silent', 'none', 'dense'\]"),
    ):
        with pytest.raises(ValueError, match=message):
            run(spec.changed(**changes), tmp_path)
    assert {path: path.read_bytes() for path in (tmp_path / "trials").iterdir()} == after


def test_a_refused_study_does_not_block_its_folder(tmp_path: Path) -> None:
    spec = READY["core"].smoke()
    with pytest.raises(ValueError, match="cannot go below"):
        run(spec.changed(strict=True), tmp_path)
    assert run(spec, tmp_path).status == {"done": 10}


def test_each_family_is_tuned_with_the_same_trials_which_the_ledger_holds(tmp_path: Path) -> None:
    spec = READY["paper"].smoke().changed(nulls=["erdos-renyi"], controls=["silent"], tune_seeds=1)
    spec = spec.changed(
        tune={"learning_rate": [1e-9, 0.01], "muon_learning_rate": [0.01, 0.02]}, tune_trials=3, steps=4
    )
    study = run(spec, tmp_path)
    found = json.loads((tmp_path / "tuning.json").read_text())
    assert len(found["candidates"]) == 3
    assert {label: len(scores) for label, scores in found["scores"].items()} == {"worm": 3, "erdos-renyi": 3}
    assert len(list((tmp_path / "tuning" / "trials").glob("*.json"))) == 6
    for label, scores in found["scores"].items():
        best = found["candidates"][found["chosen"][label]]
        assert scores[found["chosen"][label]] == max(scores)
        assert f'"learning_rate": {best["learning_rate"]}' in study.design.tuned[label]
    assert "Tuning" in study.report().read_text()
    records = [json.loads(path.read_text()) for path in (tmp_path / "trials").iterdir()]
    assert {record["score"] for record in records} == {*study.design.tuned.values(), *study.design.controls.values()}
    again = run(spec, tmp_path)
    assert repr(again.comparisons) == repr(study.comparisons)


def test_candidates_are_a_grid_or_a_fixed_draw_from_it() -> None:
    values = {"a": [1, 2, 3], "b": ["x", "y"]}
    assert len(candidates(values, 0)) == 6
    assert candidates(values, 4) == candidates(values, 4)
    assert len({tuple(row.values()) for row in candidates(values, 4)}) == 4
    with pytest.raises(ValueError, match=r"tune\['a'\] must be a list of values"):
        candidates({"a": 0.1}, 0)  # type: ignore[dict-item]


def test_a_file_starts_from_a_ready_made_study_and_changes_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("study: nulls\nmargin: 0.02\nnulls:\n  half: {model: rewired, p: 0.5}\nsettings: {steps: 7}\n")
    spec = named_spec(str(path))
    assert (spec.margin, spec.nulls, spec.settings["steps"]) == (0.02, {"half": {"model": "rewired", "p": 0.5}}, 7)
    assert spec.settings["data"] == READY["nulls"].settings["data"]
    study = run(spec.smoke(), tmp_path / "out")
    assert study.design.nulls == {"half": '{"model": "rewired", "p": 0.5}'}
    assert open_study(tmp_path / "out").rows[-1]["status"] == "done"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("study: papr", "did you mean 'paper'"),
        ("margins: 1", "did you mean 'margin'"),
        ("margin: much", "margin must be of type float, got 'much'"),
        ("graphs_per_null: true", "graphs_per_null must be of type int, got True"),
        ("- paper", "must be a YAML file of fields"),
        ("study: [", "must be a YAML file"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        named_spec(str(tmp_path / "mine.yaml"))


def test_substitutes_are_those_that_the_model_has() -> None:
    spec = READY["core"].changed(model="elegans", data="digits")
    assert control_settings(spec) == {name: {"core": name} for name in ("frozen", "silent", "none", "dense")}
    with pytest.raises(ValueError, match="did you mean 'frozen'"):
        control_settings(spec.changed(controls=["frosen"]))


def test_the_file_of_the_documentation_runs(tmp_path: Path) -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "fair-comparison.md").read_text()
    example = text.partition("```yaml\n")[2].partition("```")[0]
    (tmp_path / "mine.yaml").write_text(example)
    spec = named_spec(str(tmp_path / "mine.yaml"))
    study = run(spec.smoke(), tmp_path / "out")
    assert study.status == {"done": 10}
    named = set(re.findall(r"`(\w+)`", text)) | set(re.findall(r"^(\w+):", example, flags=re.MULTILINE))
    assert set(FIELDS) <= named
