"""Counts of operations and parameters, against counts by hand."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from elegans_gnn import ElegansAutoencoder
from elegans_gnn.models import build_core, count_flops, parameters
from elegans_gnn.models.baselines.attention import TransformerBlock

ROOT = Path(__file__).parents[2]


def test_a_linear_layer():
    layer = nn.Linear(3, 5)
    assert count_flops(layer, 2, 3) == 2 * 2 * 3 * 5
    # The input has no gradient: one more product, for the weight.
    assert count_flops(layer, 2, 3, backward=True) == 2 * (2 * 2 * 3 * 5)
    assert parameters(layer) == 20


def test_a_grouped_convolution_forward_and_backward():
    layers = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 8, 3, padding=1, groups=4, bias=False))
    first, second = 2 * 25 * 3 * 4, 2 * 25 * 8 * 1 * 9
    assert count_flops(layers, 1, 3, 5, 5) == first + second
    assert count_flops(layers, 1, 3, 5, 5, backward=True) == 2 * first + 3 * second


@pytest.mark.parametrize("backward", [False, True])
def test_message_passing_is_two_operations_an_edge_and_feature(tiny, backward):
    core = build_core(tiny, 1, steps=3)
    batch, features, neurons, edges = 5, 16, tiny.num_neurons, tiny.num_edges
    aggregate, unit = 2 * batch * features * edges, 2 * batch * neurons * features**2
    wanted = 3 * (aggregate + unit)
    if backward:
        # Both gradients of each step; the first state is the input, which needs none.
        wanted += (2 * 3 - 1) * aggregate + 2 * 3 * unit
    assert count_flops(core, batch, core.num_inputs, features, backward=backward) == wanted


@pytest.mark.parametrize("name", ["message-passing", "tensor-network"])
def test_torchs_own_counter_knows_our_operators(tiny, name):
    options = {"readout": "mean", "unit_norm": False} if name == "tensor-network" else {"steps": 3}
    core = build_core(tiny, 1, name, **options)
    signal = torch.zeros(2, core.num_inputs, core.features_in)
    with FlopCounterMode(display=False) as counter:
        core(signal).sum().backward()
    assert counter.get_total_flops() == count_flops(core, *signal.shape, backward=True)


ALONE = """
import torch
from torch.utils.flop_counter import FlopCounterMode
from elegans_gnn import ConnectomeConv, TensorNetwork, load_connectome
worm = load_connectome("varshney2011")
for layer, shape in ((ConnectomeConv(worm, 1, 1), (2, 279, 1)), (TensorNetwork(worm, 4, readout="mean"), (2, 4))):
    with FlopCounterMode(display=False) as counter:
        layer(torch.zeros(shape))
    print(counter.get_total_flops())
"""


def test_the_layers_alone_bring_their_formulas():
    done = subprocess.run([sys.executable, "-c", ALONE], cwd=ROOT, capture_output=True, text=True, check=True)
    convolution, network = map(int, done.stdout.split())
    # Two samples: an addition and a multiplication for each synapse and in each neuron's own unit of 1 x 1.
    assert convolution == 2 * 2 * (3225 + 279)
    assert network > 2 * 2 * 4**2 * 100


def test_a_weight_per_channel_costs_the_same_product(tiny):
    shared, own = build_core(tiny, 1, steps=4), build_core(tiny, 1, steps=4, edge_channels=True)
    assert count_flops(shared, 2, 2, 16) == count_flops(own, 2, 2, 16)


@pytest.mark.parametrize("recompute", [False, True])
def test_tensor_network_counts_its_units(tiny, recompute):
    core = build_core(tiny, 1, "tensor-network", readout="mean", unit_norm=False, recompute=recompute)
    batch, features = 3, 16
    applied = sum(len(stage.neurons) for stage in core._first_runner.plan.stages)
    assert applied >= 4
    product = 2 * batch * features**2 * applied
    assert count_flops(core, batch, 1, features) == product
    assert count_flops(core, batch, 1, features, backward=True) == product * (4 if recompute else 3)


def test_attention_counts_scores_and_values():
    block = TransformerBlock(32)
    tokens, width = 5, 32
    linear = 2 * tokens * (3 * width**2 + width**2 + 8 * width**2)
    assert count_flops(block, 1, tokens, width) == linear + 2 * (2 * tokens**2 * width)


def test_counting_leaves_the_model_as_it_was(worm):
    model = ElegansAutoencoder(worm, encoder_width=4, decoder_width=4).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    once, twice = (count_flops(model, batch, 1, 28, 28) for batch in (1, 2))
    assert twice == 2 * once
    count_flops(model, 1, 1, 28, 28, backward=True)
    assert model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_parameters_that_train(worm):
    core = build_core(worm, 1, "frozen")
    assert parameters(core, trainable=True) == 0
    # Synapses (a gap junction's two directions share one), a unit, biases, what each neuron keeps.
    assert parameters(core) == 2711 + 16**2 + 279 * 16 + 279
