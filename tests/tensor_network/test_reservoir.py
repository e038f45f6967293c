"""The frozen network: what trains, what is kept, the spectral radius of its units."""

from __future__ import annotations

import pytest
import torch

from elegans_gnn.nn.tensor_network import Reservoir, TensorNetwork
from tests.tensor_network.cases import small


def test_only_the_readout_trains() -> None:
    network = Reservoir(small(), 4, edge_weights=True)
    trainable = {name.split(".")[0] for name, p in network.named_parameters() if p.requires_grad}
    assert trainable == {"readout"}
    x = torch.randn(3, 4, requires_grad=True)
    assert not network.motor_states(x).requires_grad
    network(x).square().sum().backward()
    assert network.units.weight.grad is None
    assert network.readout.attention.query.weight.grad.abs().sum() > 0


def test_no_gradient_memory_for_the_core() -> None:
    network, x = Reservoir(small(), 4), torch.randn(3, 4)
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        network.motor_states(x)
    assert kept == []


@pytest.mark.parametrize("units", ["dense", "diagonal", "shared-by-role"])
def test_spectral_radius(units: str) -> None:
    network = Reservoir(small(), 5, spectral_radius=0.7, units=units)
    for _ in range(2):
        for weight in network.units.weight:
            matrix = torch.diag(weight) if units == "diagonal" else weight
            assert torch.linalg.eigvals(matrix).abs().max().item() == pytest.approx(0.7, rel=1e-4)
        network.reset_parameters()


def test_same_outputs_as_the_network_it_freezes() -> None:
    network, frozen = TensorNetwork(small(), 4), Reservoir(small(), 4)
    frozen.load_state_dict(network.state_dict())
    x = torch.randn(3, 4)
    torch.testing.assert_close(frozen(x), network(x), rtol=0, atol=0)


def test_refused_radius() -> None:
    with pytest.raises(ValueError, match="spectral_radius must be positive"):
        Reservoir(small(), 4, spectral_radius=-1.0)
    with pytest.raises(ValueError, match="spectral_radius must be None with kernel_size"):
        Reservoir(small(), 4, spectral_radius=0.9, kernel_size=3)
