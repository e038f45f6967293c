"""ElegansNet: where its parameters and operations are, the one path through the synapses, and every way to run it."""

from __future__ import annotations

import pytest
import torch

from elegans_gnn import load_connectome, random_connectome
from elegans_gnn.models import (
    ElegansNet,
    build_model,
    count_flops,
    export_onnx,
    export_program,
    from_pretrained,
    options_of,
    parameters,
)
from tests.models.test_export import run_onnx

CLOTHES = {"in_channels": 1, "image_size": 28}


def small(tiny, **options) -> ElegansNet:
    torch.manual_seed(0)
    return ElegansNet(tiny, 3, **{"in_channels": 1, "image_size": 8, "steps": 2, "late_steps": 2, **options})


@pytest.mark.parametrize("images", [CLOTHES, {"in_channels": 3, "image_size": 32}])
@pytest.mark.parametrize("channels", [1, 2])
def test_synapses_and_neurons_are_nearly_all_of_it(worm, images, channels):
    """At least 85 % of parameters and operations; by default 98 % and more."""
    model = ElegansNet(worm, channels=channels, **images)
    shape = (1, *(images["in_channels"], images["image_size"], images["image_size"]))
    parts, total = model.parameters_by_part(), parameters(model)
    assert sum(parts.values()) == total
    assert (parts["synapses"] + parts["neurons"]) / total > 0.85
    assert parts["synapses"] / total > 0.85
    inside, flops = count_flops(model, *shape, part="core"), count_flops(model, *shape)
    assert inside / flops > 0.85
    assert 0 < flops - inside < 0.15 * flops  # the rest is counted too


def test_sizes_are_as_stated(worm):
    model = ElegansNet(worm, **CLOTHES)
    assert model.parameters_by_part() == {
        "stem": 83 * 26,
        "synapses": 8 * 2711 * 9,
        "neurons": 8 * 279 * 3,
        "head": 2 * 115 + 115 * 10 + 10,
    }
    steps = 2 * 2993 * 9 * (3 * 14**2 + 5 * 7**2)
    assert count_flops(model, 1, 1, 28, 28, part="core") == steps
    assert count_flops(model, 1, 1, 28, 28) == steps + 2 * 83 * 25 * 14**2 + 2 * 115 * 10


def test_with_silent_synapses_every_image_gets_the_same_logits(worm):
    torch.manual_seed(0)
    images = torch.rand(2, 1, 28, 28)
    silent = ElegansNet(worm, synapses="silent", **CLOTHES)
    assert torch.equal(*silent(images))
    trained = ElegansNet(worm, **CLOTHES)
    assert not torch.allclose(*trained(images), atol=1e-2)
    trained.core.lesion(edges=range(worm.num_edges))
    assert torch.equal(*trained(images))
    trained.core.heal()
    assert not torch.allclose(*trained(images), atol=1e-2)
    # An input neuron that is read too passes its map on without any synapse.
    overlapping = ElegansNet(worm, synapses="silent", inputs="all", **CLOTHES)
    assert not torch.allclose(*overlapping(images), atol=1e-4)


def test_every_parameter_gets_a_gradient_and_frozen_synapses_none(worm):
    torch.manual_seed(0)
    for fate in ("trained", "frozen"):
        model = ElegansNet(worm, 4, in_channels=1, image_size=12, leak=0.9, synapses=fate)
        model.loss(torch.rand(4, 1, 12, 12), torch.arange(4)).backward()
        without = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0}
        assert without == {name for name, _ in model.named_parameters() if fate == "frozen" and "synapses" in name}
        assert parameters(model, trainable=True) == parameters(model) - len(without) * 2711 * 9


@pytest.mark.parametrize("options", [{}, {"channels": 2, "channel_filters": "mixed", "filters": "neuron"}])
def test_learns_a_batch_by_heart(tiny, options):
    model = small(tiny, channels=options.pop("channels", 4), **options)
    images, labels = torch.rand(9, 1, 8, 8), torch.arange(9) % 3
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-2)
    for _ in range(200):
        optimizer.zero_grad()
        model.loss(images, labels).backward()
        optimizer.step()
    assert (model(images).argmax(1) == labels).all()


@pytest.mark.parametrize("size", [8, 9, 28, 31, 32])
def test_takes_images_of_any_size_from_8_up(tiny, size):
    assert small(tiny, in_channels=3, image_size=size)(torch.rand(2, 3, size, size)).shape == (2, 3)


