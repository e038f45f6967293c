"""`ops.backend` chooses what runs the visits, or is refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from elegans_gnn import ops
from elegans_gnn.nn.tensor_network import TensorNetwork, reference
from elegans_gnn.ops import _backends
from elegans_gnn.ops.visits import native, torch_backend, visits
from tests.tensor_network.cases import golden_graph, gradients, relative_error

MODULES = {"native": native, "torch": torch_backend}


def small(**options: Any) -> TensorNetwork:
    torch.manual_seed(0)
    return TensorNetwork(golden_graph().subset(range(0, 279, 7)), 4, **options).double()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the backends in the order in which their passes ran."""
    seen: list[str] = []

    class Spy:
        def __init__(self, name: str) -> None:
            self.name = name

        def __getattr__(self, what: str) -> Any:
            seen.append(f"{self.name} {what}")
            return getattr(MODULES[self.name], what)

    monkeypatch.setattr(visits, "BACKENDS", {name: Spy(name) for name in MODULES})
    monkeypatch.setattr("elegans_gnn.ops.visits.stage.BACKENDS", visits.BACKENDS)
    return seen


@pytest.mark.parametrize("units", ["dense", "diagonal"])
@pytest.mark.parametrize("name", ["native", "torch"])
def test_the_block_decides_and_the_backward_pass_remembers(calls: list[str], name: str, units: str) -> None:
    network = small(units=units)
    x = torch.randn(2, 4, dtype=torch.float64)
    with ops.backend(name):
        output = network(x)
    output.sum().backward()
    assert set(calls) == {f"{name} forward", f"{name} backward"}


def test_without_a_block_native_runs_what_it_knows(calls: list[str]) -> None:
    small()(torch.randn(2, 4, dtype=torch.float64))
    small().bfloat16()(torch.randn(2, 4, dtype=torch.bfloat16))
    assert set(calls) == {"native forward", "torch forward"}


@pytest.mark.parametrize("options", [{}, {"units": "diagonal"}, {"kernel_size": 3}])
def test_reference_is_the_loop(calls: list[str], monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    network = small(**options)
    x = torch.randn(2, 4, *([3, 2] if "kernel_size" in options else []), dtype=torch.float64, requires_grad=True)
    fast = network(x)
    runs = []
    loop = reference.reference_states
    monkeypatch.setattr(reference, "reference_states", lambda *given: runs.append(0) or loop(*given))
    calls.clear()
    with ops.backend("reference"):
        slow = network(x)
        assert relative_error(network.motor_states(x).sum(), slow.new_zeros(()), floor=1.0) > 1e-3
    assert len(runs) == 2
    assert calls == []
    assert relative_error(fast, slow) < 1e-12
    found = gradients(fast, network, x)
    for name, value in gradients(slow, network, x).items():
        assert relative_error(found[name], value, floor=0.1) < 1e-10, name


def test_reference_carries_states() -> None:
    network = small(recurrence="concat")
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    with ops.backend("reference"):
        slow = network(x)
    assert relative_error(network(x), slow) < 1e-12


def test_other_backends_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    network, x = small(), torch.randn(2, 4, dtype=torch.float64)
    token = _backends._requested.set("triton")
    try:
        with pytest.raises(ValueError, match=r"'reference', 'torch' or 'native' for a tensor network, got 'triton'"):
            network(x)
    finally:
        _backends._requested.reset(token)
    with ops.backend("native"), pytest.raises(ValueError, match="float32 or float64 on the CPU.*bfloat16 on cpu"):
        network.bfloat16()(x.bfloat16())
