"""The learnable synapse strengths of ConnectomeConv: tied, signed, scaled, lesioned, and bound to their graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch_geometric.data import Data

from elegans_gnn import Connectome, ConnectomeConv, RecurrentCore, random_connectome
from elegans_gnn.nn import tie_gap_junctions, transmitter_signs


def test_gap_junctions_share_one_parameter(worm):
    owner = tie_gap_junctions(worm)
    assert len(np.unique(owner)) == 2194 + 514 + 3 == 2711
    conv = ConnectomeConv(worm, 1, 1)
    assert conv.weights.theta.shape == (2711,)
    weight = conv.edge_weight().detach().numpy()
    gap = np.flatnonzero(worm.kinds == "gap")
    by_pair = {(worm.pre[e], worm.post[e]): weight[e] for e in gap}
    assert all(by_pair[v, u] == value for (u, v), value in by_pair.items())
    chemical = {(worm.pre[e], worm.post[e]): weight[e] for e in np.flatnonzero(worm.kinds == "chemical")}
    assert all(chemical[pair] != value for pair, value in by_pair.items() if pair in chemical)


def test_tied_gradient_is_the_sum_over_both_directions(small):
    conv = ConnectomeConv(small, 2, 2)
    per_edge = torch.arange(1.0, small.num_edges + 1)
    (conv.edge_weight() * per_edge).sum().backward()
    expected = torch.zeros(6).index_add(0, conv.weights.edge_to_param, per_edge)
    torch.testing.assert_close(conv.weights.theta.grad, expected)


def test_signs_follow_the_transmitter_and_survive_training(worm):
    sign = transmitter_signs(worm)
    gaba = worm.index("DD1")[0]
    assert (sign[(worm.pre == gaba) & (worm.kinds == "chemical")] == -1).all()
    assert (sign[worm.kinds == "gap"] == 1).all()
    conv = ConnectomeConv(worm, 2, 2, signs="transmitter")
    optimizer = torch.optim.SGD(conv.parameters(), lr=0.3)
    x = torch.randn(4, 279, 2)
    for _ in range(3):
        optimizer.zero_grad()
        conv(x).square().mean().neg().backward()
        optimizer.step()
    weight = conv.edge_weight().detach().numpy()
    assert (weight[sign == 1] > 0).all()
    assert (weight[sign == -1] < 0).all()
    free = weight[sign == 0]
    assert (free > 0).any()
    assert (free < 0).any()


@pytest.mark.parametrize("init", ["fan-in", "counts"])
@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_initial_weights_keep_the_variance(worm, init, reduce):
    torch.manual_seed(0)
    x = torch.randn(64, 279, 64)
    untied = worm.merged()
    wired = torch.from_numpy(np.bincount(untied.post, minlength=279) > 0)
    y = ConnectomeConv(untied, 64, 64, init=init, reduce=reduce, bias=None)(x)[:, wired]
    # 2,993 random weights: their sum of squares, one per target, scatters by about 279^-1/2 = 6 %.
    assert y.square().mean().item() == pytest.approx(1.0, abs=0.12)
    # A tied weight takes the mean scale of its two ends, too much for one and too little for the other.
    tied = ConnectomeConv(worm, 64, 64, init=init, reduce=reduce, bias=None)(x)
    assert 0.7 < tied.square().mean().item() < 1.4


def test_counts_set_the_initial_strength(small):
    size = ConnectomeConv(small, 1, 1, init="counts").edge_weight().abs().detach()
    chemical = (small.pre == 1) & (small.kinds == "chemical")
    # C receives 4 synapses and 2 gap junctions from B: 4 / sqrt(16 + 4).
    assert size[torch.from_numpy(chemical)].item() == pytest.approx(4 / 20**0.5)


def test_lesions_silence_neurons_and_edges_until_healed(small):
    conv = ConnectomeConv(small, 3, 3)
    torch.nn.init.ones_(conv.bias)
    x = torch.randn(2, 5, 3)
    whole = conv(x)
    conv.lesion(neurons=["B"])
    lesioned = conv(x)
    assert lesioned[:, 1].abs().max() == 0
    other = x.clone()
    other[:, 1] += 5
    torch.testing.assert_close(conv(other), lesioned)  # nothing leaves B
    assert not torch.allclose(lesioned[:, 2], whole[:, 2])
    conv.heal()
    torch.testing.assert_close(conv(x), whole)
    conv.lesion(edges=range(small.num_edges))
    assert conv.edge_weight().abs().max() == 0
    torch.testing.assert_close(conv(x), torch.ones(2, 5, 3))


def test_lesions_are_not_saved(small):
    conv = ConnectomeConv(small, 3, 3)
    conv.lesion(neurons=["B"], edges=[0])
    assert set(conv.state_dict()) == set(ConnectomeConv(small, 3, 3).state_dict())


def test_weights_of_another_graph_are_refused_and_change_nothing(worm):
    """The tables that say which edge has which weight are the graph's own and never loaded."""
    null = random_connectome("degree-preserving", like=worm, seed=0)
    conv, other = ConnectomeConv(worm, 2, 2), ConnectomeConv(null, 2, 2)
    before = other.edge_weight().detach().clone()
    with pytest.raises(RuntimeError, match="weights.wiring: these weights belong to another graph"):
        other.load_state_dict(conv.state_dict())
    assert torch.equal(other.edge_weight(), before)
    again = ConnectomeConv(worm, 2, 2)
    again.load_state_dict(conv.state_dict())
    assert torch.equal(again.edge_weight(), conv.edge_weight())


