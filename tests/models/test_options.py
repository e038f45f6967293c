"""What models and cores say of their options, and how classes enter the tables."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
import torch

from elegans_gnn.models import (
    CORES,
    MODELS,
    BackboneClassifier,
    Classifier,
    ElegansHead,
    Option,
    build_core,
    build_model,
    core_options,
    from_pretrained,
    model_arguments,
    models_with_option,
    options_of,
)
from elegans_gnn.models._base import ImageModel, keeps_arguments
from elegans_gnn.models.cores import Core
from elegans_gnn.models.pretrained import MODEL_CLASSES
from elegans_gnn.nn import RecurrentCore
from elegans_gnn.nn._activations import ACTIVATIONS

BUILDS = [build for models in MODELS.values() for build in models.values()] + [ElegansHead, BackboneClassifier]
FROM_IMAGES = {"num_classes", "in_channels", "image_size"}
PYTHON_ONLY = {"visit_rank"}


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("build", BUILDS, ids=lambda build: build.__name__)
def test_every_option_has_a_type_and_one_line_of_plain_help(build, core):
    for name, option in options_of(build, core).items():
        assert option.name == name
        assert option.type in (int, float, bool, str)
        assert len(option.help) > 8, f"{build.__name__}: {name} needs an entry in the docstring"
        assert not re.search(r"[`\n\\]|:\w+:|  ", option.help)
        assert not option.choices or option.type is str
        if option.default is None:
            assert option.optional
        elif not option.many:
            assert isinstance(option.default, option.type)
        if option.choices:
            assert option.default is None or option.default in option.choices


@pytest.mark.parametrize(("task", "name"), [(task, name) for task in MODELS for name in MODELS[task]])
def test_options_are_the_arguments_but_for_what_the_images_decide(task, name):
    build = MODELS[task][name]
    for core in CORES if "core" in model_arguments(task, name) else ["message-passing"]:
        assert set(options_of(build, core)) == set(model_arguments(task, name, core)) - FROM_IMAGES - PYTHON_ONLY


def test_options_are_in_the_order_of_the_signatures():
    names = list(options_of(MODELS["classifier"]["elegans"]))
    assert names[:7] == ["width", "blocks", "channels", "dropout", "core", "steps", "inputs"]
    assert names.index("calibrate") < names.index("unit") < names.index("bias")
    assert list(options_of(MODELS["autoencoder"]["mlp"], "tensor-network")) == ["code", "width", "depth"]
    assert list(options_of(BackboneClassifier, "none")) == [
        "weights", "frozen", "resize", "mean", "std", "image_size", "head", "channels", "core", "inputs",
    ]  # fmt: skip


def test_types_defaults_and_choices():
    found = options_of(MODELS["classifier"]["elegans"])
    assert (found["steps"].type, found["steps"].optional, found["steps"].default) == (int, False, 4)
    assert (found["dropout"].type, found["calibrate"].type) == (float, bool)
    assert found["activation"] == Option("activation", str, True, None, found["activation"].help, ACTIVATIONS, False)
    assert found["signs"].choices == ("transmitter",)
    assert found["unit"].choices == ("shared", "role", "neuron")
    assert (found["inputs"].type, found["inputs"].many, found["inputs"].choices) == (str, True, ())
    assert found["core"].choices == tuple(CORES)
    vit = options_of(MODELS["classifier"]["vit"])
    assert (vit["width"].type, vit["width"].optional, vit["width"].default) == (int, True, None)
    assert options_of(MODELS["classifier"]["randomly-wired"])["wiring"].choices == ("er", "ba", "ws")
    backbone = options_of(BackboneClassifier)
    assert (backbone["mean"].type, backbone["mean"].many, backbone["mean"].optional) == (float, True, True)
    assert (backbone["weights"].type, backbone["weights"].choices) == (str, ())
    network = options_of(ElegansHead, "tensor-network")
    assert (network["reapply"].many, network["reapply"].choices, network["reapply"].default) == (True, (), ())
    assert (network["head_dim"].type, network["head_dim"].optional) == (int, True)
    assert "cross" in network["readout"].choices


@pytest.mark.parametrize("core", CORES)
def test_every_choice_is_a_name_that_the_core_knows(worm, core):
    graph = replace(worm, weights=worm.counts.astype(float))  # for init="weights"
    for name, option in options_of(ElegansHead, core).items():
        for choice in option.choices if name in core_options(core) else ():
            more = {"unit_norm": False} if choice == "normalized-mul" else {}
            assert build_core(graph, 1, core, **{name: choice}, **more).features_in == 16


def test_text_of_a_docstring_reaches_the_help():
    """Of the core itself, of a layer it forwards to, and of another class that the layer's docstring refers to."""
    assert options_of(ElegansHead, "none")["inputs"].help.startswith("neurons that take the encoder's output")
    found = options_of(ElegansHead)
    assert found["gap"].help == '"coupled" passes w x_u like a chemical synapse; "diffusive" passes w (x_u - x_v)'
    assert found["gain"].help == "root mean square that a target receives from sources of unit variance"


