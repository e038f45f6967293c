"""The configuration: presets, what each task refuses, and what reaches the model."""

from __future__ import annotations

from typing import Any

import pytest

from elegans_gnn import load_connectome
from elegans_gnn.datasets import ImageSource
from elegans_gnn.errors import InvalidArgumentError
from elegans_gnn.training import AutoencoderConfig, ClassifierConfig, TrainingConfig, parameter_groups
from elegans_gnn.training.prepare import build, graph_of, needs_graph, shape_of

SHAPE = {"in_channels": 1, "image_size": 28, "num_classes": 10}


def test_the_demo_is_the_defaults() -> None:
    assert AutoencoderConfig.preset("demo") == AutoencoderConfig()
    assert AutoencoderConfig().model_arguments() == {
        "code": 128, "channels": 1, "steps": 4, "inputs": "sensory", "outputs": "motor", "unit": "shared", "keep": 0.5,
        "gap": "coupled", "init": "fan-in", "activation": None, "norm": None, "signs": None, "encoder_width": 64,
        "encoder_blocks": 1, "decoder_width": 64, "decoder_blocks": 2,
    }  # fmt: skip


def test_the_headline_is_the_published_recipe() -> None:
    config = AutoencoderConfig.preset("headline")
    changed = {name: value for name, value in config.to_dict().items() if AutoencoderConfig().to_dict()[name] != value}
    assert changed == {"augment": "strong", "weight_decay": 0.1, "ema": 0.999, "steps": 8000, "validate_every": 400}
    assert config.validation_interval == 400
    assert AutoencoderConfig.preset("headline", steps=800, seed=3) == config.changed(steps=800, seed=3)


@pytest.mark.parametrize("config_type", [AutoencoderConfig, ClassifierConfig])
@pytest.mark.parametrize("data", ["mnist5k", "digits", "cifar10", "a/folder"])
def test_every_data_set_has_every_preset(config_type: type[TrainingConfig], data: str) -> None:
    smoke, demo, headline = (config_type.preset(name, data=data) for name in ("smoke", "demo", "headline"))
    assert {config.data.data for config in (smoke, demo, headline)} == {data}
    assert smoke.optim.steps <= 10 < demo.optim.steps <= headline.optim.steps
    assert demo.smoke().optim.steps == smoke.optim.steps


def test_an_unknown_preset_is_refused_with_the_nearest_name() -> None:
    expected = "preset must be one of smoke, demo, headline, got 'headlines'; did you mean 'headline'"
    with pytest.raises(ValueError, match=expected):
        ClassifierConfig.preset("headlines")


REFUSED: list[tuple[type[TrainingConfig], dict[str, Any], str]] = [
    (ClassifierConfig, {"fold": 5}, "fold must be 0 to 4, got 5"),
    (ClassifierConfig, {"label_smoothing": 1.0}, r"label_smoothing must be in \[0, 1\), got 1.0"),
    (ClassifierConfig, {"frozen": True}, "frozen must be given together with a backbone, got True"),
    (ClassifierConfig, {"frozen": "yes"}, "frozen must be of type bool, got 'yes'"),
    (ClassifierConfig, {"weights": "DEFAULT"}, "weights must be given together with a backbone, got DEFAULT"),
    (ClassifierConfig, {"resize": 224}, "resize must be given together with a backbone, got 224"),
    (ClassifierConfig, {"backbone": "resnet18", "resize": -1}, "resize must be >= 0, got -1"),
    (ClassifierConfig, {"augment": "strongest"}, "augment must be one of .*did you mean 'strong'"),
    (ClassifierConfig, {"augment_share": 1.5}, r"augment_share must be in \[0, 1\], got 1.5"),
    (ClassifierConfig, {"steps": True}, "steps must be of type int, got True"),
    (ClassifierConfig, {"precision": "8"}, "precision must be one of 32, bf16, 16"),
    (ClassifierConfig, {"precision": "16"}, "precision must be 32 or bf16 on the CPU, got 16; use precision=bf16"),
    (ClassifierConfig, {"clip": -1.0}, "clip must be >= 0, got -1.0; use clip=0.0, or 0 for none"),
    (ClassifierConfig, {"patience": -1}, "patience must be >= 0, got -1"),
    (ClassifierConfig, {"devices": 0}, "devices must be >= 1, got 0"),
    (
        AutoencoderConfig,
        {"devices": 3},
        "batch_size must be a multiple of the 3 processes, got 128; use batch_size=129",
    ),
    (AutoencoderConfig, {"muon_learning_rate": -0.1}, "muon_learning_rate must be >= 0, got -0.1"),
]


@pytest.mark.parametrize(("config_type", "options", "message"), REFUSED)
def test_what_cannot_work_is_refused(config_type: type[TrainingConfig], options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        config_type(**options)


def test_a_random_graph_is_drawn_like_the_connectome() -> None:
    config = AutoencoderConfig(graph="degree-preserving", graph_seed=4)
    worm, drawn = load_connectome("varshney2011"), graph_of(config)
    assert drawn.num_edges == worm.num_edges
    assert drawn != worm
    assert graph_of(config) == drawn
    assert graph_of(config.changed(graph_seed=5)) != drawn
    with pytest.raises(ValueError, match="watts-strogatz"):
        graph_of(config.changed(graph="watts-strogatzz"))


def parameters(model: Any, part: str = "") -> int:
    chosen = getattr(model, part) if part else model
    return sum(value.numel() for value in chosen.parameters())


@pytest.mark.parametrize("core", ["message-passing", "frozen", "none", "silent", "dense", "random", "tensor-network"])
def test_the_core_is_one_setting(core: str) -> None:
    config = ClassifierConfig(core=core, channels=2, width=8)
    model = build(config, graph_of(config), SHAPE)
    assert model.arguments["core"] == core
    trainable = [value for value in model.core.parameters() if value.requires_grad]
    assert bool(trainable) == (core not in ("frozen", "none", "random"))


def test_settings_the_core_does_not_have_are_refused_by_name() -> None:
    config = ClassifierConfig(core="dense", unit="role")
    with pytest.raises(ValueError, match="must be one of .*got 'unit'"):
        build(config, graph_of(config), SHAPE)


def test_baselines_take_a_size_and_no_graph() -> None:
    small = AutoencoderConfig(model="mlp", width=16, code=9)
    assert not needs_graph(small)
    model = build(small, None, SHAPE)
    assert model.code_length == 9
    assert parameters(model) < parameters(build(small.changed(width=64), None, SHAPE))
    with pytest.raises(ValueError, match=r"model must be one of elegans, .*got 'mpl'; did you mean 'mlp'"):
        needs_graph(small.changed(model="mpl"))


def test_without_muon_adamw_takes_every_matrix() -> None:
    config = ClassifierConfig(width=32)
    model = build(config, graph_of(config), SHAPE)
    for rate in (0.05, 0.0):
        groups = parameter_groups(model, matrix_parts=model.matrix_parts(), lr=1.0, muon_lr=rate, weight_decay=0.1)
        assert any(group["muon"] for group in groups) == bool(rate)
        assert sum(value.numel() for group in groups for value in group["params"]) == parameters(model)


def test_labels_beyond_the_classes_are_refused(digits: ImageSource) -> None:
    with pytest.raises(ValueError, match="source.classes must be a name for each label up to 9, got 3"):
        shape_of(ClassifierConfig(), digits.validation(), ("a", "b", "c"))
    assert shape_of(ClassifierConfig(), digits.validation(), digits.classes) == SHAPE
