"""ConnectomeConv: its formula, its options, its place in PyG, and what it refuses."""

from __future__ import annotations

import contextlib
import copy
import pickle
import warnings

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.nn import MessagePassing
from torch_geometric.testing import assert_module

from elegans_gnn import Connectome, ConnectomeConv
from elegans_gnn.nn._activations import ACTIVATIONS
from elegans_gnn.sparse import SparseAdjacency


def by_hand(conv: ConnectomeConv, x: torch.Tensor) -> torch.Tensor:
    """The formula, one edge at a time, for vectors [B, N, F] with a shared unit."""
    graph, weight = conv.connectome, conv.edge_weight()
    arrived = torch.zeros_like(x)
    for edge, (u, v, kind) in enumerate(zip(graph.pre, graph.post, graph.kinds, strict=True)):
        signal = x[:, u] - x[:, v] if conv.gap == "diffusive" and kind == "gap" else x[:, u]
        arrived[:, v] = arrived[:, v] + weight[edge] * signal
    if conv.reduce == "mean":
        arrived = arrived / conv.adjacency.in_degree.clamp_min(1)[:, None]
    y = arrived @ conv.unit.weight[0].T
    if conv.bias is not None:
        y = y + conv.bias
    return y if conv.activation is None else conv.activation(y)


@pytest.mark.parametrize("gap", ["coupled", "diffusive"])
@pytest.mark.parametrize("reduce", ["sum", "mean"])
@pytest.mark.parametrize("edge_channels", [False, True])
def test_matches_the_formula_edge_by_edge(small, gap, reduce, edge_channels):
    torch.manual_seed(0)
    conv = ConnectomeConv(
        small, 3, 4, gap=gap, reduce=reduce, edge_channels=edge_channels, activation=torch.tanh
    ).double()
    torch.nn.init.normal_(conv.bias)
    x = torch.randn(2, 5, 3, dtype=torch.float64)
    torch.testing.assert_close(conv(x), by_hand(conv, x))


@pytest.mark.parametrize("gap", ["coupled", "diffusive"])
@pytest.mark.parametrize("kernel_size", [None, 3])
@pytest.mark.parametrize("edge_channels", [False, True])
def test_unfused_path_gives_the_same_and_is_taken_only_when_watched(small, gap, kernel_size, edge_channels):
    conv = ConnectomeConv(small, 3, 2, gap=gap, kernel_size=kernel_size, edge_channels=edge_channels).double()
    x = torch.randn(2, 5, 3, *([] if kernel_size is None else [6, 5]), dtype=torch.float64)
    fused = conv(x)
    seen = []
    handle = conv.register_message_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    torch.testing.assert_close(conv(x), fused)
    handle.remove()
    torch.testing.assert_close(conv(x), fused)
    assert [shape[:2] for shape in seen] == [(2, small.num_edges)]


def test_message_hook_can_change_the_messages(small):
    conv = ConnectomeConv(small, 3, 2, bias=None)
    conv.register_message_forward_hook(lambda module, inputs, output: torch.zeros_like(output))
    assert conv(torch.randn(1, 5, 3)).abs().max() == 0


@pytest.mark.parametrize("unit", ["shared", "role", "neuron"])
def test_units_of_vectors_and_maps_agree(small, unit):
    """A 1 x 1 convolution on 1 x 1 maps is the linear unit."""
    torch.manual_seed(1)
    vectors = ConnectomeConv(small, 3, 4, unit=unit)
    maps = ConnectomeConv(small, 3, 4, unit=unit, kernel_size=1)
    with torch.no_grad():
        maps.unit.weight.copy_(vectors.unit.weight[:, :, :, None, None])
        maps.weights.theta.copy_(vectors.weights.theta)
    x = torch.randn(2, 5, 3)
    torch.testing.assert_close(maps(x[..., None, None])[..., 0, 0], vectors(x))


def test_units_differ_where_they_may(small):
    x = torch.randn(1, 5, 3)
    roles = ConnectomeConv(small, 3, 3, unit="role")
    assert roles.unit.group.tolist() == [0, 1, 1, 2, 2]
    own = ConnectomeConv(small, 3, 3, unit="neuron")
    before = own(x)
    with torch.no_grad():
        own.unit.weight[1].zero_()
    changed = (own(x) != before).any(-1)[0]
    assert changed.tolist() == [False, True, False, False, False]


def test_relabelled_connectome_gives_relabelled_output(worm):
    order = np.random.Generator(np.random.PCG64(0)).permutation(279)
    conv = ConnectomeConv(worm, 4, 4)
    moved = worm.relabel(order)
    other = ConnectomeConv(moved, 4, 4)
    position = {
        (moved.names[u], moved.names[v], k): e
        for e, (u, v, k) in enumerate(zip(moved.pre, moved.post, moved.kinds, strict=True))
    }
    with torch.no_grad():
        for edge, (u, v, k) in enumerate(zip(worm.pre, worm.post, worm.kinds, strict=True)):
            mine = other.weights.edge_to_param[position[worm.names[u], worm.names[v], k]]
            other.weights.theta[mine] = conv.weights.theta[conv.weights.edge_to_param[edge]]
        other.unit.weight.copy_(conv.unit.weight)
    x = torch.randn(2, 279, 4)
    torch.testing.assert_close(other(x[:, order]), conv(x)[:, order], rtol=1e-4, atol=1e-5)


