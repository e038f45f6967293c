"""Outputs and every gradient of the fast execution against autograd through the loop over synapses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from elegans_gnn.connectome import Connectome
from elegans_gnn.nn.tensor_network import TensorNetwork, reference_forward, reference_states
from elegans_gnn.nn.tensor_network.readout import READOUTS
from elegans_gnn.ops.visits import ACTIVATIONS, run_program, stage
from tests.tensor_network.cases import golden_graph, gradients, graphs, orders, relation_sets, relative_error

FUSES = [("add", True), ("add", False), ("mul", True), ("mul", False), ("normalized-mul", False)]


def options() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "fuse_norm": st.sampled_from(FUSES),
            "activation": st.sampled_from([*ACTIVATIONS, torch.atan]),
            "order": orders(),
            "reapply": relation_sets(),
            "ignored_relations": relation_sets(without=("SM",)),
            "units": st.sampled_from(["dense", "diagonal", "shared-by-role", "shared-by-class"]),
            "edge_weights": st.booleans(),
            "recompute": st.booleans(),
            "readout": st.sampled_from(READOUTS),
        }
    )


def build(graph: Connectome, chosen: dict[str, Any], dim: int, **more: Any) -> TensorNetwork:
    fuse, unit_norm = chosen["fuse_norm"]
    rest = {key: value for key, value in chosen.items() if key != "fuse_norm"}
    torch.manual_seed(0)
    network = TensorNetwork(graph, dim, fuse=fuse, unit_norm=unit_norm, allow_overflow=True, **rest, **more).double()
    if network.edge_weight is not None:
        torch.nn.init.uniform_(network.edge_weight, 0.5, 1.5)
    return network


def check(network: TensorNetwork, x: torch.Tensor) -> None:
    expected = reference_forward(network, x)
    found = network(x)
    assert found.shape == x.shape
    if not torch.isfinite(expected).all():
        return  # unnormalised products may overflow; then there is nothing to compare
    assert relative_error(found, expected, floor=0.1) < 1e-10
    wanted, got = gradients(expected, network, x), gradients(found, network, x)
    for name, value in wanted.items():
        # The norm of one or two features amplifies rounding by 1/sqrt(eps): gradients that are zero come out as 1e-14.
        assert relative_error(got[name], value, floor=0.1) < 1e-10, name


SETTLED = {
    "fuse_norm": ("add", True),
    "activation": "gelu",
    "order": "S->O, I->O, M->M",
    "reapply": ("IM",),
    "ignored_relations": (),
    "units": "dense",
    "edge_weights": True,
    "recompute": False,
    "readout": "cross",
}
RELAXED = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]}


def any_network(graph: Connectome, chosen: dict[str, Any], dim: int, rows: int) -> None:
    network = build(graph, chosen, dim)
    x = torch.randn(rows, dim, dtype=torch.float64, requires_grad=True)
    check(network, x)


@settings(max_examples=20, **RELAXED)
@given(graph=graphs(), chosen=options(), dim=st.sampled_from([2, 3, 8]), rows=st.integers(1, 3))
def test_any_graph_and_options(backend: str, graph: Connectome, chosen: dict[str, Any], dim: int, rows: int) -> None:
    any_network(graph, chosen, dim, rows)


@pytest.mark.hard
@settings(max_examples=500, **RELAXED)
@given(graph=graphs(most=16), chosen=options(), dim=st.integers(1, 20), rows=st.integers(1, 9))
def test_many_graphs_and_options(backend: str, graph: Connectome, chosen: dict[str, Any], dim: int, rows: int) -> None:
    any_network(graph, chosen, dim, rows)


@pytest.mark.parametrize("units", ["dense", "diagonal", "shared-by-role", "shared-by-class"])
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_maps(backend: str, units: str, kernel_size: int) -> None:
    """Odd, unequal height and width: a transposed axis would show."""
    graph = golden_graph().subset(range(0, 279, 9))
    graph = Connectome.from_dict({**graph.to_dict(), "classes": [name[:2] for name in graph.names.tolist()]})
    network = build(graph, {**SETTLED, "units": units}, 3, kernel_size=kernel_size)
    check(network, torch.randn(2, 3, 5, 4, dtype=torch.float64, requires_grad=True))


@pytest.mark.parametrize("fuse_norm", FUSES[:3])
def test_tokens(backend: str, fuse_norm: tuple[str, bool]) -> None:
    network = build(golden_graph(), {**SETTLED, "fuse_norm": fuse_norm}, 4)
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    if fuse_norm == ("add", False):  # relative to sums over hundreds of thousands of paths
        network.readout.norm = torch.nn.Identity()
    check(network, x)


@pytest.mark.parametrize("merge", ["last", "mean", "max", "concat"])
@pytest.mark.parametrize("units", ["dense", "shared-by-role"])
def test_sequences(backend: str, merge: str, units: str) -> None:
    """The states after one item are where the next one starts."""
    network = build(golden_graph().subset(range(0, 279, 7)), {**SETTLED, "units": units}, 4, recurrence=merge)
    x = torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True)
    carried, outputs = None, []
    for item in x.unbind(1):
        carried = reference_states(network, item, carried).states
        motors = torch.stack([carried[v] for v in network.outputs.tolist()], 1)
        outputs.append(network.readout(item, motors))
    stacked = torch.stack(outputs, 1)
    expected = {
        "last": stacked[:, -1],
        "mean": stacked.mean(1),
        "max": stacked.amax(1),
        "concat": stacked.flatten(1),
    }[merge]
    found = network(x)
    assert relative_error(found, expected) < 1e-10
    wanted, got = gradients(expected, network, x), gradients(found, network, x)
    for name, value in wanted.items():
        assert relative_error(got[name], value, floor=0.1) < 1e-10, name


def test_a_sequence_may_be_fed_in_parts(backend: str) -> None:
    network = build(golden_graph(), SETTLED, 4, recurrence="concat")
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    state, outputs = None, []
    for item in x.unbind(1):
        output, state = network.step(item, state)
        outputs.append(output)
    torch.testing.assert_close(torch.cat(outputs, 1), network(x), rtol=0, atol=0)
    alone, _ = network.step(x[:, 2])
    assert relative_error(alone, outputs[2]) > 1e-3, "memory must matter"


def test_gradcheck(backend: str) -> None:
    """Against finite differences, which share no code with either path."""
    network = build(golden_graph().subset(range(0, 279, 6)), SETTLED, 3)
    x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(network, (x,))


@pytest.mark.parametrize("fuse_norm", FUSES[:3])
def test_native_visits_do_not_depend_on_threads(fuse_norm: tuple[str, bool]) -> None:
    """To the last bit, the sum over samples in the gradient of the edge weights included."""
    network = build(golden_graph(), {**SETTLED, "fuse_norm": fuse_norm, "reapply": ()}, 8).float()
    runner = network._first_runner
    stage, program = runner.plan.stages[0], runner._programs[0]
    sources = [torch.randn(37, count, 8, requires_grad=True) for count in (1, 0, len(stage.neurons))]
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            exports = run_program(sources, network.edge_weight, *program, stage.exports, network.arithmetic, "native")
            wanted = [sources[0], sources[2], network.edge_weight]
            grads = torch.autograd.grad(exports, wanted, [torch.ones_like(part) for part in exports])
            results.append([*exports, *grads])
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            torch.testing.assert_close(one, two, rtol=0, atol=0)


@pytest.mark.parametrize("fuse_norm", FUSES[:2])
def test_samples_in_blocks(backend: str, fuse_norm: tuple[str, bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of one sample, and the last block shorter than the others."""
    network = build(golden_graph().subset(range(0, 279, 7)), {**SETTLED, "fuse_norm": fuse_norm}, 3)
    network.readout.norm = torch.nn.Identity()
    for numbers in (1, 120):
        monkeypatch.setattr(stage, "BLOCK", numbers)
        check(network, torch.randn(7, 3, dtype=torch.float64, requires_grad=True))
