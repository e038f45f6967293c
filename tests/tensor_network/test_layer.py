"""The layer as its users meet it: invariances, options, errors, saving, compiling."""

from __future__ import annotations

import copy
import logging
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from elegans_gnn.connectome import Connectome
from elegans_gnn.nn.tensor_network import TensorNetwork, layer, reference_forward
from elegans_gnn.nn.tensor_network.readout import READOUTS
from elegans_gnn.ops import resolve_backend
from elegans_gnn.ops.visits import VISITS
from tests.tensor_network.cases import golden_graph, make_graph, relative_error, small


def permuted(graph: Connectome) -> tuple[Connectome, np.ndarray]:
    order = np.random.default_rng(3).permutation(graph.num_neurons)
    return graph.relabel(order), order


def moved(network: TensorNetwork, graph: Connectome, numbers: np.ndarray | None, **options: Any) -> TensorNetwork:
    """A network on another graph with each neuron's unit carried over; `numbers[i]` is new neuron i's old number."""
    other = TensorNetwork(graph, network.dim, **options).double()
    with torch.no_grad():
        for new in np.flatnonzero(other.units.row_of >= 0).tolist():
            old = new if numbers is None else int(numbers[new])
            if network.units.row_of[old] >= 0:
                for name in ("weight", "bias"):
                    values = getattr(network.units, name)[network.units.row_of[old]]
                    getattr(other.units, name)[other.units.row_of[new]] = values
    other.readout.load_state_dict(network.readout.state_dict())
    return other


def test_relabelling_changes_nothing_and_its_rank_matters() -> None:
    graph = small()
    network = TensorNetwork(graph, 6).double()
    x = torch.randn(3, 6, dtype=torch.float64)
    relabelled, order = permuted(graph)
    same = moved(network, relabelled, order)
    assert relative_error(same(x), network(x)) < 1e-12
    forgotten = moved(network, relabelled, order, visit_rank=np.arange(graph.num_neurons))
    assert relative_error(forgotten(x), network(x)) > 1e-3


def test_swapping_phases_changes_the_result() -> None:
    graph = small()
    network = TensorNetwork(graph, 6).double()
    x = torch.randn(3, 6, dtype=torch.float64)
    swapped = moved(network, graph, None, order="I->O, S->O, M->O, S->S, I->I, M->M")
    assert relative_error(swapped(x), network(x)) > 1e-3


def test_swapping_two_synapses_that_do_not_commute_changes_the_result() -> None:
    """Which of two sensory neurons reaches I first does not matter; whether I or S reaches M first does."""
    graph = make_graph("SIM", [(0, 1), (0, 2), (1, 2)])
    first, second = "S->I, S->M, I->M", "S->I, I->M, S->M"
    network = TensorNetwork(graph, 4, order=first).double()
    x = torch.randn(3, 4, dtype=torch.float64)
    assert relative_error(moved(network, graph, None, order=second)(x), network(x)) > 1e-3


def test_bare_products_are_refused_and_explained() -> None:
    with pytest.raises(ValueError, match="overflow to NaN: set unit_norm=True, or fuse='normalized-mul'"):
        TensorNetwork(small(), 4, fuse="mul", unit_norm=False)


def test_bare_products_overflow_and_normalised_ones_do_not() -> None:
    graph, x = golden_graph(), 3 * torch.randn(4, 8)
    bare = TensorNetwork(graph, 8, fuse="mul", unit_norm=False, activation="linear", allow_overflow=True)
    assert not torch.isfinite(bare.motor_states(x)).all() or bare.motor_states(x).abs().max() > 1e12
    stable = TensorNetwork(graph, 8, fuse="normalized-mul", unit_norm=False, activation="linear")
    assert torch.isfinite(stable.motor_states(x)).all()
    assert 0.1 < stable.motor_states(x).square().mean().sqrt() < 10


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fuse": "plus"}, "fuse must be one of add, mul, normalized-mul"),
        ({"fuse": "normalized-mul"}, "unit_norm normalises the product already"),
        ({"activation": "gleu"}, "did you mean 'gelu'"),
        ({"activation": "rrelu"}, "activation must be one of .*got 'rrelu'; did you mean"),
        ({"readout": "average"}, "readout must be one of cross"),
        ({"units": "sparse"}, "units must be one of dense"),
        ({"units": "shared-by-class"}, "fill in connectome.classes"),
        ({"dim": 0}, "dim must be >= 1, got 0; use 8"),
        ({"kernel_size": 2}, "kernel_size must be odd"),
        ({"recurrence": "sum"}, "recurrence must be one of last"),
        ({"order": "S->I"}, "none of .* reached"),
    ],
)
def test_refused_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TensorNetwork(small(), **{"dim": 4, **options})