def test_models_with_an_option_are_named_as_settings():
    assert models_with_option("classifier", "depth") == ["model=vit", "model=resnet", "model=randomly-wired"]
    assert models_with_option("autoencoder", "encoder_width") == ["model=elegans"]
    cores = ["core=message-passing", "core=frozen", "core=silent"]
    assert models_with_option("classifier", "steps") == ["model=elegansnet", *cores]
    assert models_with_option("autoencoder", "steps") == cores
    assert models_with_option("autoencoder", "readout") == ["core=tensor-network", "core=reservoir"]
    assert models_with_option("classifier", "stepz") == []
    with pytest.raises(ValueError, match="task must be one of autoencoder, classifier, got 'classify'; did you mean"):
        models_with_option("classify", "width")
    with pytest.raises(ValueError, match="core must be one of .*got 'nothing'"):
        options_of(ElegansHead, "nothing")


def test_tables_list_ours_first_and_then_the_baselines_in_a_fixed_order():
    assert {task: list(models) for task, models in MODELS.items()} == {
        "autoencoder": ["elegans", "mlp", "conv", "attention"],
        "classifier": ["elegans", "elegansnet", "vit", "resnet", "randomly-wired", "logistic"],
    }
    assert list(CORES) == [
        "message-passing", "frozen", "tensor-network", "reservoir", "none", "silent", "dense", "random",
    ]  # fmt: skip
    assert {build.__name__ for build in BUILDS} <= set(MODEL_CLASSES)


@pytest.fixture
def tables():
    """The tables as they were, after a test that adds to them."""
    before = [(table, dict(table)) for table in (MODEL_CLASSES, CORES, *MODELS.values())]
    yield
    for table, entries in before:
        table.clear()
        table.update(entries)


def test_a_new_model_is_one_class(tables, tmp_path):
    class Sum(Classifier, name="sum"):
        """Sum of all pixels times a weight per class.

        Args:
            scale: factor of all logits.
        """

        @keeps_arguments
        def __init__(self, num_classes: int = 10, *, image_size: int = 32, scale: float = 2.0) -> None:
            super().__init__()
            self.num_classes = num_classes

    assert list(MODELS["classifier"])[-1] == "sum"
    assert options_of(Sum) == {"scale": Option("scale", float, False, 2.0, "factor of all logits")}
    assert models_with_option("classifier", "scale") == ["model=sum"]
    model = build_model("classifier", "sum", scale=3.0)
    assert from_pretrained(model.save_pretrained(tmp_path / "model")).arguments["scale"] == 3.0
    with pytest.raises(ValueError, match="argument must be one of num_classes, image_size, scale, got 'scala'"):
        build_model("classifier", "sum", scala=3.0)


def test_a_new_core_is_one_class(tables, tiny):
    class Doubled(Core, RecurrentCore, name="doubled"):
        """Twice what the recurrent core gives.

        Args:
            times: factor of the output.
        """

        fixed = ("calibrate",)

        def __init__(self, connectome, features: int, *, times: int = 2, **options) -> None:
            super().__init__(connectome, features, **options)
            self.features_in = self.features_out = features

    names = set(core_options("doubled"))
    assert {"times", "steps"} <= names
    assert not names & {"calibrate", "unit", "features", "connectome", "channels", "options", "conv"}
    assert options_of(ElegansHead, "doubled")["times"].help == "factor of the output"
    assert "core=doubled" in models_with_option("classifier", "times")
    assert ElegansHead(tiny, 3, 2, core="doubled", times=3, steps=5)(torch.ones(2, 3)).shape


def test_a_name_that_is_taken_is_refused(tables):
    before = [dict(table) for table in (MODELS["classifier"], MODEL_CLASSES, CORES)]
    with pytest.raises(
        ValueError, match="name must be new: .*SmallViT has it, got 'vit' of .*Other; choose another name"
    ):
        type("Other", (Classifier,), {}, name="vit")
    with pytest.raises(ValueError, match="name must be new: .*attention.SmallViT has it, got 'SmallViT'"):
        type("SmallViT", (Classifier,), {})
    with pytest.raises(ValueError, match="name must be new: .*DenseCore has it, got 'dense'"):
        type("Other", (Core,), {}, name="dense")
    with pytest.raises(ValueError, match="task must be given by a base class, got ''; derive from Autoencoder or"):
        type("Other", (ImageModel,), {}, name="other")
    assert [MODELS["classifier"], MODEL_CLASSES, CORES] == before


def test_a_class_may_be_defined_again(tables):
    """As a notebook or a reloaded module does; the last one counts."""

    def define():
        class Again(Classifier, name="again"):
            pass

        return Again

    define()
    last = define()
    assert MODELS["classifier"]["again"] is MODEL_CLASSES["Again"] is last
