"""The score of a study: what training does to the weights, from one start for all graphs, on validation images."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from elegans_gnn.connectome import load_connectome
from elegans_gnn.datasets import ImageSource, load_images
from elegans_gnn.graphs import random_connectome
from elegans_gnn.models import build_model
from elegans_gnn.study import scores
from elegans_gnn.study.scores import config_of, fit, lesion_groups, score
from elegans_gnn.study.start import SharedDraws
from elegans_gnn.training import ClassifierConfig, train
from elegans_gnn.training.prepare import build

WORM = load_connectome("varshney2011").merged()
SETTINGS: dict[str, Any] = {
    "data": "digits", "model": "elegans", "steps": 4, "validate_every": 2, "warmup": 1, "batch_size": 16,
}  # fmt: skip
FEW: dict[str, Any] = {**SETTINGS, "images": 48, "validation_images": 40}


def test_the_light_path_does_to_the_weights_what_a_training_run_does(tmp_path: Path) -> None:
    settings = {**SETTINGS, "clip": 0.5, "label_smoothing": 0.1, "dropout": 0.2, "augment": "strong"}
    config = ClassifierConfig.preset("demo", **settings, seed=3)
    train(config, tmp_path / "run", connectome=WORM, progress=False)
    with open(tmp_path / "run" / "metrics.csv") as file:
        rows = [row for row in csv.DictReader(file) if row["val/accuracy"]]
    source = load_images("digits")
    torch.manual_seed(3)
    model = build(config, WORM, {"in_channels": 1, "image_size": 8, "num_classes": 10})
    _, curve = fit(model, config, source.train(), source.validation(), source)
    assert [figures["accuracy"] for figures in curve] == [float(row["val/accuracy"]) for row in rows]
    expected = [float(row["val/cross_entropy"]) for row in rows]
    assert [figures["cross_entropy"] for figures in curve] == pytest.approx(expected, rel=1e-6)


def test_the_score_is_a_function_of_graph_and_seed() -> None:
    torch.manual_seed(5)
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    first = score(WORM, 0, **FEW)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.manual_seed(6)
    torch.set_num_threads(2)
    second = score(WORM, 0, **FEW)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(threads)
    assert first == second
    assert len(first["curve"]) == 2
    assert first["steps"] == 4
    assert score(WORM, 1, **FEW)["cross_entropy"] != first["cross_entropy"]


def test_test_images_are_never_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> Any:
        raise AssertionError("the test images were opened")

    source = load_images("digits")
    closed = ImageSource(source.name, source.train, source.validation, refuse, source.classes)
    monkeypatch.setattr(scores, "load_images", lambda *_: closed)
    score(WORM, 0, **FEW)


@pytest.mark.parametrize("null", ["erdos-renyi", "role-degree", "watts-strogatz"])
def test_null_graphs_start_from_the_same_tensors_with_the_same_budget(null: str) -> None:
    """Of the synapses the draws are the same; each is divided by the root of its target's number of synapses."""
    other = random_connectome(null, like=WORM, seed=1)
    models = []
    for graph in (WORM, other):
        with SharedDraws(0):
            model: Any = build_model(
                "classifier", "elegans", connectome=graph, in_channels=1, image_size=8, calibrate=False
            )
        tensors = {name: value.detach() for name, value in model.named_parameters()}
        fan_in = np.bincount(graph.post, minlength=graph.num_neurons)[graph.post]
        tensors["core.conv.weights.theta"] *= torch.from_numpy(np.sqrt(fan_in)).float()
        models.append(tensors)
    assert models[0].keys() == models[1].keys()
    for name, value in models[0].items():
        torch.testing.assert_close(value, models[1][name], rtol=1e-6 if "theta" in name else 0, atol=0)
    worm, drawn = score(WORM, 0, **FEW), score(other, 0, **FEW)
    budgets = ("parameters", "flops", "steps")
    assert [worm[name] for name in budgets] == [drawn[name] for name in budgets]


def test_graphs_of_another_size_share_all_tensors_whose_shape_they_share() -> None:
    smaller = WORM.select(names=WORM.names[WORM.roles != "inter"].tolist() + ["AVAL", "AVAR", "AVBL", "RIML"])
    drawn = []
    for graph in (WORM, smaller):
        with SharedDraws(4):
            edges, head = torch.randn(graph.num_edges), torch.nn.Linear(30, 10)
            drawn.append((edges, head.weight.detach(), torch.empty(5).uniform_()))
    assert drawn[0][0].shape != drawn[1][0].shape
    assert torch.equal(drawn[0][1], drawn[1][1])
    assert torch.equal(drawn[0][2], drawn[1][2])


def test_draws_of_one_shape_differ_from_each_other_and_follow_the_seed() -> None:
    def draw(seed: int) -> torch.Tensor:
        with SharedDraws(seed):
            return torch.stack([torch.randn(4), torch.randn(4)])

    assert torch.equal(draw(0), draw(0))
    assert not torch.equal(draw(0)[0], draw(0)[1])
    assert not torch.equal(draw(0), draw(1))
    with SharedDraws(0):
        generator = torch.Generator().manual_seed(7)
        held = torch.randn(3, generator=generator)
    assert torch.equal(held, torch.randn(3, generator=torch.Generator().manual_seed(7)))


def test_lesions_of_a_trained_model() -> None:
    groups = lesion_groups(WORM, "all")
    assert groups["without class AVA"] == ["AVAL", "AVAR"]
    assert groups["without AVAL"] == ["AVAL"]
    assert sum(name.startswith("without class") for name in groups) == len(lesion_groups(WORM, "classes"))
    assert len(lesion_groups(WORM, "neurons")) == WORM.num_neurons
    found = score(WORM, 0, **FEW, lesions="classes")
    intact = score(WORM, 0, **FEW)
    lesioned = {name: value for name, value in found.items() if name.startswith("without")}
    assert lesioned.keys() == lesion_groups(WORM, "classes").keys()
    assert {name: found[name] for name in intact} == intact
    assert any(value != intact["accuracy"] for value in lesioned.values())


def test_an_autoencoder_can_be_scored_too() -> None:
    settings = {"data": "mnist5k", "steps": 1, "validate_every": 1, "batch_size": 8, "encoder_width": 8}
    found = score(WORM, 0, learn="autoencoder", images=16, validation_images=8, **settings, decoder_width=8)
    assert 0 < found["accuracy"] < 1
    assert {"f1", "bce", "ssim"} <= found.keys()


@pytest.mark.parametrize(
    ("learn", "settings", "message"),
    [
        ("classifier", {"seed": 3}, "seed must be left to the study"),
        ("classifier", {"graph": "erdos-renyi"}, "graph must be left to the study"),
        ("classifier", {"step": 3}, "step"),
        ("classify", {}, "did you mean 'classifier'"),
    ],
)
def test_settings_that_cannot_work_are_refused(learn: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        config_of(learn, settings)


def test_more_images_than_there_are_are_refused() -> None:
    with pytest.raises(ValueError, match=r"images must be 0 \(all\) to 1252, got 5000"):
        score(WORM, 0, **{**FEW, "images": 5000})
