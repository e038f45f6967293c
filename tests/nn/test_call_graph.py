"""The graph of a call: the own one in any order and form, copies of it, another one; and what is refused."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch_geometric import EdgeIndex

from elegans_gnn import Connectome, ConnectomeConv, sparse
from elegans_gnn.sparse import SparseAdjacency


class Sparse:
    """As torch_sparse's SparseTensor: rows are targets."""

    def __init__(self, edge_index: Tensor, size: int, value: Tensor | None = None) -> None:
        self.parts, self.size = (edge_index[1].clone(), edge_index[0].clone(), value), size

    def coo(self) -> tuple[Tensor, Tensor, Tensor | None]:
        return self.parts

    def sparse_sizes(self) -> tuple[int, int]:
        return self.size, self.size


def gradients(conv: ConnectomeConv, out: Tensor, x: Tensor) -> list[Tensor]:
    seed = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).reshape(out.shape)
    return list(torch.autograd.grad(out, [x, *conv.parameters()], seed))


def union(edge_index: Tensor, copies: int, neurons: int) -> Tensor:
    return torch.cat([edge_index + neurons * copy for copy in range(copies)], dim=1)


def any_order(edges: Tensor, seed: int) -> Tensor:
    return edges[:, torch.randperm(edges.shape[1], generator=torch.Generator().manual_seed(seed))]


@pytest.mark.parametrize(
    "options", [{}, {"gap": "diffusive", "reduce": "mean"}, {"edge_channels": True, "unit": "role"}]
)
@pytest.mark.parametrize("lesioned", [False, True])
@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("copies", [1, 2, 7])
def test_own_edges_in_any_order_give_the_own_weights_for_every_copy(worm, options, lesioned, watched, copies):
    torch.manual_seed(copies)
    conv = ConnectomeConv(worm, 3, 2, signs="transmitter", **options).double()
    if lesioned:
        conv.lesion(neurons=["AVAL"], edges=[5, 100])
    x = torch.randn(copies, 279, 3, dtype=torch.float64, requires_grad=True)
    expected = conv(x)
    wanted = gradients(conv, expected, x)
    if watched:
        conv.register_message_forward_hook(lambda module, inputs, output: None)
    edges = union(conv.edge_index, copies, 279)
    repeated = union(any_order(conv.edge_index, 3), copies, 279)
    for given_edges in (edges, repeated, any_order(edges, copies), any_order(edges, 9).int()):
        out = conv(x.reshape(copies * 279, 3), given_edges)
        torch.testing.assert_close(out.reshape(expected.shape), expected, rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(gradients(conv, out, x), wanted, rtol=1e-6, atol=1e-9)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Connectome, int]:
    """Up to six neurons with self-loops, both kinds between the same pair, and isolated ones."""
    size = draw(st.integers(1, 6))
    pairs = st.tuples(st.integers(0, size - 1), st.integers(0, size - 1))
    chemical = draw(st.sets(pairs, max_size=12))
    gap = {pair for u, v in draw(st.sets(pairs, max_size=6)) for pair in ((u, v), (v, u))}
    edges = [(*pair, "chemical") for pair in sorted(chemical)] + [(*pair, "gap") for pair in sorted(gap)]
    pre, post, kinds = ([edge[column] for edge in edges] for column in range(3))
    return Connectome.from_edges("drawn", [f"N{i}" for i in range(size)], pre, post, kinds=kinds), draw(
        st.sampled_from([1, 2, 7])
    )


