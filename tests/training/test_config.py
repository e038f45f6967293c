"""The configuration: presets, what each task refuses, and what reaches the model."""

from __future__ import annotations

import json
import math
import pickle
import re
from collections.abc import MutableMapping
from typing import Any

import pytest

from elegans_gnn import ElegansAutoencoder, load_connectome
from elegans_gnn.datasets import ImageSource
from elegans_gnn.errors import InvalidArgumentError
from elegans_gnn.models import build_model
from elegans_gnn.training import AutoencoderConfig, ClassifierConfig, TrainingConfig, parameter_groups
from elegans_gnn.training.module import groups_of
from elegans_gnn.training.prepare import build, graph_of, needs_graph, shape_of

SHAPE = {"in_channels": 1, "image_size": 28, "num_classes": 10}


def test_the_demo_is_the_defaults() -> None:
    assert AutoencoderConfig.preset("demo") == AutoencoderConfig()
    keywords = AutoencoderConfig().resolved().model_keywords()
    assert keywords | {
        "code": 128, "channels": 1, "steps": 4, "inputs": "sensory", "outputs": "motor", "unit": "shared", "leak": 0.5,
        "gap": "coupled", "init": "fan-in", "activation": None, "norm": None, "signs": None, "encoder_width": 64,
        "encoder_blocks": 1, "decoder_width": 64, "decoder_blocks": 2,
    } == keywords  # fmt: skip
    given = {**keywords, "connectome": load_connectome("varshney2011")}
    assert ElegansAutoencoder(**given).arguments == ElegansAutoencoder(given["connectome"]).arguments | keywords


def test_the_headline_is_the_published_recipe() -> None:
    config = AutoencoderConfig.preset("headline")
    changed = {name: value for name, value in config.to_dict().items() if AutoencoderConfig().to_dict()[name] != value}
    assert changed == {"augment": "strong", "weight_decay": 0.1, "ema": 0.999, "steps": 8000, "validate_every": 400}
    assert config.validation_interval == 400
    assert AutoencoderConfig.preset("headline", steps=800, seed=3) == config.changed(steps=800, seed=3)