def test_is_a_pyg_layer_for_every_layout(worm):
    conv = ConnectomeConv(worm, 8, 5).double()
    assert isinstance(conv, MessagePassing)
    x = torch.randn(279, 8, dtype=torch.float64)
    assert_module(conv, x, conv.edge_index, expected_size=(279, 5))
    star = torch.tensor([[0, 0, 0, 1, 2, 3], [1, 2, 3, 0, 0, 0]])
    weight = torch.rand(6, dtype=torch.float64)
    assert_module(conv, x, star, expected_size=(279, 5), edge_weight=weight, test_sparse_layouts=[])


def test_every_form_of_the_same_graph_gives_the_same(small):
    conv = ConnectomeConv(small, 3, 2, bias="unit")
    edge_index = torch.tensor([[0, 3, 1], [1, 2, 4]])
    values = torch.tensor([0.5, -2.0, 3.0])
    x = torch.randn(2, 5, 3)
    expected = conv(x, edge_index, values)
    matrix = torch.zeros(5, 5)
    matrix[edge_index[1], edge_index[0]] = values
    for form in (matrix, matrix.to_sparse_coo(), matrix.to_sparse_csr(), matrix.to_sparse_csc()):
        torch.testing.assert_close(conv(x, form), expected)
    torch.testing.assert_close(conv(x, SparseAdjacency(edge_index, 5), values), expected)
    assert not torch.allclose(conv(x, matrix.T), expected)
    torch.testing.assert_close(conv(x, conv.edge_index), conv(x))
    torch.testing.assert_close(conv(x, conv.edge_index.clone()), conv(x))


def test_another_graph_may_have_another_size(small):
    conv = ConnectomeConv(small, 3, 2, bias="unit")
    edges = torch.tensor([[0, 6], [6, 1]])
    assert conv(torch.randn(7, 3), edges, torch.ones(2)).shape == (7, 2)
    with pytest.raises(ValueError, match=r'x must be of 5 neurons, got 7; .*unit="shared" and bias="unit"'):
        ConnectomeConv(small, 3, 2)(torch.randn(7, 3), edges, torch.ones(2))


def test_explainer_finds_the_edge_that_carries_the_signal(small):
    torch.manual_seed(0)

    class Reader(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = ConnectomeConv(small, 1, 1, bias=None)
            with torch.no_grad():
                self.conv.weights.theta.fill_(0.01)
                self.conv.weights.theta[self.conv.weights.edge_to_param[strong]] = 3.0
                self.conv.unit.weight.fill_(1.0)

        def forward(self, x: torch.Tensor, edge_index: torch.Tensor) -> torch.Tensor:
            return self.conv(x, edge_index)

    strong = 0  # A -> B
    model = Reader()
    explainer = Explainer(
        model,
        # Without the entropy term, which drives masks without influence to 0 or 1 by chance.
        algorithm=GNNExplainer(epochs=60, lr=0.1, edge_ent=0.0, edge_size=0.05),
        explanation_type="model",
        edge_mask_type="object",
        model_config={"mode": "regression", "task_level": "node", "return_type": "raw"},
    )
    explanation = explainer(torch.ones(5, 1), model.conv.edge_index)
    assert explanation.edge_mask.shape == (small.num_edges,)
    assert explanation.edge_mask.argmax() == strong


@pytest.mark.parametrize("protocol", ["deepcopy", "pickle", "state_dict"])
def test_copies_compute_the_same(small, protocol):
    conv = ConnectomeConv(small, 3, 2, signs="transmitter", activation=F.gelu)
    x = torch.randn(2, 5, 3)
    if protocol == "deepcopy":
        twin = copy.deepcopy(conv)
    elif protocol == "pickle":
        twin = pickle.loads(pickle.dumps(conv))
    else:
        twin = ConnectomeConv(small, 3, 2, signs="transmitter", activation=F.gelu)
        twin.load_state_dict(conv.state_dict())
    torch.testing.assert_close(twin(x), conv(x), rtol=0, atol=0)


def test_compiles_without_graph_breaks(small, unchecked_shapes):
    conv = ConnectomeConv(small, 3, 3, unit="role", norm="layer", activation=F.gelu)
    x = torch.randn(2, 5, 3)
    compiled = torch.compile(conv, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x), conv(x))


def test_graph_without_edges_and_single_feature():
    graph = Connectome.from_edges("dust", ["A", "B"], [], [])
    conv = ConnectomeConv(graph, 1, 1)
    torch.nn.init.constant_(conv.bias, 2.0)
    assert conv(torch.randn(1, 2, 1)).tolist() == [[[2.0], [2.0]]]


