"""The published code's results, from the published code itself."""

from __future__ import annotations

import pytest
import torch

from elegans_gnn.nn.tensor_network import reference_forward, reference_states
from tests.tensor_network.cases import GOLDEN_NAMES, golden_network, relative_error


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_reference_loop(name: str) -> None:
    network, arrays = golden_network(name)
    x = torch.from_numpy(arrays["x"])
    run = reference_states(network, x)
    states = torch.stack([run.states[v] for v in arrays["motors"].tolist()], 1)
    assert relative_error(states, torch.from_numpy(arrays["motor_states"])) < 1e-12
    assert relative_error(reference_forward(network, x), torch.from_numpy(arrays["output"])) < 1e-12
    assert sum(run.silent.values()) == int(arrays["ignored_edges"])


@pytest.mark.parametrize("name", GOLDEN_NAMES)
def test_stages(name: str, backend: str) -> None:
    network, arrays = golden_network(name)
    x = torch.from_numpy(arrays["x"])
    assert sorted(network.outputs.tolist()) == arrays["motors"].tolist()
    states = network.motor_states(x)[:, network.outputs.argsort()]
    assert relative_error(states, torch.from_numpy(arrays["motor_states"])) < 1e-12
    assert relative_error(network(x), torch.from_numpy(arrays["output"])) < 1e-12
    assert network.schedule.num_silent == int(arrays["ignored_edges"])


def test_a_wrong_weight_is_noticed() -> None:
    """The tolerance sees one unit's bias move by 1e-6, though dozens of later arrivals cover it."""
    network, arrays = golden_network("add_unitnorm")
    with torch.no_grad():
        network.units.bias[0, 0] += 1e-6
    states = network.motor_states(torch.from_numpy(arrays["x"]))[:, network.outputs.argsort()]
    assert relative_error(states, torch.from_numpy(arrays["motor_states"])) > 1e-12
