"""The recurrent core: how far signals travel, where they enter and leave, and that gain stays near 1."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from elegans_gnn import Connectome, RecurrentCore
from elegans_gnn.nn import hops_from


@pytest.fixture
def chain() -> Connectome:
    """S -> I -> J -> M, and X, which nothing reaches."""
    return Connectome.from_edges(
        "chain",
        ["S", "I", "J", "M", "X"],
        ["S", "I", "J", "X"],
        ["I", "J", "M", "M"],
        roles=["sensory", "inter", "inter", "motor", "motor"],
    )


def test_hops_are_synapses_travelled(chain):
    assert hops_from(chain, np.array([0])).tolist() == [0, 1, 2, 3, -1]


def test_every_motor_neuron_of_the_worm_is_three_synapses_away_at_most(worm):
    hops = hops_from(worm, worm.role_index("sensory"))[worm.role_index("motor")]
    assert np.bincount(hops).tolist() == [0, 59, 54, 2]


def test_matches_the_recurrence_written_out(chain):
    torch.manual_seed(0)
    core = RecurrentCore(chain, 3, steps=4, outputs=["M", "J"]).double()
    torch.nn.init.normal_(core.conv.bias)
    torch.nn.init.uniform_(core.leak)
    signal = torch.randn(2, 1, 3, dtype=torch.float64)
    entry = torch.zeros(2, 5, 3, dtype=torch.float64)
    entry[:, 0] = signal[:, 0]
    state = entry
    for step in range(4):
        state = core.leak[:, None] * state + core.conv(state)
        if step < 3:
            state = state + entry
    torch.testing.assert_close(core(signal), state[:, [3, 2]])


def test_a_signal_needs_as_many_steps_as_synapses(chain):
    core = RecurrentCore(chain, 2, steps=3, outputs=["M"], bias=None)
    signal = torch.ones(1, 1, 2)
    assert core(signal).abs().max() > 0
    core.lesion(neurons=["J"])
    assert core(signal).abs().max() == 0
    core.heal()
    core.steps = 2
    assert core(signal).abs().max() == 0


def test_a_lesioned_input_neuron_brings_nothing_in(worm):
    core = RecurrentCore(worm, 2)
    signal = torch.randn(2, core.num_inputs, 2)
    core.lesion(neurons=["ASHL"])
    other = signal.clone()
    other[:, core.input_index.tolist().index(worm.index("ASHL")[0])] += 10
    torch.testing.assert_close(core(other), core(signal))


@pytest.mark.parametrize(
    "options",
    [{}, {"signs": "transmitter"}, {"unit": "neuron"}, {"gap": "diffusive"}, {"kernel_size": 3}, {"leak": 0.0}],
)
def test_gain_per_step_is_brought_near_one(worm, options):
    torch.manual_seed(0)
    calibrated = RecurrentCore(worm, 4, **options)
    assert calibrated.gain_per_step() == pytest.approx(1.0, abs=0.05)
    raw = RecurrentCore(worm, 4, calibrate=False, **options)
    assert abs(raw.gain_per_step() - 1) > 0.05


@pytest.mark.parametrize(
    ("pre", "post", "options"),
    [
        (["A", "B"], ["B", "C"], {"steps": 2}),
        (["A", "B"], ["C", "C"], {"steps": 1}),
        (["A", "B"], ["B", "C"], {"steps": 2, "signs": "transmitter", "unit": "neuron"}),
        (["A", "B", "A"], ["B", "C", "C"], {"steps": 4, "kernel_size": 3}),
        (["A", "B"], ["B", "C"], {"steps": 2, "activation": torch.relu}),
    ],
)
def test_a_graph_whose_state_dies_out_is_calibrated_on_the_steps_before(pre, post, options):
    """No cycle and no leak: after some steps nothing is left, and D never receives anything."""
    torch.manual_seed(0)
    roles = ["sensory", "inter", "motor", "unknown"]
    transmitters = ["acetylcholine", "GABA", "", ""]
    graph = Connectome.from_edges("acyclic", ["A", "B", "C", "D"], pre, post, roles=roles, transmitters=transmitters)
    core = RecurrentCore(graph, 4, leak=0.0, **options)
    assert all(value.isfinite().all() for value in core.state_dict().values())
    assert core.gain_per_step() == pytest.approx(1.0, abs=0.05)
    core.conv.weights.rescale(3.0)
    assert core.gain_per_step() == pytest.approx(3.0, abs=0.15)
    signal = torch.randn(2, 1, 4, *[5, 5] * (core.conv.kernel_size is not None))
    assert core(signal).isfinite().all()


def test_a_graph_without_edges_and_leak_has_gain_zero_and_nothing_to_calibrate():
    graph = Connectome.from_edges("dust", ["A", "B"], [], [], roles=["sensory", "motor"])
    options = {"inputs": ["A"], "outputs": ["A"]}
    core = RecurrentCore(graph, 2, leak=0.0, **options)
    assert core.gain_per_step() == 0
    assert all(value.isfinite().all() for value in core.state_dict().values())
    assert RecurrentCore(graph, 2, leak=0.25, **options).gain_per_step() == pytest.approx(0.25)


def test_measuring_the_gain_draws_no_random_number(worm):
    torch.manual_seed(0)
    core = RecurrentCore(worm, 2)
    state = torch.get_rng_state()
    core.gain_per_step()
    assert torch.equal(torch.get_rng_state(), state)


def test_same_seed_same_parameters(worm):
    def parameters(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return torch.cat([p.flatten() for p in RecurrentCore(worm, 2).parameters()])

    assert torch.equal(parameters(1), parameters(1))
    assert not torch.equal(parameters(1), parameters(2))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be >= 1, got 0; use 4"),
        ({"steps": -2}, "steps must be >= 1, got -2"),
        ({"leak": 1.0}, r"leak must be in \[0, 1\), got 1.0"),
        (
            {"steps": 2, "outputs": ["M"]},
            r"outputs must be reachable .* in 2 steps, got 1 of 1 out of reach \(M\); use steps >= 3",
        ),
        ({"steps": 9}, r"got 1 of 2 out of reach \(X\); name in outputs= only neurons with a path"),
        ({"inputs": "polymodal"}, r"inputs must be at least one neuron, got 'polymodal': none; the roles present are"),
        ({"outputs": []}, r"outputs must be at least one neuron, got \[\]: none"),
        ({"inputs": ["S", "S"]}, "inputs must be each neuron once"),
        ({"inputs": ["Z"]}, "inputs must be one of I, J, M, S, X, got 'Z'"),
        ({"steps": 2.5}, "steps must be a whole number >= 1, got 2.5"),
        ({"inputs": "sensori"}, "inputs must be one of sensory, inter, motor, .*did you mean 'sensory'"),
    ],
)
def test_what_cannot_work_is_refused(chain, options, message, unchecked_shapes):
    with pytest.raises(ValueError, match=message):
        RecurrentCore(chain, 2, **options)


def test_a_signal_of_another_size_is_refused(worm):
    core = RecurrentCore(worm, 2)
    with pytest.raises(
        ValueError, match=r"signal must be of shape \[B, 83, ...\] \(one entry per input neuron\), got \[2, 82, 2\]"
    ):
        core(torch.randn(2, 82, 2))


@pytest.mark.parametrize("bias", [None, "neuron"])
def test_runs_under_autocast_and_in_half_precision(worm, bias):
    """Forward and backward; the state keeps the type of the signal, lesioned or not."""
    core = RecurrentCore(worm, 4, bias=bias, norm="layer")
    signal = torch.randn(2, core.num_inputs, 4)
    expected = core(signal)
    with torch.autocast("cpu", torch.bfloat16):
        for given in (signal, signal.bfloat16()):
            out = core(given)
            assert out.dtype == given.dtype
            out.float().sum().backward()
            torch.testing.assert_close(out.float(), expected, rtol=0.1, atol=0.1)
    half = RecurrentCore(worm, 4, bias=bias).bfloat16()
    half.lesion(neurons=["AVAL", "ASHL"], edges=[0])
    assert half(signal.bfloat16()).dtype == torch.bfloat16


def test_keep_is_the_old_name_of_leak(chain):
    options = {"steps": 3, "outputs": ["M"]}
    with pytest.warns(DeprecationWarning, match=r"RecurrentCore\(keep=\) is now called leak"):
        core = RecurrentCore(chain, 2, keep=0.25, **options)
    assert core.leak.tolist() == [0.25] * 5
    with pytest.warns(DeprecationWarning, match=r"RecurrentCore\.keep is now called leak"):
        assert core.keep is core.leak
    with (
        pytest.warns(DeprecationWarning, match="is now called leak"),
        pytest.raises(ValueError, match=r"leak must be in \[0, 1\), got 1.0"),
    ):
        RecurrentCore(chain, 2, keep=1.0, **options)


@pytest.mark.parametrize("inside", [False, True])
def test_weights_saved_under_the_old_name_load_in_silence(chain, inside):
    """As a model of its own and as a part of one; the optimiser's order of parameters is that of the old name too."""

    def built(leak: float) -> torch.nn.Module:
        core = RecurrentCore(chain, 2, steps=3, outputs=["M"], leak=leak)
        return torch.nn.Sequential(core, torch.nn.Linear(2, 2)) if inside else core

    saved, loaded = built(0.25), built(0.75)
    prefix = "0." if inside else ""
    old = {name.replace("leak", "keep"): value for name, value in saved.state_dict().items()}
    assert f"{prefix}keep" in old
    loaded.load_state_dict(old)
    signal = torch.randn(2, 1, 2)
    assert torch.equal(loaded(signal), saved(signal))
    assert next(name for name, _ in loaded.named_parameters()) == f"{prefix}leak"
    assert f"{prefix}keep" in old  # the caller's dictionary stays as it was
    with pytest.raises(RuntimeError, match=f'Missing key.*"{prefix}leak"'):
        loaded.load_state_dict({name: value for name, value in old.items() if name != f"{prefix}keep"})