@pytest.mark.parametrize("config_type", [AutoencoderConfig, ClassifierConfig])
@pytest.mark.parametrize("data", ["mnist5k", "digits", "cifar10", "fashion-mnist", "a/folder"])
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
    (ClassifierConfig, {"frozen": True}, "frozen has no effect with model=elegans, got True; omit it, or use backbone"),
    (ClassifierConfig, {"backbone": "resnet18", "frozen": "yes"}, "frozen must be of type bool, got 'yes'"),
    (ClassifierConfig, {"weights": "DEFAULT"}, "weights has no effect with model=elegans, got 'DEFAULT'; omit it, or"),
    (ClassifierConfig, {"resize": 224}, "resize has no effect with model=elegans, got 224; omit it, or use backbone="),
    (ClassifierConfig, {"augment": "strongest"}, "augment must be one of .*did you mean 'strong'"),
    (ClassifierConfig, {"augment_share": 1.5}, r"augment_share must be in \[0, 1\], got 1.5"),
    (ClassifierConfig, {"steps": True}, "steps must be of type int, got True"),
    (ClassifierConfig, {"precision": "8"}, "precision must be one of 32, bf16, 16"),
    (ClassifierConfig, {"precision": "16"}, "precision must be 32 or bf16 on the CPU, got 16; use precision=bf16"),
    (ClassifierConfig, {"clip": -1.0}, "clip must be >= 0, got -1.0; use clip=0.0"),
    (ClassifierConfig, {"patience": -1}, "patience must be >= 0, got -1"),
    (ClassifierConfig, {"devices": 0}, "devices must be >= 1, got 0"),
    (
        AutoencoderConfig,
        {"devices": 3},
        "batch_size must be a multiple of the 3 processes, got 128; use batch_size=129",
    ),
    (AutoencoderConfig, {"shift": 28}, "shift must be < 28, the size of the images, got 28; use shift=7"),
    (
        ClassifierConfig,
        {"data": "cifar10", "augment": "crop-flip", "cutout": 800},
        "cutout must be < 32, the size of the images, got 800",
    ),
    (AutoencoderConfig, {"norm": "batch"}, "norm must be layer or none, got 'batch'"),
    (AutoencoderConfig, {"precision": 8}, "precision must be one of 32, bf16, 16, got '8'"),
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


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"core": "dense", "unit": "role"}, "unit has no effect with core=dense, got 'role'; omit it"),
        ({"core": "dense", "unit": "shared"}, "unit has no effect with core=dense, got 'shared'; omit it"),
        ({"core": "tensor-network", "leak": 0.5}, "leak has no effect with core=tensor-network, got 0.5; omit it"),
        ({"model": "vit", "leak": 0.5}, "leak has no effect with model=vit, got 0.5; omit it"),
        ({"wiring": "er"}, "wiring has no effect with model=elegans, got 'er'; omit it"),
        (
            {"core": "tensor-network", "visit_rank": [1]},
            "visit_rank must be omitted here, got .1.; pass it to the class",
        ),
        ({"code": 3}, "setting 'code' is unknown; did you mean '.*'. It must be one of data, "),
        ({"augment": "none", "cutout": 8}, "cutout has no effect with augment=none, got 8; omit it"),
        ({"erase": 0.5}, "erase has no effect with augment=shift, got 0.5; omit it"),
        ({"augment": "strong", "flip": "none"}, "flip has no effect with augment=strong, got 'none'; omit it"),
        ({"augment": "crop-flip", "flip": "often"}, "flip must be one of none, random, alternating, got 'often'"),
        ({"augment": "crop-flip", "erase": 1.5}, r"erase must be in \[0, 1\], got 1.5"),
        ({"augment": "none", "shift": 2}, "shift has no effect with augment=none, got 2; omit it"),
        ({"data": "mnist5k", "fold": 2}, "fold has no effect with data=mnist5k, got 2; omit it"),
        ({"core": "tensor-network", "core_steps": 5}, "core_steps has no effect with core=tensor-network, got 5"),
        ({"core_batch_size": 5}, "setting 'core_batch_size' is unknown; did you mean 'batch_size'"),
        ({"leak": "much"}, "leak must be of type float, got 'much'; use leak=0.5"),
        ({"leak": None}, "leak must be of type float, got None; use leak=0.5"),
        ({"calibrate": 1}, "calibrate must be of type bool, got 1; use calibrate=True"),
        ({"model": "elegansnet", "core": "frozen"}, "core has no effect with model=elegansnet, got 'frozen'; omit it"),
        ({"model": "elegansnet", "unit": "role"}, "unit has no effect with model=elegansnet, got 'role'; omit it"),
        ({"late_steps": 2}, "late_steps has no effect with model=elegans, got 2; omit it"),
        ({"model": "vit", "synapse_learning_rate": 0.1}, "synapse_learning_rate has no effect with model=vit, got 0.1"),
        ({"core": "dense", "synapse_learning_rate": 0.1}, "synapse_learning_rate has no effect with core=dense"),
        (
            {"backbone": "resnet18", "core": "frozen", "synapse_learning_rate": 0.1},
            "synapse_learning_rate has no effect with core=frozen, got 0.1; omit it",
        ),
    ],
)
def test_settings_that_the_model_or_core_does_not_take_are_refused_by_name(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        ClassifierConfig(**settings)


def test_each_core_trains_with_its_own_defaults() -> None:
    """A tensor network applies GELU; a configuration that records another activation would be wrong."""
    assert ClassifierConfig(core="tensor-network").resolved().core.options["activation"] == "gelu"
    assert ClassifierConfig().resolved().core.options["activation"] is None


@pytest.mark.parametrize("config_type", [AutoencoderConfig, ClassifierConfig])
def test_recipes_name_options_that_our_model_takes(config_type: type[TrainingConfig]) -> None:
    for recipes in config_type.recipes.values():
        for recipe in recipes.values():
            config_type(**{**recipe, **({"data": "cifar10"} if "cutout" in recipe else {})})


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


@pytest.mark.parametrize(("model", "modules"), [("elegans", 1), ("elegansnet", 8)])
def test_synapses_may_have_a_rate_of_their_own(model: str, modules: int) -> None:
    config = ClassifierConfig(model=model)
    built: Any = build(config, graph_of(config), SHAPE)
    synapses = {id(value) for part in built.synapse_parts() for value in part.parameters()}
    assert len(synapses) == modules
    usual = groups_of(built, config.optim)
    assert {group["lr"] for group in usual if not group["muon"]} == {config.optim.learning_rate}
    groups = groups_of(built, config.changed(synapse_learning_rate=0.03).optim)
    for group in groups:
        ours = {id(value) for value in group["params"]} & synapses
        assert group["lr"] == 0.03 if ours else group["lr"] != 0.03
        assert len(ours) in (0, len(group["params"]))
        assert group["weight_decay"] == (config.optim.weight_decay if group["params"][0].dim() > 1 else 0)
    assert sum(value.numel() for group in groups for value in group["params"]) == parameters(built)
    assert [len(group["params"]) for group in usual] != [len(group["params"]) for group in groups]


def test_the_recipe_for_clothes_has_its_own_model_until_another_one_is_chosen() -> None:
    config = ClassifierConfig.preset("demo", data="fashion-mnist")
    assert config.model.model == "elegansnet"
    assert config.optim.synapse_learning_rate > 0
    worm: Any = build(ClassifierConfig.preset("smoke", data="fashion-mnist", channels=2), graph_of(config), SHAPE)
    assert (type(worm).__name__, worm.core.channels, worm.core.late_steps) == ("ElegansNet", 2, 2)
    vit = ClassifierConfig.preset("smoke", data="fashion-mnist", model="vit")
    assert (vit.optim.synapse_learning_rate, vit.optim.batch_size) == (0, 32)
    build(vit, None, SHAPE)
    ours = ClassifierConfig.preset("demo", data="fashion-mnist", model="elegans", leak=0.3)
    assert ours.core.options == {"leak": 0.3}
    backbone = ClassifierConfig.preset("demo", data="fashion-mnist", backbone="resnet18")
    assert (backbone.model.model, backbone.model.backbone) == ("elegans", "resnet18")
    frozen = ClassifierConfig.preset("demo", data="fashion-mnist", model="elegans", core="frozen")
    assert frozen.optim.synapse_learning_rate == 0
    with pytest.raises(InvalidArgumentError, match="core has no effect with model=elegansnet, got 'frozen'"):
        ClassifierConfig.preset("demo", data="fashion-mnist", core="frozen")
    assert AutoencoderConfig.preset("demo", data="fashion-mnist") == AutoencoderConfig(data="fashion-mnist")


def test_labels_beyond_the_classes_are_refused(digits: ImageSource) -> None:
    with pytest.raises(ValueError, match="source.classes must be a name for each label up to 9, got 3"):
        shape_of(ClassifierConfig(), digits.validation(), ("a", "b", "c"))
    assert shape_of(ClassifierConfig(), digits.validation(), digits.classes) == SHAPE


def test_a_configuration_never_changes_and_can_be_hashed() -> None:
    """Lists become tuples; what is written and read again is the same configuration."""
    config = AutoencoderConfig(code=64, core="tensor-network", reapply=["SI", "IM"])
    assert config.model.options == {"code": 64}
    assert config.core.options == {"reapply": ("SI", "IM")}
    again = AutoencoderConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert (again, hash(again)) == (config, hash(config))
    assert len({config, again, config.changed(code=32), config.changed(reapply=["SI"])}) == 3
    assert config.to_dict()["reapply"] == ["SI", "IM"]
    assert pickle.loads(pickle.dumps(config)) == config
    assert not isinstance(config.core.options, MutableMapping)


RANGES: list[tuple[dict[str, Any], str, str]] = [
    ({"leak": math.nan}, "leak", "in [0, 1), got nan; use 0.5; with 1 a state would never decay"),
    ({"leak": 1.0}, "leak", "in [0, 1), got 1.0; use 0.5; with 1 a state would never decay"),
    ({"core_steps": 0}, "steps", ">= 1, got 0; use 4; the worm's motor neurons are at most 3 synapses away"),
    ({"gain": 0.0}, "gain", "positive, got 0.0; use 1.0 to keep the variance of the state"),
    ({"gain": math.inf}, "gain", "positive, got inf; use 1.0 to keep the variance of the state"),
    ({"channels": 0}, "channels", ">= 1, got 0; use channels=1, one 4 x 4 map per neuron"),
    ({"width": 1}, "width", ">= 2, got 1; "),
    ({"dropout": 1.0}, "dropout", "in [0, 1), got 1.0; use 0 for none"),
    ({"core": "tensor-network", "num_heads": 0}, "num_heads", ">= 1, got 0; use 8, for example"),
    ({"core": "reservoir", "spectral_radius": -1.0}, "spectral_radius", "positive, got -1.0; use 0.9, or None"),
    ({"model": "vit", "width": 40}, "width", "a multiple of 16, got 40; use width=32"),
    ({"model": "vit", "width": 7}, "width", "a multiple of 16, got 7; use width=16"),
    ({"model": "randomly-wired", "wiring_seed": -1}, "wiring_seed", ">= 0, got -1; "),
]


@pytest.mark.parametrize(("settings", "keyword", "says"), RANGES)
def test_an_option_out_of_range_is_refused_by_the_sentence_of_its_class(
    settings: dict[str, Any], keyword: str, says: str
) -> None:
    """Before anything is built; the class says the same, by the keyword's own name."""
    with pytest.raises(InvalidArgumentError, match=f"^{list(settings)[-1]} must be {re.escape(says)}"):
        ClassifierConfig(**settings)
    choice = {name: settings[name] for name in settings.keys() & {"core"}} | {keyword: list(settings.values())[-1]}
    with pytest.raises(InvalidArgumentError, match=f"^{keyword} must be {re.escape(says)}"):
        build_model(
            "classifier", str(settings.get("model", "elegans")), connectome=load_connectome("varshney2011"), **choice
        )


def test_the_largest_and_least_values_of_a_range_are_taken() -> None:
    assert AutoencoderConfig(leak=0, core_steps=1, encoder_blocks=0).core.options == {"leak": 0, "core_steps": 1}
    assert ClassifierConfig(model="vit", width=16).model.options == {"width": 16}


def test_a_precision_may_be_a_number() -> None:
    assert AutoencoderConfig(precision=32) == AutoencoderConfig()
    assert AutoencoderConfig(precision=16, accelerator="gpu").machine.precision == "16"
