"""What a forward pass keeps for the backward one, and where the gradients go."""

from __future__ import annotations

import numpy as np
import torch

from elegans_gnn.nn.tensor_network import TensorNetwork
from tests.tensor_network.cases import golden_graph, make_graph


def saved_numbers(network: TensorNetwork, x: torch.Tensor) -> int:
    """Numbers that the graph of one forward pass keeps, parameters and input aside."""
    kept: dict[int, int] = {}
    own = {p.untyped_storage().data_ptr() for p in (*network.parameters(), x)}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.is_floating_point() and tensor.untyped_storage().data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes() // tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        states = network.motor_states(x)
    states.sum().backward()
    return sum(kept.values())


def test_memory_of_sums_does_not_grow_with_synapses() -> None:
    """Same neurons and first arrivals, many more fused arrivals: the graph keeps the same numbers."""
    rng = np.random.default_rng(0)
    chain = [(0, v) for v in range(1, 40)]
    pairs = [(int(a), int(b)) for a, b in rng.integers(1, 40, (1500, 2)) if a < b]
    few, many = sorted({*chain, *pairs[:150]}), sorted({*chain, *pairs})
    letters = "S" + "I" * 19 + "M" * 20
    x = torch.randn(6, 8)
    sizes, visits = [], []
    for edges in (few, many):
        network = TensorNetwork(make_graph(letters, edges), 8, unit_norm=False, order="S->O, I->I, I->M, M->M")
        sizes.append(saved_numbers(network, x))
        visits.append(network.schedule.num_visits)
    assert visits[1] > 2.5 * visits[0]
    assert sizes[0] == sizes[1] <= 40 * x.numel()


def test_recomputation_keeps_only_what_passes_between_stages() -> None:
    x = torch.randn(6, 8)
    sizes = {}
    for recompute in (False, True):
        network = TensorNetwork(golden_graph(), 8, recompute=recompute)
        sizes[recompute] = saved_numbers(network, x)
        between = sum(sum(stage.exports[:2]) for stage in network._first_runner.plan.stages)
    assert sizes[True] <= between * x.numel() < sizes[False]
    assert sizes[False] < 279 * 2 * x.numel(), "2,967 visits leave less than two states per neuron"


def test_the_next_step_finds_the_memory_of_the_last_one() -> None:
    """Fresh pages for the 2.5 MB of gradients would cost as much as the arithmetic."""
    network, places = TensorNetwork(golden_graph(), 64), set()
    for _ in range(3):
        network.zero_grad()
        network(torch.randn(2, 64)).sum().backward()
        places.add(network.units.weight.grad.data_ptr())
    assert len(places) == 1
