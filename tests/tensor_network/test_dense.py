"""The dense stages as one operator: the same as the plain composition, and what they promise to torch."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from elegans_gnn.nn.tensor_network import TensorNetwork
from elegans_gnn.ops import visits
from elegans_gnn.ops.visits import contract
from tests.tensor_network.cases import gradients, relative_error, small

CASES: dict[str, dict[str, Any]] = {
    "sums": {"unit_norm": False},
    "norm": {},
    "norm, weights": {"edge_weights": True},
    "norm, units without it": {"reapply": ("IM", "SI", "IS")},
    "product": {"fuse": "mul", "activation": "tanh"},
    "recompute": {"recompute": True, "reapply": ("IM",)},
}


def network(options: dict[str, Any], dim: int = 6) -> TensorNetwork:
    torch.manual_seed(0)
    return TensorNetwork(small(), dim, **options)


def recorded(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> contract.NetworkCall:
    """The call that a network makes."""
    calls: list[contract.NetworkCall] = []
    run = visits.run_dense_stages
    monkeypatch.setattr(
        "elegans_gnn.nn.tensor_network.runner.run_dense_stages", lambda call: (calls.append(call), run(call))[1]
    )
    network(options).motor_states(torch.randn(3, 6))
    return calls[0]


def values(net: TensorNetwork, x: Tensor) -> dict[str, Tensor]:
    output = net.motor_states(x)
    return {"output": output, **gradients(output, net, x)}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("recurrence", [None, "last"])
def test_the_plain_composition_gives_the_same(name: str, recurrence: str | None, backend: str) -> None:
    """Autograd through products, layer norm, activation and visits is what the operator stands for."""
    net = network({**CASES[name], "recurrence": recurrence}).double()
    x = torch.randn(5, 6, dtype=torch.float64, requires_grad=True)
    found = values(net, x)
    for runner in net._runners:
        runner._activation = None
    for part, value in values(net, x).items():
        assert relative_error(found[part], value, floor=0.1) < 1e-12, part


@pytest.mark.parametrize("name", CASES)
def test_a_second_backward_pass_gives_the_same(name: str) -> None:
    """What is kept for it is not overwritten."""
    net, x = network(CASES[name]), torch.randn(5, 6, requires_grad=True)
    output = net.motor_states(x).square().sum()
    wanted = [x, net.units.weight, net.units.bias]
    first, second = (torch.autograd.grad(output, wanted, retain_graph=True) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("options", [{}, {"unit_norm": False}])
def test_gradients_in_half_precision(options: dict[str, Any]) -> None:
    x, cotangent = torch.randn(5, 6), torch.randn(5, 1, 6)
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        net, mine = network(options).to(dtype), x.to(dtype).requires_grad_()
        total = (net.motor_states(mine) * cotangent.to(dtype)).float().sum()
        found.append(torch.autograd.grad(total, (mine, net.units.weight, net.units.bias)))
    for exact, rounded in zip(*found, strict=True):
        assert relative_error(rounded.float(), exact) < 0.1


@pytest.mark.parametrize("name", CASES)
def test_opcheck(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    call = recorded(CASES[name], monkeypatch)
    arguments = tuple(part.detach() if isinstance(part, Tensor) else part for part in call.flat())
    torch.library.opcheck(contract.network_forward, arguments)
    final, kept = contract.network_forward(*arguments)
    torch.library.opcheck(contract.network_backward, (torch.ones_like(final), kept, *arguments))


def test_opcheck_of_the_visits(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network(CASES["norm, weights"])
    stage, program = net._first_runner.plan.stages[0], net._first_runner._programs[0]
    sources = [torch.randn(3, count, 6) for count in (1, 0, len(stage.neurons))]
    weight = torch.rand(small().num_edges)
    settings = (*program, list(stage.exports), "add", "layer", 1e-5, "native")
    torch.library.opcheck(contract.visits_forward, (sources, weight, *settings))
    grads = [torch.randn(3, count, 6) for count in stage.exports]
    arguments = (grads, sources, weight, [1, 0, len(stage.neurons)], [True, False, True], True, *settings)
    torch.library.opcheck(contract.visits_backward, arguments)


@pytest.mark.parametrize("recompute", [False, True])
def test_the_operators_count_two_products_back_and_three_with_recomputation(
    recompute: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = recorded({"recompute": recompute}, monkeypatch)
    arguments = tuple(part.detach() if isinstance(part, Tensor) else part for part in call.flat())
    final, kept = contract.network_forward(*arguments)
    applied = sum(size.units for size in visits.program.stage_sizes(call.settings.layout))
    product = 2 * 3 * 6**2 * applied
    with FlopCounterMode(display=False) as counter:
        contract.network_forward(*arguments)
    assert counter.get_total_flops() == product
    with FlopCounterMode(display=False) as counter:
        contract.network_backward(torch.ones_like(final), kept, *arguments)
    assert counter.get_total_flops() == product * (3 if recompute else 2)
