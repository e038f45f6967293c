"""SynapticCore: its formula step by step, what steps share, lesions, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from elegans_gnn import Connectome
from elegans_gnn.nn import SynapticCore


@pytest.fixture
def chain() -> Connectome:
    """A and B see, C and D relay, E and F act; a gap junction beside a synapse, and a self-loop."""
    return Connectome.from_edges(
        "chain",
        ["A", "B", "C", "D", "E", "F"],
        ["A", "B", "C", "C", "D", "C", "D", "D", "A", "E"],
        ["C", "C", "D", "D", "C", "E", "F", "D", "D", "C"],
        kinds=["chemical"] * 3 + ["gap", "gap"] + ["chemical"] * 5,
        roles=["sensory", "sensory", "inter", "inter", "motor", "motor"],
        transmitters=["acetylcholine", "GABA", "glutamate", "GABA", "acetylcholine", ""],
    )


def core_of(graph, channels=1, **options) -> SynapticCore:
    torch.manual_seed(0)
    core = SynapticCore(graph, channels, **{"steps": 2, "late_steps": 1, **options}).double()
    with torch.no_grad():
        for name, parameter in core.neurons.named_parameters():
            parameter.add_(0.3 * torch.randn_like(parameter), alpha=0.0 if "leak" in name else 1.0)
    return core


def signal(channels=1, size=6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(3, 2, channels, size, size, dtype=torch.float64, generator=generator)


def by_hand(core: SynapticCore, s: torch.Tensor, activation=F.relu) -> torch.Tensor:
    """The formula, one edge at a time; the filters are [E, set, (C, (C,)) k, k]."""
    graph, channels, filters = core.connectome, s.shape[2], core.edge_weight()
    state = s.new_zeros(len(s), graph.num_neurons, *s.shape[2:])
    state[:, core.input_index] = s
    for step in range(core.steps + core.late_steps):
        if step == core.steps:
            state = F.avg_pool2d(state.flatten(1, 2), 2).unflatten(1, state.shape[1:3])
        number = {None: step, "size": int(step >= core.steps), "all": 0}[core.shared_steps]
        neurons = core.neurons[number]
        scale, shift = (p.view(-1, channels)[:, :, None, None] for p in (neurons.scale, neurons.shift))
        mean = state.mean((3, 4), keepdim=True)
        deviation = (state.var((3, 4), keepdim=True, unbiased=False) + 1e-5).sqrt()
        active = activation(scale * (state - mean) / deviation + shift)
        leak = torch.ones(graph.num_neurons).double() if neurons.leak is None else neurons.leak
        after = leak[:, None, None, None] * state
        for edge, (u, v) in enumerate(zip(graph.pre, graph.post, strict=True)):
            kernel = filters[edge, number]
            kernel = torch.eye(channels).double()[..., None, None] * kernel if kernel.dim() == 2 else kernel
            kernel = torch.diag_embed(kernel.permute(1, 2, 0)).permute(2, 3, 0, 1) if kernel.dim() == 3 else kernel
            step_size = neurons.step_size[v]
            after[:, v] = after[:, v] + step_size * F.conv2d(active[:, u], kernel, padding=kernel.shape[-1] // 2)
        state = after
    return state[:, core.output_index]


@pytest.mark.parametrize("filters", ["synapse", "neuron", "role", "shared"])
@pytest.mark.parametrize("channel_filters", ["own", "shared", "mixed"])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("gap", ["parallel", "merged"])
def test_matches_the_formula(chain, filters, channel_filters, channels, gap):
    core = core_of(chain, channels, filters=filters, channel_filters=channel_filters, gap=gap, leak=0.8)
    assert core.connectome.num_edges == {"parallel": 10, "merged": 9}[gap]
    torch.testing.assert_close(core(signal(channels)), by_hand(core, signal(channels)))


@pytest.mark.parametrize(
    "options",
    [
        {"shared_steps": "size"},
        {"shared_steps": "all"},
        {"steps": 0, "late_steps": 3},
        {"steps": 3, "late_steps": 0, "kernel_size": 5, "signs": "transmitter"},
        {"activation": "gelu", "step_size": 0.3, "leak": None, "kernel_size": 1},
    ],
)
def test_matches_the_formula_with_other_options(chain, options):
    core = core_of(chain, 2, **options)
    activation = F.gelu if options.get("activation") == "gelu" else F.relu
    torch.testing.assert_close(core(signal(2)), by_hand(core, signal(2), activation))


def test_parallel_edges_are_convolved_once_per_pair(worm):
    core = SynapticCore(worm, 1, steps=1, late_steps=3)
    assert core.adjacency.num_edges == 2993
    assert core.synapses[0].weights.theta.shape == (2711, 3, 3)
    assert core.edge_weight().shape == (3225, 4, 3, 3)
    merged = SynapticCore(worm, 2, steps=1, late_steps=3, gap="merged", channel_filters="mixed")
    assert merged.adjacency.num_edges == 4 * 2993
    assert merged.synapses[0].weights.theta.shape == (2993, 4, 3, 3)


@pytest.mark.parametrize(("shared", "sets"), [(None, 8), ("size", 2), ("all", 1)])
def test_steps_share_what_they_are_told_to(worm, shared, sets):
    core = SynapticCore(worm, 1, shared_steps=shared, leak=0.9)
    assert (len(core.synapses), len(core.neurons)) == (sets, sets)
    assert sum(p.numel() for p in core.neurons.parameters()) == sets * 4 * 279


@pytest.mark.parametrize("size", [5, 8])
def test_maps_are_halved_once_and_odd_sides_rounded_up(chain, size):
    assert core_of(chain)(signal(size=size)).shape == (3, 2, 1, (size + 1) // 2, (size + 1) // 2)
    assert core_of(chain, steps=3, late_steps=0)(signal(size=size)).shape == (3, 2, 1, size, size)


def test_a_step_changes_the_state_by_a_moderate_amount(worm):
    torch.manual_seed(0)
    core = SynapticCore(worm, 1, inputs="all", outputs="all", steps=1, late_steps=0)
    x = torch.randn(4, 279, 1, 14, 14)
    change = (core(x) - x).square().mean((0, 2, 3, 4)).sqrt()
    heard = np.isin(np.arange(279), worm.post)
    assert 0.4 < change[heard].mean() < 1.0  # relu passes on half of the power
    assert change[~heard].max() == 0


def test_all_parameters_learn(worm):
    torch.manual_seed(0)
    core = SynapticCore(worm, 2, steps=2, late_steps=2, leak=0.9)
    core(torch.randn(2, 83, 2, 6, 6)).square().sum().backward()
    for number in range(3):  # in the last step, only what reaches the outputs
        for parameter in (*core.synapses[number].parameters(), *core.neurons[number].parameters()):
            assert parameter.grad.abs().max() > 0


def test_lesions_silence_synapses_and_neurons_until_healed(chain):
    core = core_of(chain, outputs=["E", "F"])
    whole, motors = core(signal()), list(chain.names)
    core.lesion(edges=[e for e in range(10) if motors[chain.post[e]] == "E"])
    assert not core(signal())[:, 0].any()
    torch.testing.assert_close(core(signal())[:, 1], whole[:, 1])
    core.heal()
    torch.testing.assert_close(core(signal()), whole)
    core.lesion(neurons=["A", "B"])
    alone = core(torch.zeros_like(signal()))
    torch.testing.assert_close(core(signal()), alone)
    assert "edge_mask" not in core.state_dict()
    core.lesion(neurons=["F"])
    assert not core(signal())[:, 1].any()


def test_silent_synapses_stay_silent_and_frozen_ones_do_not_train(chain):
    silent = core_of(chain, synapses="silent")
    assert not silent(signal()).any()
    silent.heal()
    assert not silent(signal()).any()
    frozen = core_of(chain, synapses="frozen")
    assert frozen(signal()).any()
    for core in (silent, frozen):
        assert not any(p.requires_grad for p in core.synapses.parameters())
        assert all(p.requires_grad for p in core.neurons.parameters())


def test_dropped_steps_keep_the_mean_and_are_only_dropped_in_training(chain):
    core = core_of(chain, steps=1, late_steps=0, inputs="all", outputs="all", drop_path=0.5, leak=0.7)
    x = torch.randn(1, 6, 1, 3, 3, dtype=torch.float64).expand(4000, -1, -1, -1, -1)
    core.eval()
    expected = core(x[:1])[0]
    core.train()
    dropped = core(x)
    torch.testing.assert_close(dropped.mean(0), expected, rtol=0.1, atol=0.1)
    left_out = (dropped == core.neurons[0].leak[0] * x).all(dim=(1, 2, 3, 4)).double().mean().item()
    assert left_out == pytest.approx(0.5, abs=0.04)


def test_moves_between_types_and_compiles(chain, unchecked_shapes):
    core = core_of(chain, 2, leak=0.9, channel_filters="mixed")
    compiled = torch.compile(core, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(signal(2)), core(signal(2)))
    assert core.float()(signal(2).float()).dtype == torch.float32
    core.reset_parameters()
    assert core.neurons[0].leak.tolist() == pytest.approx([0.9] * 6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"channels": 0}, "channels must be >= 1, got 0"),
        ({"steps": -1}, "steps must be >= 0, got -1; use 3"),
        ({"steps": 0, "late_steps": 0}, "steps and late_steps must be at least 1 together"),
        ({"steps": 1, "late_steps": 0}, "outputs must be reachable from the inputs in 1 steps"),
        ({"shared_steps": "both"}, "shared_steps must be one of None, size, all, got 'both'"),
        ({"gap": "coupled"}, "gap must be one of parallel, merged, got 'coupled'"),
        (
            {"filters": "roles"},
            "filters must be one of synapse, neuron, role, shared, got 'roles'; did you mean 'role'",
        ),
        ({"channel_filters": "each"}, "channel_filters must be one of shared, own, mixed, got 'each'"),
        ({"synapses": "cut"}, "synapses must be one of trained, frozen, silent, got 'cut'"),
        ({"activation": "relu6"}, "activation must be one of .*got 'relu6'"),
        ({"leak": 0.0}, r"leak must be in \(0, 1\], got 0.0; use None, which keeps"),
        ({"step_size": 0.0}, "step_size must be positive, got 0.0"),
        ({"drop_path": 1.0}, r"drop_path must be in \[0, 1\), got 1.0"),
        ({"kernel_size": 2}, "kernel_size must be an odd integer"),
        ({"inputs": "sensor"}, "inputs"),
    ],
)
def test_refusals(chain, options, message):
    options = dict(options)
    with pytest.raises(ValueError, match=message):
        SynapticCore(chain, options.pop("channels", 1), **options)


def test_a_signal_of_another_shape_is_refused(chain, unchecked_shapes):
    core = core_of(chain)
    with pytest.raises(ValueError, match=r"signal must be of shape \[B, 2, 1, H, W\] .* got \[3, 1, 1, 6, 6\]"):
        core(signal()[:, :1])
    with pytest.raises(ValueError, match=r"signal must be of shape \[B, 2, 1, H, W\]"):
        core(signal()[:, :, 0])