def test_refused_inputs() -> None:
    network = TensorNetwork(small(), 4)
    with pytest.raises(ValueError, match=r"x must be \[B, 4\] or \[B, T, 4\], got \[2, 5\]"):
        network(torch.randn(2, 5))
    with pytest.raises(ValueError, match="set kernel_size for feature maps"):
        network(torch.randn(2, 4, 3, 3))
    with pytest.raises(ValueError, match=r"\[B, 4, H, W\] \(kernel_size is set\)"):
        TensorNetwork(small(), 4, kernel_size=1)(torch.randn(2, 4))
    with pytest.raises(ValueError, match="recurrence='last'"):
        network.step(torch.randn(2, 4))
    with pytest.raises(ValueError, match=r"\[B, T, 4\] with T > 0"):
        TensorNetwork(small(), 4, recurrence="last")(torch.randn(2, 4))


@pytest.fixture
def _nothing_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer, "_reported", set())


@pytest.mark.usefixtures("_nothing_reported")
def test_silent_synapses_are_reported_once_per_graph(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        network = TensorNetwork(golden_graph(), 4)
        network(torch.randn(2, 4))
        TensorNetwork(golden_graph(), 8, recurrence="last")
        TensorNetwork(make_graph("SIM", [(0, 1), (1, 2)]), 4)
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 1
    assert "26 synapses never fire" in messages[0]
    assert "II 5, IM 3, IS 4, MI 3, MM 11" in messages[0]
    assert "silent=26" in repr(network)


@pytest.mark.usefixtures("_nothing_reported")
def test_the_report_is_seen_without_any_logging_set_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    TensorNetwork(golden_graph(), 4, recurrence="last")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("26 synapses never fire")
    logging.getLogger("elegans_gnn").setLevel("ERROR")
    layer._reported.clear()
    try:
        TensorNetwork(golden_graph(), 4)
    finally:
        logging.getLogger("elegans_gnn").setLevel(logging.NOTSET)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("readout", READOUTS)
@pytest.mark.parametrize("residual", [False, True])
def test_readouts_train(readout: str, residual: bool) -> None:
    network = TensorNetwork(small(), 5, readout=readout, residual=residual, num_heads=2, head_dim=3)
    x = torch.randn(1, 5, requires_grad=True)
    output = network(x)
    assert output.shape == (1, 5)
    output.square().sum().backward()
    unused = [name for name, p in network.named_parameters() if p.grad is None]
    assert unused == []


def test_attention_is_torchs() -> None:
    """The rearranged projections against torch's own multi-head attention."""
    network = TensorNetwork(small(), 6, num_heads=2, output_norm=False).double()
    ours = network.readout.attention
    theirs = torch.nn.MultiheadAttention(6, 2, batch_first=True).double()
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key.weight, ours.value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, torch.randn(6), ours.value.bias]))
        theirs.out_proj.load_state_dict(ours.output.state_dict())
    x = torch.randn(3, 6, dtype=torch.float64)
    states = network.motor_states(x)
    expected = theirs(x.unsqueeze(1), states, states)[0].squeeze(1)
    torch.testing.assert_close(network(x), expected, rtol=1e-12, atol=1e-12)
    expected = theirs(states, states, states)[0]
    torch.testing.assert_close(ours.between(states), expected, rtol=1e-12, atol=1e-12)