@pytest.mark.parametrize("name", ["witvliet2020-8", "cook2019-hermaphrodite", "white1986"])
def test_other_connectomes(name):
    graph = load_connectome(name)
    model = ElegansNet(graph, steps=1, late_steps=3, **CLOTHES)
    assert model(torch.rand(2, 1, 28, 28)).isfinite().all()
    assert model.core.adjacency.num_edges == graph.merged().num_edges


@pytest.mark.parametrize("null", ["erdos-renyi", "role-degree", "watts-strogatz"])
def test_null_graphs_have_as_many_filters(worm, null):
    graph = random_connectome(null, like=worm, seed=1)
    assert small(graph, steps=1, late_steps=5)(torch.rand(2, 1, 8, 8)).isfinite().all()


@pytest.mark.parametrize(
    "options",
    [
        {"leak": 0.9, "shared_steps": "size", "gap": "merged"},
        {"filters": "role", "channels": 2, "channel_filters": "mixed", "synapses": "frozen"},
        {"synapses": "silent", "activation": "silu", "kernel_size": 5},
    ],
)
def test_travels_in_a_folder(tiny, tmp_path, options):
    model = small(tiny, **options).eval()
    back = from_pretrained(model.save_pretrained(tmp_path / "model"))
    images = torch.rand(2, 1, 8, 8)
    assert torch.equal(back(images), model(images))
    assert back.arguments == model.arguments
    assert [p.requires_grad for p in back.parameters()] == [p.requires_grad for p in model.parameters()]


def test_another_wiring_refuses_the_weights(worm):
    other = random_connectome("role-degree", like=worm, seed=0)
    with pytest.raises(RuntimeError, match="these weights belong to another graph"):
        ElegansNet(other, **CLOTHES).load_state_dict(ElegansNet(worm, **CLOTHES).state_dict(), strict=False)


@pytest.mark.parametrize("channel_filters", ["own", "mixed"])
def test_exports_as_masked_convolutions(tiny, tmp_path, unchecked_shapes, channel_filters):
    pytest.importorskip("onnx")
    model = small(tiny, channels=2, channel_filters=channel_filters, leak=0.9)
    example, images = torch.rand(2, 1, 8, 8), torch.rand(5, 1, 8, 8)
    program = export_program(model, example)
    assert not any("elegans_gnn" in str(node.target) for node in program.graph.nodes)
    assert torch.allclose(program.module()(images), model.eval()(images), atol=1e-5)
    path = export_onnx(model, tmp_path / "model.onnx", example)
    assert torch.allclose(run_onnx(path, images), model.eval()(images), atol=1e-4)


def test_compiles(tiny, unchecked_shapes):
    model, images = small(tiny, channels=2, leak=0.9), torch.rand(4, 1, 8, 8)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(images), model(images))
    compiled(images).sum().backward()
    assert model.stem.weight.grad is not None


def test_options_are_those_of_the_core_too():
    found = options_of(ElegansNet)
    assert list(found)[:4] == ["channels", "dropout", "steps", "late_steps"]
    assert found["filters"].choices == ("synapse", "neuron", "role", "shared")
    assert found["synapses"].choices == ("trained", "frozen", "silent")
    assert found["shared_steps"].choices == ("size", "all")
    assert (found["leak"].type, found["leak"].optional) == (float, True)
    assert found["gap"].choices == ("parallel", "merged")


def test_dropout_acts_in_training_only(tiny):
    model = small(tiny, dropout=0.5)
    images = torch.rand(2, 1, 8, 8)
    assert not torch.equal(model(images), model(images))
    model.eval()
    assert torch.equal(model(images), model(images))


def test_refusals(tiny, unchecked_shapes):
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 1"):
        small(tiny, dropout=1)
    with pytest.raises(ValueError, match="argument must be one of num_classes, .*got 'stepz'; did you mean 'steps'"):
        build_model("classifier", "elegansnet", connectome=tiny, stepz=1)
    with pytest.raises(ValueError, match="argument must be one of .*got 'core'"):
        build_model("classifier", "elegansnet", connectome=tiny, core="silent")
    with pytest.raises(ValueError, match=r"images must be of shape \[B, 1, 8, 8\], got \[2, 3, 8, 8\]"):
        small(tiny)(torch.zeros(2, 3, 8, 8))
