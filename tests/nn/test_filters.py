"""ConnectomeConv with filters: of synapses, of neurons, of roles, of all; PyG's ways to watch it; what it refuses."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional as F
from torch_geometric.explain import Explainer, GNNExplainer

from elegans_gnn import ConnectomeConv, RecurrentCore
from elegans_gnn.nn import EdgeWeights

FILTERS = ["synapse", "neuron", "role", "shared"]


def layer(graph, filters, *channels, **options) -> ConnectomeConv:
    torch.manual_seed(0)
    made = ConnectomeConv(graph, *(channels or (3, 2)), kernel_size=3, filters=filters, **options)
    if made.bias is not None:
        torch.nn.init.normal_(made.bias)
    return made.double()


def maps(*shape: int) -> torch.Tensor:
    return torch.randn(*(shape or (2, 5, 3, 6, 5)), dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def by_hand(conv: ConnectomeConv, x: torch.Tensor) -> torch.Tensor:
    """The formula, one edge, then one neuron at a time, with torch's own convolution."""
    graph, channels, weight = conv.connectome, x.shape[2], conv.edge_weight()
    arrived = torch.zeros_like(x)
    for edge, (u, v, kind) in enumerate(zip(graph.pre, graph.post, graph.kinds, strict=True)):
        signal = x[:, u] - x[:, v] if conv.gap == "diffusive" and kind == "gap" else x[:, u]
        if conv.filters == "synapse":
            kernel = weight[edge].expand(channels, 3, 3)[:, None]
            message = F.conv2d(signal, kernel, padding=1, groups=channels)
        else:
            message = weight[edge].reshape(-1, 1, 1) * signal
        arrived[:, v] = arrived[:, v] + message
    if conv.reduce == "mean":
        arrived = arrived / conv.adjacency.in_degree.clamp_min(1)[:, None, None, None]
    out = []
    for v in range(graph.num_neurons):
        h = arrived[:, v]
        if conv.bank is not None:
            h = F.conv2d(h, conv.bank.weight[conv.bank.group[v]][:, None], padding=1, groups=channels)
        out.append(F.conv2d(h, conv.unit.weight[conv.unit.group[v]]) + conv.bias[v][:, None, None])
    return torch.stack(out, 1)


@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("gap", ["coupled", "diffusive"])
@pytest.mark.parametrize("reduce", ["sum", "mean"])
@pytest.mark.parametrize("edge_channels", [False, True])
@pytest.mark.parametrize("unit", ["shared", "neuron"])
def test_matches_the_formula_edge_by_edge(small, filters, gap, reduce, edge_channels, unit):
    conv = layer(small, filters, gap=gap, reduce=reduce, edge_channels=edge_channels, unit=unit)
    torch.testing.assert_close(conv(maps()), by_hand(conv, maps()))


@pytest.mark.parametrize("filters", FILTERS)
def test_who_owns_how_many_filters(small, filters):
    conv = layer(small, filters, edge_channels=True)
    assert conv.unit.weight.shape[-2:] == (1, 1)
    if filters == "synapse":
        assert conv.weights.theta.shape == (6, 3, 3, 3)
        assert conv.edge_weight().shape == (7, 3, 3, 3)
        return
    assert conv.weights.theta.shape == (6, 3)
    assert conv.bank.weight.shape == ({"neuron": 5, "role": 3, "shared": 1}[filters], 3, 3, 3)


def test_both_directions_of_a_gap_junction_share_one_filter(small):
    weight = layer(small, "synapse").edge_weight()
    there, back = [
        edge for edge, kind in enumerate(small.kinds) if kind == "gap" and small.pre[edge] != small.post[edge]
    ]
    assert torch.equal(weight[there], weight[back])
    assert len({tuple(filters.flatten().tolist()) for filters in weight}) == 6


def test_all_taps_of_a_synapse_have_its_sign(small):
    conv = layer(small, "synapse", signs="transmitter")
    sign = conv.weights.sign
    with torch.no_grad():
        conv.weights.theta.normal_()
    weight = conv.edge_weight()
    assert (weight[sign == 1] > 0).all()
    assert (weight[sign == -1] < 0).all()
    assert (weight[sign == 0] > 0).any()
    assert (weight[sign == 0] < 0).any()


@pytest.mark.parametrize("init", ["fan-in", "counts"])
def test_filters_start_so_that_they_keep_the_variance_that_arrives(worm, init):
    torch.manual_seed(0)
    weight = EdgeWeights(worm, kernel_size=3, init=init)()
    scalar = EdgeWeights(worm, init=init)
    aimed = scalar._scale[scalar.edge_to_param].square().sum().item()  # of a weight per edge, without random draws
    assert weight.square().sum().item() == pytest.approx(aimed, rel=0.05)


def test_given_weights_become_the_middle_taps(small):
    graph = replace(small, weights=[0.5, -1.0, 2.0, 2.0, 3.0, 1.0, -4.0])
    conv = ConnectomeConv(graph, 1, 1, kernel_size=3, filters="synapse", init="weights", bias=None)
    torch.testing.assert_close(conv.edge_weight()[:, 1, 1], torch.tensor(graph.weights).float())
    assert conv.edge_weight().abs().sum((1, 2)).tolist() == pytest.approx(abs(graph.weights).tolist())


@pytest.mark.parametrize("filters", FILTERS)
@pytest.mark.parametrize("gap", ["coupled", "diffusive"])
@pytest.mark.parametrize("edge_channels", [False, True])
def test_hooks_see_one_message_per_edge_and_change_nothing(small, filters, gap, edge_channels):
    conv = layer(small, filters, gap=gap, edge_channels=edge_channels)
    fused, seen = conv(maps()), []
    handle = conv.register_message_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    torch.testing.assert_close(conv(maps()), fused)
    handle.remove()
    assert seen == [(2, 7, 3, 6, 5)]


