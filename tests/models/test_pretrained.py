"""A model in one folder: everything comes back, and every way to break the folder is noticed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from torch import nn

from elegans_gnn import Connectome, ElegansAutoencoder, ElegansClassifier
from elegans_gnn.models import Classifier, ElegansHead, attach_head, build_model, from_pretrained, save_pretrained
from elegans_gnn.models import pretrained as folder_format
from elegans_gnn.models._base import keeps_arguments
from elegans_gnn.models.pretrained import CLASSES, CONFIG, GRAPH, TRAINING, WEIGHTS

FORMAT_1 = Path(__file__).parent / "data" / "format1"


@pytest.fixture
def classifier(tiny) -> ElegansClassifier:
    torch.manual_seed(0)
    return ElegansClassifier(tiny, 3, width=4, image_size=8, core="message-passing", steps=5, outputs=["F", "G"])


@pytest.fixture
def folder(classifier, tmp_path) -> Path:
    return save_pretrained(classifier, tmp_path / "model")


def edited(folder: Path, name: str, change) -> None:
    plain = json.loads((folder / name).read_text())
    change(plain)
    (folder / name).write_text(json.dumps(plain))


def test_a_model_comes_back_with_its_graph(classifier, folder, tiny):
    state = torch.random.get_rng_state()
    back = ElegansClassifier.from_pretrained(folder)
    assert torch.equal(state, torch.random.get_rng_state())
    assert not back.training
    assert back.connectome == tiny
    assert back.arguments == classifier.arguments
    images = torch.rand(2, 3, 8, 8)
    assert torch.equal(back(images), classifier.eval()(images))


@pytest.mark.parametrize("core", ["tensor-network", "reservoir", "random", "frozen", "none"])
def test_all_cores_travel_frozen_weights_too(worm, tmp_path, core):
    torch.manual_seed(0)
    model = ElegansHead(worm, 4, 3, core=core).eval()
    back = ElegansHead.from_pretrained(model.save_pretrained(tmp_path / "model"))
    features = torch.randn(2, 4)
    assert torch.equal(back(features), model(features))
    assert back.connectome == worm
    assert [p.requires_grad for p in back.parameters()] == [p.requires_grad for p in model.parameters()]


@pytest.mark.parametrize(("task", "name"), [("autoencoder", "attention"), ("classifier", "randomly-wired")])
def test_baselines_travel_without_a_graph(tmp_path, task, name):
    model = build_model(task, name, image_size=8, width=16).eval()
    saved = model.save_pretrained(tmp_path / "model")
    assert sorted(path.name for path in saved.iterdir()) == [CONFIG, WEIGHTS]
    images = torch.rand(2, model.in_channels, 8, 8)
    assert torch.equal(from_pretrained(saved)(images), model(images))


def test_a_backbone_travels_by_name_and_fetches_nothing(tiny, tmp_path, monkeypatch):
    model = attach_head("resnet18", tiny, 3, frozen=True).eval()
    model.arguments["weights"] = "DEFAULT"
    back = from_pretrained(model.save_pretrained(tmp_path / "model"))
    images = torch.rand(1, 3, 32, 32)
    assert torch.equal(back(images), model(images))
    assert back.frozen
    with pytest.raises(ValueError, match="model must be built with arguments that JSON can hold"):
        attach_head(nn.Sequential(nn.Flatten(), nn.Linear(3, 2)), tiny, 3).save_pretrained(tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_files_are_what_they_say(classifier, folder, tiny):
    config = json.loads((folder / CONFIG).read_text())
    assert (config["format"], config["class"]) == (2, "ElegansClassifier")
    assert config["connectome"] == {"name": "tiny", "sha256": tiny.fingerprint}
    assert Connectome.from_dict(json.loads((folder / GRAPH).read_text())) == tiny
    from safetensors.torch import load_file

    saved = load_file(folder / WEIGHTS)
    assert saved.keys() == classifier.state_dict().keys()


def test_an_existing_folder_is_never_touched_unless_asked(classifier, folder, tmp_path):
    with pytest.raises(ValueError, match="folder must be new, got .*model, which exists; .*overwrite=True"):
        classifier.save_pretrained(folder)
    other = tmp_path / "notes"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="folder must be new, got .*notes, which exists; choose another one$"):
        classifier.save_pretrained(other, overwrite=True)
    assert (other / "thesis.txt").read_text() == "years of work"
    with torch.no_grad():
        classifier.head[2].bias.add_(1)
    classifier.save_pretrained(folder, overwrite=True)
    assert torch.equal(from_pretrained(folder).head[2].bias, classifier.head[2].bias)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "notes"]


@pytest.mark.parametrize("kept", ["config alone", "config and weights", "one file more", "one folder more"])
def test_overwriting_takes_a_model_folder_for_nothing_else(kept, classifier, folder, tmp_path):
    """A run folder has a config.json too, and years of work may lie beside a model."""
    if kept == "config alone":
        (folder / WEIGHTS).unlink()
    elif kept == "config and weights":
        (folder / CONFIG).write_text('{"steps": 3}')
    elif kept == "one file more":
        (folder / "thesis.txt").write_text("years of work")
    else:
        (folder / "tensorboard").mkdir()
    before = {path.name: path.is_dir() or path.read_bytes() for path in folder.iterdir()}
    with pytest.raises(ValueError, match="folder must be "):
        classifier.save_pretrained(folder, overwrite=True)
    assert {path.name: path.is_dir() or path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_a_run_adds_is_replaced_with_the_model(classifier, folder):
    for name in (CLASSES, TRAINING):
        (folder / name).write_text("[]")
    classifier.save_pretrained(folder, overwrite=True)
    assert sorted(path.name for path in folder.iterdir()) == [CONFIG, GRAPH, WEIGHTS]


@pytest.mark.parametrize("number", [1, 2])
def test_ctrl_c_while_a_model_is_replaced_brings_the_old_one_back(number, classifier, folder, tmp_path, monkeypatch):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    renamed, calls = os.rename, []

    def interrupted(source: Path, target: Path) -> None:
        calls.append(target)
        if len(calls) == number:
            raise KeyboardInterrupt
        renamed(source, target)

    monkeypatch.setattr(os, "rename", interrupted)
    with pytest.raises(KeyboardInterrupt):
        classifier.save_pretrained(folder, overwrite=True)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_failed_save_leaves_the_old_folder_and_nothing_else(classifier, folder, tmp_path, monkeypatch):
    import safetensors.torch

    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(tensors: dict, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    for target, overwrite in ((folder, True), (tmp_path / "new", False)):
        with pytest.raises(OSError, match="no space left"):
            classifier.save_pretrained(target, overwrite=overwrite)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("name", [CONFIG, GRAPH, WEIGHTS])
def test_missing_and_cut_files_are_named(folder, name):
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=f"folder must be one with a whole {name}"):
        from_pretrained(folder)
    (folder / name).unlink()
    with pytest.raises(ValueError, match=f"folder must be one with {name}, got .*, which lacks it"):
        from_pretrained(folder)


def test_a_changed_graph_is_noticed(folder):
    edited(folder, GRAPH, lambda graph: graph["counts"].__setitem__(0, 7))
    with pytest.raises(ValueError, match="folder must be one with the graph the model was trained on"):
        from_pretrained(folder)


def test_a_graph_that_is_none_is_noticed(folder):
    edited(folder, GRAPH, lambda graph: graph.pop("pre"))
    with pytest.raises(ValueError, match=f"folder must be one with a whole {GRAPH}"):
        from_pretrained(folder)


def test_another_class_is_refused(folder):
    with pytest.raises(ValueError, match="of class ElegansAutoencoder, got .*, of class ElegansClassifier"):
        ElegansAutoencoder.from_pretrained(folder)
    edited(folder, CONFIG, lambda config: config.update({"class": "os.system"}))
    with pytest.raises(ValueError, match="class in .* must be one of .*got 'os.system'"):
        from_pretrained(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda config: config.pop("arguments"), f"folder must be one whose {CONFIG} has arguments"),
        (
            lambda config: config.update(format=3),
            "of format 1 to 2, got .*of format 3; read it with a newer version of",
        ),
        (lambda config: config.update(format="new"), "of format 1 to 2, got .*of format new; copy or save the folder"),
        (lambda config: config.update(format=0), "of format 1 to 2, got .*of format 0; copy or save the folder"),
        (
            lambda config: config.update(arguments=[1]),
            "folder must be one with arguments by name.*with a list; copy or",
        ),
        (lambda config: config.update({"class": ["x"]}), "class in .* must be one of "),
        (
            lambda config: config["connectome"].update(sha256=5),
            "folder must be one with the graph the model was trained",
        ),
        (lambda config: config["arguments"].update(stepz=3), "arguments of ElegansClassifier, got .*stepz"),
        (lambda config: config["arguments"].update(width=8), "weights of a ElegansClassifier, got .*differs in stem"),
        (lambda config: config["arguments"].update(blocks=2), "weights of a ElegansClassifier, got .*differs in stem"),
        (lambda config: config["connectome"].pop("sha256"), f"folder must be one with a whole {GRAPH}"),
    ],
)
def test_a_changed_configuration_is_noticed(folder, change, message):
    edited(folder, CONFIG, change)
    with pytest.raises(ValueError, match=message):
        from_pretrained(folder)


def test_weights_of_another_graph_are_noticed(folder, tiny, tmp_path):
    torch.manual_seed(0)
    order = list(range(tiny.num_neurons))
    order[2], order[3] = 3, 2
    other = ElegansClassifier(tiny.relabel(order), 3, width=4, image_size=8, steps=5, outputs=["F", "G"])
    there = other.save_pretrained(tmp_path / "other")
    (folder / WEIGHTS).write_bytes((there / WEIGHTS).read_bytes())
    with pytest.raises(ValueError, match="folder must be one with weights of its graph"):
        from_pretrained(folder)


def test_what_is_no_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="folder must be the folder of a saved model, got .*nowhere, which is none"):
        from_pretrained(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=f"folder must be one with {CONFIG}, got .*, which lacks it"):
        from_pretrained(tmp_path)


@pytest.mark.parametrize("name", [CONFIG, GRAPH])
@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000])
def test_deep_nesting_is_refused_like_any_damage(folder, name, text):
    (folder / name).write_text(text)
    with pytest.raises(
        ValueError, match=f"folder must be one with a whole {name}, got .*nested too deeply; copy or save"
    ):
        from_pretrained(folder)


@pytest.mark.parametrize("text", ["[1]", "3", '"text"'])
def test_json_that_is_no_object_is_refused(folder, text):
    (folder / CONFIG).write_text(text)
    with pytest.raises(ValueError, match=f"folder must be one with an object in {CONFIG}, got "):
        from_pretrained(folder)


def test_a_folder_of_format_1_computes_what_it_did():
    """Written by version 0.1.0, with a leak per neuron that is no constant."""
    model = ElegansHead.from_pretrained(FORMAT_1 / "head")
    expected = json.loads((FORMAT_1 / "expected.json").read_text())
    with torch.no_grad():
        logits = model(torch.tensor(expected["features"]))
    torch.testing.assert_close(logits, torch.tensor(expected["logits"]), rtol=1e-5, atol=1e-6)


def test_what_was_saved_from_format_1_is_format_2(tmp_path):
    model = ElegansHead.from_pretrained(FORMAT_1 / "head")
    again = model.save_pretrained(tmp_path / "model")
    assert json.loads((again / CONFIG).read_text())["format"] == 2
    features = torch.randn(2, 3)
    assert torch.equal(ElegansHead.from_pretrained(again)(features), model(features))


def test_names_of_format_1_become_those_of_format_2():
    model = ElegansHead.from_pretrained(FORMAT_1 / "head")
    assert model.arguments["leak"] == 0.25
    assert "keep" not in model.arguments
    assert torch.allclose(model.state_dict()["core.leak"], torch.linspace(0.1, 0.7, 7))


def test_only_parameters_of_a_core_are_renamed(monkeypatch):
    monkeypatch.setattr(folder_format, "RENAMED_IN_2", {"keep": "leak"})
    one = torch.ones(1)
    arguments, weights = folder_format.upgraded(
        {"keep": 0.25, "steps": 5},
        {"core.keep": one, "head.core.keep": one, "core.conv.bias": one, "backbone.keep": one},
    )
    assert arguments == {"leak": 0.25, "steps": 5}
    assert list(weights) == ["core.leak", "head.core.leak", "core.conv.bias", "backbone.keep"]


def test_a_class_of_ones_own_is_saved_by_its_class_name(tmp_path):
    class Brightness(Classifier):
        @keeps_arguments
        def __init__(self, num_classes: int = 2, *, scale: float = 1.0) -> None:
            super().__init__()
            self.num_classes, self.scale = num_classes, scale
            self.weight = nn.Parameter(torch.ones(num_classes))

        def forward(self, images):
            return self.scale * images.mean((1, 2, 3))[:, None] * self.weight

    back = from_pretrained(Brightness(3, scale=2.0).save_pretrained(tmp_path / "model"))
    assert isinstance(back, Brightness)
    assert (back.num_classes, back.scale) == (3, 2.0)