@settings(max_examples=60, deadline=None)
@given(graphs(), st.integers(0, 99))
def test_order_and_copies_change_nothing(drawn, seed):
    graph, copies = drawn
    size = graph.num_neurons
    conv = ConnectomeConv(graph, 2, 3).double()
    x = torch.randn(copies, size, 2, dtype=torch.float64, requires_grad=True)
    edges = any_order(union(conv.edge_index, copies, size), seed)
    expected, out = conv(x), conv(x.reshape(-1, 2), edges)
    torch.testing.assert_close(out.reshape(expected.shape), expected, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(gradients(conv, out, x), gradients(conv, expected, x), rtol=1e-6, atol=1e-9)
    loops = torch.arange(copies * size).expand(2, -1)
    foreign = [torch.cat([edges, loops], 1), torch.cat([edges, edges[:, :1]], 1), edges[:, 1:]]
    for other in foreign:
        if other.shape != edges.shape:
            with pytest.raises(
                ValueError, match=r"edge_index must be the layer's own graph|x must be of \d neurons, got"
            ):
                conv(x.reshape(-1, 2), other)


@pytest.mark.parametrize("copies", [1, 2])
def test_every_form_of_the_own_graph_means_the_own_weights(worm, copies):
    conv = ConnectomeConv(worm, 3, 2)
    x = torch.randn(copies, 279, 3)
    size = copies * 279
    edges = any_order(union(conv.edge_index, copies, 279), 0)
    counted = torch.sparse_coo_tensor(edges.flip(0), torch.ones(edges.shape[1]), (size, size))
    once = counted.coalesce()
    once = torch.sparse_coo_tensor(once.indices(), torch.ones_like(once.values()), (size, size))
    forms = [
        EdgeIndex(edges, sparse_size=(size, size)),
        SparseAdjacency(edges, size),
        Sparse(edges, size),
        Sparse(edges, size, torch.ones(edges.shape[1])),
        *(counted, counted.coalesce(), counted.to_sparse_csr(), counted.to_sparse_csc(), counted.to_dense()),
        *(once, once.to_sparse_csr(), once.to_sparse_csc(), once.to_dense()),
    ]
    expected = conv(x)
    for form in forms:
        torch.testing.assert_close(conv(x.reshape(size, 3), form).reshape(expected.shape), expected)


def test_values_of_a_matrix_are_weights(worm):
    """On the own edges too, unless they only count edges; a matrix that learns is never replaced."""
    conv = ConnectomeConv(worm, 1, 1, bias=None)
    x = torch.randn(279, 1)
    matrix = torch.zeros(279, 279)
    matrix[conv.edge_index[1], conv.edge_index[0]] = torch.rand(worm.num_edges) + 0.5
    torch.testing.assert_close(conv(x, matrix), matrix @ x * conv.unit.weight[0])
    ones = (matrix > 0).float().requires_grad_()
    torch.testing.assert_close(conv(x, ones), ones @ x * conv.unit.weight[0])


def test_another_graph_that_repeats_like_a_batch_is_another_graph(small):
    conv = ConnectomeConv(small, 3, 2, bias="unit")
    repeated = torch.tensor([[0, 1, 2, 3, 4, 4, 4], [5, 6, 7, 8, 9, 0, 1]])
    edges = torch.cat([repeated, (repeated + 5)], 1)[:, : 2 * 7].remainder(15)
    assert conv(torch.randn(15, 3), edges, torch.ones(14)).shape == (15, 2)
    loops = union(torch.arange(5).repeat(2)[:7].expand(2, -1), 2, 5)
    assert conv(torch.randn(10, 3), loops, torch.ones(14)).shape == (10, 2)
    across = torch.cat([repeated, repeated], 1)
    assert conv(torch.randn(10, 3), across, torch.ones(14)).shape == (10, 2)
    with pytest.raises(ValueError, match="edge_index must be the layer's own graph"):
        conv(torch.randn(10, 3), loops)


@pytest.mark.parametrize("copies", [1, 2])
def test_given_weights_follow_the_order_of_the_call(small, copies):
    """Parallel edges: the i-th edge of the call between two neurons is the i-th own edge between them."""
    conv = ConnectomeConv(small, 3, 2)
    conv.lesion(edges=[1, 4], neurons=["D"])
    x = torch.randn(copies, 5, 3)
    edges = union(conv.edge_index, copies, 5)
    weight = torch.rand(copies * 7)
    order = torch.tensor([6, 4, 0, 1, 2, 3, 5])  # both edges B -> C (1 and 2) in their order
    order = torch.cat([order + 7 * copy for copy in reversed(range(copies))])
    expected = torch.stack([conv(x[i], edge_weight=weight[7 * i : 7 * i + 7]) for i in range(copies)])
    for places in (torch.arange(copies * 7), order):
        out = conv(x.reshape(-1, 3), edges[:, places], weight[places])
        torch.testing.assert_close(out.reshape(expected.shape), expected)


def test_another_graph_needs_weights(worm):
    conv = ConnectomeConv(worm, 3, 2)
    x = torch.randn(279, 3)
    own = conv.edge_index
    others = [
        own[:, 1:],
        own.flip(0),
        torch.cat([own, own[:, :1]], 1),
        torch.cat([own, torch.arange(279).expand(2, -1)], 1),
    ]
    message = (
        "edge_index must be the layer's own graph .* got another graph .*; pass edge_weight= .* or build the layer"
    )
    for other in others:
        matrix = torch.sparse_coo_tensor(other.flip(0), torch.ones(other.shape[1]), (279, 279)).coalesce()
        for form in (other, EdgeIndex(other, sparse_size=(279, 279)), SparseAdjacency(other, 279), Sparse(other, 279)):
            with pytest.raises(ValueError, match=message):
                conv(x, form)
        assert conv(x, other, torch.ones(other.shape[1])).shape == (279, 2)
        assert conv(x, matrix, matrix.values()).shape == (279, 2)
    with pytest.raises(ValueError, match="the rows of a matrix are the targets"):
        conv(x, (torch.rand(279, 279) > 0.9).float())
    with pytest.raises(ValueError, match="another graph .558 neurons"):
        conv(torch.randn(558, 3), torch.cat([own, own + 278], 1))


def test_what_is_unknown_of_another_graph_is_refused(small):
    x, other, weight = torch.randn(5, 3), torch.tensor([[0, 1], [1, 2]]), torch.ones(2)
    conv = ConnectomeConv(small, 3, 2, bias=None)
    conv.lesion(neurons=["B"])
    assert conv(x, other, weight).abs().max() == 0  # B lies on both edges
    loose = ConnectomeConv(small, 3, 2, bias="unit")
    loose.lesion(neurons=["B"])
    with pytest.raises(ValueError, match="while a lesion silences neurons"):
        loose(torch.randn(7, 3), other, weight)
    conv.lesion(edges=[3])
    with pytest.raises(ValueError, match="while a lesion silences edges; call heal"):
        conv(x, other, weight)
    with pytest.raises(ValueError, match="gap junctions are unknown; use gap='coupled'"):
        ConnectomeConv(small, 3, 2, gap="diffusive")(x, other, weight)
    with pytest.raises(ValueError, match="x must be one tensor, got different sources and targets"):
        conv((x, x + 1))
    with pytest.raises(ValueError, match=r"edge_weight must be of shape \[14\] \(one per edge\), got \[7\]"):
        conv(torch.randn(10, 3), union(conv.edge_index, 2, 5), torch.ones(7))


def test_copies_need_their_edges(small):
    with pytest.raises(ValueError, match="x must be of 5 neurons, got 10"):
        ConnectomeConv(small, 3, 2)(torch.randn(10, 3))
    conv = ConnectomeConv(small, 3, 2)
    with pytest.raises(ValueError, match="x must be of 5 neurons, got 10"):
        conv(torch.randn(10, 3), conv.edge_index.clone())


def test_the_match_of_a_tensor_is_found_once_and_goes_with_it(worm, monkeypatch):
    found = []
    matched = sparse._matched
    monkeypatch.setattr(sparse, "_matched", lambda *given: found.append(1) or matched(*given))
    conv, x = ConnectomeConv(worm, 2, 2), torch.randn(279, 2)
    edges, matrix = any_order(conv.edge_index, 0), Sparse(conv.edge_index, 279)
    for form in (edges, matrix):
        found.clear()
        for _ in range(3):
            conv(x, form)
        assert len(found) == 1
    known = weakref.ref(next(key for key in sparse._MATCHES if key.edge_index.equal(edges)))
    edges.copy_(edges.roll(1, 1))
    conv(x, edges)
    del edges
    gc.collect()
    assert known() is None