def test_lesions_take_masks_and_act_on_given_weights_too(small, unchecked_shapes):
    conv = ConnectomeConv(small, 3, 3, bias=None)
    mask = torch.zeros(small.num_edges, dtype=torch.bool)
    mask[[2, 5]] = True
    conv.lesion(edges=mask)
    assert (conv.edge_weight() == 0).nonzero()[:, 0].tolist() == [2, 5]
    conv.lesion(edges=range(small.num_edges))
    assert conv(torch.randn(1, 5, 3), edge_weight=torch.ones(small.num_edges)).abs().max() == 0
    for wrong in ([0.5], torch.ones(3, dtype=torch.bool), torch.ones(2, 2, dtype=torch.int64)):
        with pytest.raises(ValueError, match=r"edges must be edge numbers in 0..6 or a mask \[7\]"):
            conv.lesion(edges=wrong)


def weighted(small, **columns) -> Connectome:
    return replace(small, weights=np.array([0.5, -1.5, 2.0, 2.0, -0.25, 3.0, 3.0, 0.0][: small.num_edges]), **columns)


def test_own_weights_are_the_initial_ones(small):
    graph = weighted(small)
    expected = torch.tensor(graph.weights, dtype=torch.float32)
    assert torch.equal(ConnectomeConv(graph, 2, 2, init="weights").edge_weight(), expected)
    scaled = ConnectomeConv(graph, 2, 2, init="weights", gain=3.0, reduce="mean", edge_channels=True)
    torch.testing.assert_close(scaled.edge_weight(), 3 * expected[:, None].expand(-1, 2))
    signed = ConnectomeConv(graph, 2, 2, init="weights", signs=np.sign(graph.weights).astype(int))
    torch.testing.assert_close(signed.edge_weight(), expected)
    core = RecurrentCore(graph, 2, init="weights", steps=4, outputs=["D"])
    share = core.conv.edge_weight() / expected
    torch.testing.assert_close(share, share[:1].expand(len(share)))  # calibration is one factor for all


def test_weights_and_signs_that_the_graph_does_not_have_are_refused(small):
    with pytest.raises(
        ValueError, match=r"init must be fan-in or counts on a graph without weights, .*give the connec"
    ):
        ConnectomeConv(small, 2, 2, init="weights")
    with pytest.raises(
        ValueError, match="signs must be those of connectome.weights, got . weights of the opposite sign"
    ):
        ConnectomeConv(weighted(small), 2, 2, init="weights", signs=np.ones(small.num_edges, dtype=int))
    bare = replace(small, transmitters=np.full(5, ""))
    with pytest.raises(ValueError, match="signs must be None or an array on a graph without transmitters"):
        ConnectomeConv(bare, 2, 2, signs="transmitter")


@pytest.mark.parametrize("build", [torch.tensor, lambda edges: Data(edge_index=torch.tensor(edges))])
def test_a_layer_needs_a_connectome(small, build):
    message = r"connectome must be a Connectome, got a (Tensor|Data); build one: Connectome.from_edges\("
    with pytest.raises(ValueError, match=message):
        ConnectomeConv(build(small.edge_index), 2, 2)
