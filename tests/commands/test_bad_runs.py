"""`elegans-gnn eval` of runs that are damaged or do not fit the data: one line for every mistake."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from elegans_gnn import load_connectome, random_connectome


def other_graph(runs: SimpleNamespace, folder: Path) -> Path:
    """The run's checkpoint with another graph of the same size in it."""
    plain = torch.load(runs.classifier / "best.ckpt", weights_only=True)
    null = random_connectome("degree-preserving", like=load_connectome("varshney2011"), seed=0)
    torch.save({**plain, "connectome": null.to_dict()}, folder / "best.ckpt")
    return folder


def smaller_graph(runs: SimpleNamespace, folder: Path) -> Path:
    plain = torch.load(runs.classifier / "best.ckpt", weights_only=True)
    torch.save({**plain, "connectome": load_connectome("cook2020-pharynx").to_dict()}, folder / "best.ckpt")
    return folder


def another_runs(runs: SimpleNamespace, folder: Path) -> Path:
    """A whole checkpoint in the folder of a run on another connectome."""
    settings = json.loads((runs.classifier / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**settings, "connectome": "white1986"}))
    (folder / "best.ckpt").write_bytes((runs.classifier / "best.ckpt").read_bytes())
    return folder


def damaged(runs: SimpleNamespace, folder: Path) -> Path:
    content = (runs.classifier / "best.ckpt").read_bytes()
    (folder / "best.ckpt").write_bytes(content[: len(content) // 2])
    return folder


def foreign(runs: SimpleNamespace, folder: Path) -> Path:
    torch.save({"weights": torch.zeros(3)}, folder / "best.ckpt")
    return folder


def half_a_model(runs: SimpleNamespace, folder: Path) -> Path:
    for name in ("config.json", "model.safetensors"):
        (folder / name).write_bytes((runs.classifier / "model" / name).read_bytes())
    return folder


OTHER_GRAPH = (
    r"checkpoint must be a checkpoint whose weights belong to the graph in it, {}, got .*best\.ckpt, where they "
    "belong to another graph; use the file as the run wrote it"
)
RUNS: dict[str, tuple[Callable[[SimpleNamespace, Path], Path], str]] = {
    "nothing": (lambda runs, folder: folder, "RUN must be a run folder with best.ckpt, or a model folder, got .*"),
    "another graph": (other_graph, OTHER_GRAPH.format("varshney2011-.*")),
    "a graph of another size": (smaller_graph, OTHER_GRAPH.format("cook2020-pharynx")),
    "another run's checkpoint": (
        another_runs,
        r"checkpoint must be a checkpoint of the run in .*, on white1986, got .*best\.ckpt, on varshney2011; use .*",
    ),
    "a damaged checkpoint": (damaged, r"checkpoint must be a readable .*best\.ckpt, which is damaged .*"),
    "somebody else's": (foreign, r"checkpoint must be a checkpoint of a run, .*something else.*"),
    "half a model": (half_a_model, r"folder must be one with connectome\.json, got .*, which lacks it; .*"),
}  # fmt: skip


@pytest.mark.parametrize("case", RUNS)
def test_bad_runs_cost_one_line(
    case: str, runs: SimpleNamespace, tmp_path: Path, refused_line: Callable[..., str]
) -> None:
    make, message = RUNS[case]
    line = refused_line("eval", make(runs, tmp_path))
    assert re.fullmatch(message, line), line


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--part", "train"], "part must be one of test, validation, got 'train'; .*"),
        (["--data", "mnist5k"], r"--data must be images with 1 channel\(s\) and 8 x 8 pixels, got 1 and 28 x 28; .*"),
        (["--fold", "9"], "fold must be 0 to 4, got 9; .*"),
        (["--data", "nothing"], "data must be mnist5k, .*no such folder.*"),
    ],
)
def test_other_data_must_fit(
    options: list[str], message: str, runs: SimpleNamespace, refused_line: Callable[..., str]
) -> None:
    line = refused_line("eval", runs.classifier, *options)
    assert re.fullmatch(message, line), line