@pytest.mark.parametrize("filters", FILTERS)
def test_lesions_are_zero_weights(small, filters):
    conv, cut = layer(small, filters), layer(small, filters)
    conv.lesion(edges=[0], neurons=["D"])
    touched = [e for e in range(7) if e == 0 or "D" in (small.names[small.pre[e]], small.names[small.post[e]])]
    assert not conv.edge_weight()[touched].any()
    weight = cut.edge_weight().detach().clone()
    weight[touched] = 0
    expected = cut(maps(), cut.edge_index, weight)
    expected[:, 3] = 0
    torch.testing.assert_close(conv(maps()), expected)
    conv.heal()
    torch.testing.assert_close(conv(maps()), cut(maps()))


@pytest.mark.parametrize("filters", FILTERS)
def test_own_edges_in_another_order_and_copies_of_the_graph(small, filters):
    conv = layer(small, filters)
    order = torch.tensor([3, 0, 6, 1, 5, 2, 4])
    torch.testing.assert_close(conv(maps(), conv.edge_index[:, order]), conv(maps()))
    twice = torch.cat([conv.edge_index, conv.edge_index + 5], 1)
    both = conv(torch.cat([maps(), 2 * maps()], 1), twice)
    torch.testing.assert_close(both, torch.cat([conv(maps()), conv(2 * maps())], 1))


def test_another_graph_brings_filters_or_weights(small):
    edges, filters = torch.tensor([[0, 6], [6, 1]]), maps(2, 3, 3)
    conv = layer(small, "synapse", bias="unit")
    x = maps(1, 7, 3, 4, 4)
    out = conv(x, edges, filters)
    alone = F.conv2d(x[:, 0], filters[0].expand(3, 3, 3)[:, None], padding=1, groups=3)
    torch.testing.assert_close(out[:, 6], F.conv2d(alone, conv.unit.weight[0]) + conv.bias[0][:, None, None])
    expected = (
        r"edge_weight must be of shape \[E, 3, 3\] or \[E, 3, 3, 3\] \(a filter per edge\), got \[2\]; pass filters"
    )
    with pytest.raises(ValueError, match=expected):
        conv(x, edges, torch.ones(2, dtype=torch.float64))
    shared = layer(small, "shared", bias="unit")
    assert shared(x, edges, torch.ones(2, dtype=torch.float64)).shape == (1, 7, 2, 4, 4)
    with pytest.raises(ValueError, match=r"weight must"):
        shared(x, edges, filters)
    with pytest.raises(ValueError, match=r'x must be of 5 neurons, got 7; .* and filters="shared" or "synapse"'):
        layer(small, "neuron", bias="unit")(x, edges, torch.ones(2, dtype=torch.float64))


def test_explainer_reaches_every_edge(small):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = ConnectomeConv(small, 1, 1, kernel_size=3, filters="synapse")

        def forward(self, x, edge_index):
            maps = x.reshape(1, 5, 1, 4, 4)
            return self.conv(maps, edge_index)[0, :, 0].square().mean((1, 2))[:, None]

    torch.manual_seed(0)
    explainer = Explainer(
        Net(),
        GNNExplainer(epochs=3),
        explanation_type="model",
        edge_mask_type="object",
        model_config={"mode": "regression", "task_level": "node", "return_type": "raw"},
    )
    conv = explainer.model.conv
    assert explainer(torch.randn(5, 16), conv.edge_index).edge_mask.shape == (7,)


def test_compiles_and_derives_like_the_formula(small, unchecked_shapes):
    conv = layer(small, "synapse", gap="diffusive", signs="transmitter", activation="gelu")
    x = maps(2, 5, 3, 4, 3).requires_grad_()
    assert torch.autograd.gradcheck(conv, x, fast_mode=True)
    compiled = torch.compile(conv, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), conv(x))


@pytest.mark.parametrize("filters", FILTERS)
def test_channels_may_come_with_the_first_input(small, filters):
    lazy = ConnectomeConv(small, -1, 2, kernel_size=3, filters=filters, edge_channels=True)
    assert lazy(torch.randn(2, 5, 3, 4, 4)).shape == (2, 5, 2, 4, 4)
    again = ConnectomeConv(small, -1, 2, kernel_size=3, filters=filters, edge_channels=True)
    again.load_state_dict(lazy.state_dict())
    x = torch.randn(2, 5, 3, 4, 4)
    torch.testing.assert_close(again(x), lazy(x))


def test_a_recurrent_core_takes_filters(small):
    torch.manual_seed(0)
    core = RecurrentCore(small, 2, steps=3, inputs=["A"], outputs=["D"], kernel_size=3, filters="synapse")
    assert core(torch.randn(2, 1, 2, 8, 8)).shape == (2, 1, 2, 8, 8)
    assert core.gain_per_step() == pytest.approx(1, abs=0.2)


def test_refusals(small):
    with pytest.raises(ValueError, match="kernel_size must be an odd integer where there are filters, got None"):
        ConnectomeConv(small, 1, 1, filters="synapse")
    with pytest.raises(ValueError, match=r"kernel_size must be an odd integer .*got 2"):
        ConnectomeConv(small, 1, 1, filters="synapse", kernel_size=2)
    with pytest.raises(ValueError, match="filters must be one of None, synapse, neuron, role, shared, got 'synapses'"):
        ConnectomeConv(small, 1, 1, filters="synapses", kernel_size=3)
    assert "filters='role'" in repr(layer(small, "role"))
    assert "filters" not in repr(ConnectomeConv(small, 1, 1))
