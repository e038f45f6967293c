"""The core as one argument: the same interface for all, and what sets each apart."""

from __future__ import annotations

import pytest
import torch

from elegans_gnn import ElegansAutoencoder, ElegansClassifier, random_connectome
from elegans_gnn.models import CORES, ElegansHead, build_core, core_options

FROZEN = {"frozen", "random", "none", "reservoir"}
OVER_NEURONS = ["message-passing", "frozen", "silent", "dense", "random"]


def built(graph, core, channels=1, **options):
    torch.manual_seed(0)
    return build_core(graph, channels, core, **options)


def signal_for(module, batch=5):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, module.num_inputs, module.features_in, generator=generator)


@pytest.mark.parametrize("core", CORES)
@pytest.mark.parametrize("channels", [1, 3])
def test_shapes_are_what_the_attributes_say(tiny, core, channels):
    module = built(tiny, core, channels)
    signal = signal_for(module)
    assert module.features_in == 16 * channels
    assert module(signal).shape == (5, module.num_outputs, module.features_out)
    assert module(signal[:1]).shape[0] == 1


@pytest.mark.parametrize("core", CORES)
def test_all_three_models_take_it_on_any_graph_and_learn_something(worm, images, core):
    graph = random_connectome("watts-strogatz", like=worm, seed=1)
    torch.manual_seed(0)
    small = {"encoder_width": 4, "decoder_width": 4, "decoder_blocks": 0, "code": 8}
    autoencoder = ElegansAutoencoder(graph, core=core, **small)
    classifier = ElegansClassifier(graph, 3, width=4, in_channels=1, image_size=8, core=core)
    head = ElegansHead(graph, 6, 3, core=core)
    labels = torch.arange(3)
    for model, loss in (
        (autoencoder, autoencoder.loss(images)),
        (classifier, classifier.loss(images[:, :, :8, :8].contiguous(), labels)),
        (head, head.loss(torch.randn(3, 6), labels)),
    ):
        loss.backward()
        assert loss.isfinite()
        assert any(p.grad is not None and p.grad.abs().max() > 0 for p in model.parameters())
        assert model.connectome is graph
        assert model.arguments["core"] == core


@pytest.mark.parametrize("core", sorted(FROZEN))
def test_frozen_cores_have_nothing_to_train_but_a_readout(tiny, core):
    trained = [name for name, p in built(tiny, core).named_parameters() if p.requires_grad]
    assert all(name.startswith("readout.") for name in trained)
    assert bool(trained) == (core == "reservoir")


@pytest.mark.parametrize("core", ["message-passing", "frozen", "tensor-network", "none", "dense", "random"])
def test_gradients_pass_through_to_what_comes_before(tiny, core):
    module = built(tiny, core)
    signal = signal_for(module).requires_grad_()
    module(signal).square().sum().backward()
    assert signal.grad.abs().amax((0, 2)).min() > 0


def test_a_reservoir_passes_gradients_through_its_query_alone(tiny):
    signal = torch.randn(2, 1, 16, requires_grad=True)
    built(tiny, "reservoir")(signal).square().sum().backward()
    assert signal.grad.abs().max() > 0
    signal.grad = None
    built(tiny, "reservoir", readout="mean")(signal).square().sum().backward()
    assert signal.grad is None


def test_frozen_computes_what_message_passing_computes(tiny):
    plain, frozen = built(tiny, "message-passing"), built(tiny, "frozen")
    signal = signal_for(plain)
    assert torch.equal(plain(signal), frozen(signal))


def test_silent_lets_nothing_through_and_cannot_be_healed(tiny):
    module = built(tiny, "silent")
    signal = signal_for(module)
    assert module(signal).abs().max() == 0
    module.lesion(neurons=["C"])
    module.heal()
    assert module(signal).abs().max() == 0
    assert module.conv.neuron_mask is None


def test_none_hands_on_the_inputs(tiny):
    module = built(tiny, "none", inputs=["B", "C", "D"])
    assert module.num_inputs == module.num_outputs == 3
    signal = signal_for(module)
    assert torch.equal(module(signal), signal)


def test_dense_and_random_are_one_linear_map_of_gain_one(worm):
    dense, random = built(worm, "dense"), built(worm, "random")
    signal = signal_for(dense, 64)
    assert torch.equal(dense(signal), random(signal))
    assert dense(signal).std().item() == pytest.approx(1, rel=0.05)
    twice = dense(2 * signal + 1) - dense(signal + 1)
    assert torch.allclose(twice, dense(signal), atol=1e-4)
    inputs, outputs = 83 * 16, 115 * 16
    assert sum(p.numel() for p in dense.parameters()) == inputs * outputs + outputs


def test_tensor_network_options_pass_through(tiny):
    module = built(tiny, "tensor-network", 2, fuse="mul", readout="mean", units="diagonal")
    assert (module.dim, module.fuse, module.readout.kind) == (32, "mul", "mean")


@pytest.mark.parametrize(
    ("core", "option"),
    [
        ("message-passing", "kernel_size"),
        ("message-passing", "fuse"),
        ("frozen", "channels_"),
        ("tensor-network", "steps"),
        ("tensor-network", "recurrence"),
        ("reservoir", "kernel_size"),
        ("none", "outputs"),
        ("none", "steps"),
        ("dense", "steps"),
        ("random", "unit"),
        ("silent", "connectome_"),
    ],
)
def test_options_of_another_core_are_refused_by_name(tiny, core, option):
    with pytest.raises(ValueError, match=f"option must be one of .*, got '{option}'"):
        build_core(tiny, 1, core, **{option: 1})


def test_core_options_name_what_each_core_takes(tiny):
    assert core_options("none") == ("inputs",)
    assert core_options("dense") == core_options("random") == ("inputs", "outputs")
    assert set(core_options("reservoir")) - set(core_options("tensor-network")) == {"spectral_radius"}
    assert {"steps", "leak", "unit", "gap"} <= set(core_options("message-passing"))
    assert core_options("frozen") == core_options("silent") == core_options("message-passing")


def test_unknown_cores_and_channels_are_refused(tiny):
    with pytest.raises(ValueError, match="core must be one of .*, got 'tensornetwork'; did you mean 'tensor-network'"):
        ElegansClassifier(tiny, core="tensornetwork")
    with pytest.raises(ValueError, match="channels must be >= 1, got 0"):
        build_core(tiny, 0, "dense")


@pytest.mark.parametrize("core", OVER_NEURONS)
def test_numbers_of_neurons_are_those_of_the_roles(worm, core):
    module = built(worm, core)
    assert (module.num_inputs, module.num_outputs) == (83, 115)