@pytest.mark.parametrize(
    ("shape", "kernel_size", "message"),
    [
        ((2, 5, 3, 4), None, r"x must be of shape \[B, N, F\] or \[N, F\], got \[2, 5, 3, 4\]; add the missing axis"),
        ((2, 5, 3, 4), 3, r"x must be of shape \[B, N, C, H, W\], got \[2, 5, 3, 4\]; add the missing axis"),
        ((2, 5, 3), 3, r"got \[2, 5, 3\]; set kernel_size=None for vectors"),
        (
            (2, 5, 3, 4, 4),
            None,
            r"got \[2, 5, 3, 4, 4\]; set kernel_size=None for vectors, an odd kernel_size for maps",
        ),
        ((2, 6, 3), None, r"x must be of 5 neurons, got 6; order the neuron axis as connectome.names"),
        ((2, 5, 4), None, r"x must be of 3 features, got 4; set in_channels to match"),
    ],
)
def test_wrong_shapes_are_refused(small, shape, kernel_size, message):
    conv = ConnectomeConv(small, 3, 3, kernel_size=kernel_size)
    with pytest.raises(ValueError, match=message):
        conv(torch.randn(shape))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"unit": "roles"}, r"unit must be one of shared, role, neuron, got 'roles'; did you mean 'role'\?"),
        ({"reduce": "median"}, "reduce must be one of sum, mean"),
        ({"gap": "electric"}, "gap must be one of coupled, diffusive"),
        ({"kernel_size": 2}, r"kernel_size must be an odd integer \(or None for vectors\), got 2"),
        ({"init": "xavier"}, "init must be one of fan-in, counts, weights"),
        ({"signs": "dale"}, "signs must be one of transmitter"),
        (
            {"signs": np.ones(3, dtype=np.int64)},
            r"signs must be \[7\] values in -1, 0, \+1 \(one per edge\), got shape \[3\]",
        ),
        ({"signs": np.array([1, 1, 1, -1, 1, 1, 1])}, "signs must be equal in both directions of a gap junction"),
        ({"gain": 0.0}, "gain must be positive"),
        ({"norm": "batch"}, "norm must be one of None, layer"),
    ],
)
def test_wrong_options_are_refused(small, options, message):
    with pytest.raises(ValueError, match=message):
        ConnectomeConv(small, 3, 3, **options)


def test_wrong_weights_and_graphs_are_refused(small):
    conv = ConnectomeConv(small, 3, 3)
    x = torch.randn(2, 5, 3)
    with pytest.raises(
        ValueError, match=r"edge_weight must be of shape \[7\] \(one per edge\), got \[5\]; take the order"
    ):
        conv(x, edge_weight=torch.ones(5))
    with pytest.raises(ValueError, match=r"edge_index must be a matrix of shape \[5, 5\], got \[2, 3\]"):
        conv(x, torch.ones(2, 3))
    with pytest.raises(ValueError, match=r"edges must be edge numbers in 0..6 or a mask \[7\], got \[9\]"):
        conv.lesion(edges=[9])
    with pytest.raises(ValueError, match="did you mean 'A'"):
        conv.lesion(neurons=["a"])


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_elementwise_activation_of_torch_has_its_name(small, name):
    conv, x = ConnectomeConv(small, 3, 2), torch.randn(2, 5, 3)
    named = ConnectomeConv(small, 3, 2, activation=name).eval()
    named.load_state_dict(conv.state_dict())
    torch.testing.assert_close(named(x), getattr(F, name)(conv(x)))
    assert (named.train()(x) == named(x)).all() != (name == "rrelu")


def test_no_activation_of_torch_is_missing(small):
    """A function of torch.nn.functional is one if it keeps the shape, treats each value alone, and needs only x."""
    x = torch.linspace(-4, 4, 30).reshape(5, 6)
    found = set()
    for name in dir(F):
        if name.startswith("_") or name.endswith("_") or not name.islower() or "dropout" in name:
            continue
        with contextlib.suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            y, flat = getattr(F, name)(x), getattr(F, name)(x.T.reshape(-1)).reshape(6, 5).T
            if isinstance(y, torch.Tensor) and y.shape == x.shape and torch.equal(y, flat) and not torch.equal(y, x):
                found.add(name)
    assert found <= set(ACTIVATIONS)
    with pytest.raises(ValueError, match="activation must be one of celu, elu, .*, got 'swish'; did you mean"):
        ConnectomeConv(small, 3, 2, activation="swish")


@pytest.mark.parametrize("options", [{}, {"edge_channels": True}, {"unit": "role", "kernel_size": 3}])
def test_an_open_number_of_channels_comes_from_the_first_input(small, options):
    lazy = ConnectomeConv(small, -1, 2, **options)
    torch.manual_seed(0)
    lazy(torch.randn(2, 5, 3, *[4, 4] * ("kernel_size" in options)))
    assert {name: value.shape for name, value in lazy.state_dict().items()} == {
        name: value.shape for name, value in ConnectomeConv(small, 3, 2, **options).state_dict().items()
    }
    assert "-1" not in repr(lazy)
    with pytest.raises(ValueError, match="x must be of 3 "):
        lazy(torch.randn(2, 5, 4, *[4, 4] * ("kernel_size" in options)))
    for wrong in (-2, 0):
        with pytest.raises(ValueError, match="in_channels must be >= 1"):
            ConnectomeConv(small, wrong, 2)