def test_units_without_effect_have_no_parameters() -> None:
    """Under the default order nothing that a sensory neuron computes reaches a motor neuron."""
    network = TensorNetwork(golden_graph(), 4)
    assert network.units.num_units == 150
    sensory = network.schedule.letters == "S"
    assert (network.units.row_of[sensory] == -1).all()


def test_saved_weights_go_back_to_their_neurons_only() -> None:
    network = TensorNetwork(small(), 4)
    other = TensorNetwork(small(), 4)
    other.load_state_dict(network.state_dict())
    x = torch.randn(2, 4)
    torch.testing.assert_close(other(x), network(x), rtol=0, atol=0)
    relabelled, _ = permuted(small())
    with pytest.raises(ValueError, match="units belong to the same neurons"):
        TensorNetwork(relabelled, 4).load_state_dict(network.state_dict())


def test_copies_are_independent() -> None:
    network = TensorNetwork(small(), 4)
    twin = copy.deepcopy(network)
    x = torch.randn(2, 4)
    before = network(x)
    with torch.no_grad():
        twin.units.weight.zero_()
    torch.testing.assert_close(network(x), before, rtol=0, atol=0)
    assert relative_error(twin(x), before) > 1e-3


def test_reset_parameters_draws_anew() -> None:
    network = TensorNetwork(small(), 4, edge_weights=True)
    before = {name: value.clone() for name, value in network.named_parameters()}
    network.reset_parameters()
    assert not torch.equal(before["units.weight"], network.units.weight)
    assert torch.equal(network.edge_weight, torch.ones_like(network.edge_weight))


@pytest.mark.parametrize("rows", [1, 2])
def test_isolated_neurons_and_sizes_of_one(rows: int) -> None:
    graph = make_graph("SMIM", [(0, 1)])
    x = torch.randn(rows, 1, requires_grad=True)
    network = TensorNetwork(graph, 1, num_heads=1)
    torch.testing.assert_close(network(x), reference_forward(network, x))
    assert network.outputs.tolist() == [1]


@pytest.mark.parametrize("compiler", ["aot_eager", pytest.param("inductor", marks=pytest.mark.hard)])
def test_compile_and_export(compiler: str) -> None:
    """In a process of its own: torch.compile cannot look through the wrappers that check shapes in these tests."""
    script = Path(__file__).with_name("compile_and_export.py")
    done = subprocess.run(
        [sys.executable, str(script), compiler], capture_output=True, text=True, cwd=script.parents[2], timeout=600
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["3", "networks"]


def test_half_precision_and_autocast() -> None:
    """Visits work in float32 whatever the units' precision is."""
    network = TensorNetwork(small(), 8)
    x = torch.randn(4, 8)
    expected = network(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert relative_error(network(x).float(), expected) < 0.05
    assert relative_error(network.bfloat16()(x.bfloat16()).float(), expected) < 0.1


def test_functional_gradients() -> None:
    network = TensorNetwork(small(), 4).double()
    x = torch.randn(2, 4, dtype=torch.float64, requires_grad=True)
    found = torch.func.grad(lambda value: network(value).square().sum())(x)
    expected = torch.autograd.grad(network(x).square().sum(), x)[0]
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_building_is_fast() -> None:
    graph = golden_graph()
    start = time.process_time()
    TensorNetwork(graph, 64)
    assert time.process_time() - start < 0.3


def test_native_program_is_the_one_tested() -> None:
    """On this machine the library must be there; elsewhere plain torch gives the same results."""
    assert resolve_backend(torch.ones(1), VISITS) == "native"
    assert resolve_backend(torch.ones(1, dtype=torch.bfloat16), VISITS) == "torch"


@pytest.mark.parametrize("activation", ["mish", "softsign", "hardswish"])
def test_activations_of_the_layers_work_by_name(activation: str) -> None:
    """Names without a fused gradient are the function of torch."""
    x = torch.randn(3, 8)
    outputs = []
    for given in (activation, getattr(torch.nn.functional, activation), "linear"):
        torch.manual_seed(0)
        outputs.append(TensorNetwork(small(), 8, activation=given)(x))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.allclose(outputs[0], outputs[2])