def test_inputs_and_outputs_are_given_by_role_name_index_or_mask(worm):
    wanted = worm.index(["AVAL", "DD6"]).tolist()
    mask = np.isin(np.arange(worm.num_neurons), wanted)
    for neurons in ("AVAL,DD06", ["AVAL", "DD6"], wanted, np.array(wanted), mask):
        assert RecurrentCore(worm, 2, inputs=neurons, calibrate=False).input_index.tolist() == wanted
    core = RecurrentCore(worm, 2, outputs="DD06", calibrate=False)
    assert core.output_index.tolist() == worm.index("DD6").tolist()


def test_a_signal_without_a_batch_and_the_own_edges_in_any_order(worm):
    core = RecurrentCore(worm, 2)
    signal = torch.randn(3, core.num_inputs, 2)
    torch.testing.assert_close(core(signal[0]), core(signal)[0])
    shuffled = core.conv.edge_index[:, torch.randperm(worm.num_edges)]
    torch.testing.assert_close(core(signal, shuffled), core(signal), rtol=0, atol=0)
    with pytest.raises(ValueError, match="edge_index must be the layer's own graph"):
        core(signal, shuffled[:, 1:])


def test_neurons_are_selected_by_tensors_too(worm, unchecked_shapes):
    mask = torch.zeros(worm.num_neurons, dtype=torch.bool)
    mask[worm.index(["AVAL", "DD6"])] = True
    for neurons in (mask, mask.nonzero()[:, 0]):
        core = RecurrentCore(worm, 2, outputs=neurons, calibrate=False)
        assert core.output_index.tolist() == worm.index(["AVAL", "DD6"]).tolist()


def test_a_core_needs_a_connectome(worm):
    with pytest.raises(ValueError, match="connectome must be a Connectome, got a Tensor; build one"):
        RecurrentCore(torch.tensor(worm.edge_index), 2)
