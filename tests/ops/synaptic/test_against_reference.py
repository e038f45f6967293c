"""Every backend against the loops, output and both gradients; and what holds for any of them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from elegans_gnn import ops
from elegans_gnn.sparse import SparseAdjacency
from tests.ops.cases import GRAPHS, assert_rounded_once, assert_same, graph, random_graph
from tests.ops.synaptic.cases import BACKENDS, KERNELS, SIZES, inputs, run

ALL = ("reference", *BACKENDS)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kernel", KERNELS)
def test_sizes_and_kernels(backend: str, size: tuple[int, int], kernel: tuple[int, int]) -> None:
    adjacency = random_graph(5, 8, seed=0)
    for channels, per_channel in ((1, False), (3, False), (2, True)):
        case = inputs(adjacency, 2, channels, size, kernel, per_channel=per_channel)
        assert_same(run(backend, adjacency, *case), run("reference", adjacency, *case), rounding=1e-13)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", [*GRAPHS, "worm-like"])
@pytest.mark.parametrize("batch", [1, 7])
def test_graphs_and_batches(backend: str, name: str, batch: int) -> None:
    adjacency = graph(name)
    for size in ((7, 7), (2, 5)):
        case = inputs(adjacency, batch, 2, size, (3, 3))
        assert_same(run(backend, adjacency, *case), run("reference", adjacency, *case), rounding=1e-13)


@pytest.mark.parametrize("backend", ALL)
def test_it_is_the_dense_convolution_with_zeros_where_no_edge_is(backend: str) -> None:
    adjacency = graph("worm-like")
    x, weight, grad = inputs(adjacency, 3, 1, (5, 4), (3, 5))
    source, target = adjacency.edge_index
    filters = torch.zeros(23, 23, 3, 5, dtype=x.dtype).index_put((target, source), weight, accumulate=True)
    maps, filters = x[:, :, 0].requires_grad_(), filters.requires_grad_()
    y = torch.nn.functional.conv2d(maps, filters, padding=(1, 2))
    grad_x, grad_filters = torch.autograd.grad(y, (maps, filters), grad[:, :, 0])
    found = run(backend, adjacency, x, weight, grad)
    torch.testing.assert_close(found.y[:, :, 0], y)
    torch.testing.assert_close(found.grad_x[:, :, 0], grad_x)
    torch.testing.assert_close(found.grad_weight, grad_filters[target, source])


@pytest.mark.parametrize("backend", ALL)
def test_taps_look_into_their_direction_and_see_zero_outside(backend: str) -> None:
    adjacency = SparseAdjacency(torch.tensor([[0], [1]]), 2)
    x = torch.zeros(1, 2, 1, 2, 3)
    x[0, 0, 0] = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    weight = torch.zeros(1, 3, 3)
    weight[0, 0, 2] = 10.0
    with ops.backend(backend):
        y = ops.synaptic_conv2d(x, weight, adjacency)
    assert y[0, 1, 0].tolist() == [[0, 0, 0], [20, 30, 0]]
    assert y[0, 0].abs().sum() == 0


@pytest.mark.parametrize("backend", ALL)
def test_one_by_one_filters_are_the_aggregation(backend: str) -> None:
    adjacency = graph("worm-like")
    x, weight, grad = inputs(adjacency, 2, 3, (4, 3), (1, 1), per_channel=True)
    found = run(backend, adjacency, x, weight, grad)
    with ops.backend("reference"):
        y = ops.aggregate(x, weight[:, :, 0, 0], adjacency)
    torch.testing.assert_close(found.y, y)


@pytest.mark.parametrize("backend", ALL)
def test_relabelling_the_neurons_relabels_the_result(backend: str) -> None:
    adjacency = random_graph(23, 90, seed=4)
    x, weight, grad = inputs(adjacency, 2, 1, (3, 3), (3, 3))
    new_name = torch.randperm(23, generator=torch.Generator().manual_seed(1))
    renamed = SparseAdjacency(new_name[adjacency.edge_index], 23)
    x_renamed, grad_renamed = torch.empty_like(x), torch.empty_like(grad)
    x_renamed[:, new_name], grad_renamed[:, new_name] = x, grad
    before = run(backend, adjacency, x, weight, grad)
    after = run(backend, renamed, x_renamed, weight, grad_renamed)
    torch.testing.assert_close(after.y[:, new_name], before.y)
    torch.testing.assert_close(after.grad_x[:, new_name], before.grad_x)
    torch.testing.assert_close(after.grad_weight, before.grad_weight)


@pytest.mark.parametrize("backend", ALL)
def test_direction_of_edges_order_of_edges_and_orientation_of_filters_matter(backend: str) -> None:
    adjacency = random_graph(9, 30, seed=5)
    reversed_edges = SparseAdjacency(adjacency.edge_index.flip(0), 9)
    x, weight, _ = inputs(adjacency, 2, 1, (4, 4), (3, 3))
    with ops.backend(backend):
        y = ops.synaptic_conv2d(x, weight, adjacency)
        assert not torch.allclose(y, ops.synaptic_conv2d(x, weight, reversed_edges))
        assert not torch.allclose(y, ops.synaptic_conv2d(x, weight.flip(0), adjacency))
        assert not torch.allclose(y, ops.synaptic_conv2d(x, weight.flip(1), adjacency))
        assert not torch.allclose(y, ops.synaptic_conv2d(x, weight.transpose(1, 2), adjacency))


@pytest.mark.parametrize("backend", ALL)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("float_weight", [False, True])
def test_half_precision_is_rounded_once(backend: str, dtype: torch.dtype, float_weight: bool) -> None:
    adjacency = random_graph(9, 30, seed=0)
    for size in ((7, 7), (3, 17)):
        x, weight, grad = inputs(adjacency, 3, 1, size, (3, 3), dtype=dtype)
        weight = weight.float() if float_weight else weight
        found = run(backend, adjacency, x, weight, grad)
        exact = run("reference", adjacency, x.double(), weight.double(), grad.double())
        assert (found.y.dtype, found.grad_x.dtype, found.grad_weight.dtype) == (dtype, dtype, weight.dtype)
        for a, b in zip(found, exact, strict=True):
            assert_rounded_once(a, b)


@pytest.mark.parametrize("backend", ALL)
def test_nan_and_infinity_reach_the_neighbours_and_nothing_else(backend: str) -> None:
    adjacency = SparseAdjacency(torch.tensor([[0, 1], [1, 2]]), 4)
    x, weight, grad = inputs(adjacency, 3, 1, (7, 7), (3, 3), dtype=torch.float32)
    x[1, 0, 0, 0, 6] = float("inf")
    x[2, 1, 0, 6, 0] = float("nan")
    grad[0, 1, 0, 3, 3] = float("nan")
    found, expected = run(backend, adjacency, x, weight, grad), run("reference", adjacency, x, weight, grad)
    torch.testing.assert_close(found.y, expected.y, equal_nan=True)
    torch.testing.assert_close(found.grad_x, expected.grad_x, equal_nan=True)
    # A gradient that is not finite may spread over the taps of its edge.
    assert bool((found.grad_weight.isfinite() <= expected.grad_weight.isfinite()).all())


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_neighbouring_neuron_that_is_not_finite_stays_outside(backend: str) -> None:
    adjacency = SparseAdjacency(torch.tensor([[1], [1]]), 3)
    x, weight, grad = inputs(adjacency, 5, 1, (7, 7), (3, 3), dtype=torch.float32)
    x[:, [0, 2]] = float("nan")
    grad[:, [0, 2]] = float("inf")
    found = run(backend, adjacency, x, weight, grad)
    assert all(bool(part.isfinite().all()) for part in found)


@pytest.mark.parametrize("backend", BACKENDS)
def test_an_unwanted_gradient_is_not_computed(backend: str) -> None:
    adjacency = graph("worm-like")
    x, weight, grad = inputs(adjacency, 2, 1, (5, 5), (3, 3))
    both = run(backend, adjacency, x, weight, grad)
    for wanted, expected in ((x, both.grad_x), (weight, both.grad_weight)):
        wanted.requires_grad_()
        with ops.backend(backend):
            (found,) = torch.autograd.grad(ops.synaptic_conv2d(x, weight, adjacency), wanted, grad)
        wanted.requires_grad_(False)
        torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("backend", ALL)
@pytest.mark.parametrize("shape", [(0, 23, 1, 4, 4), (2, 23, 0, 4, 4), (2, 23, 1, 0, 3)])
def test_empty_states_give_empty_results(backend: str, shape: tuple[int, ...]) -> None:
    result = run(backend, graph("worm-like"), torch.ones(shape), torch.ones(90, 3, 3), torch.ones(shape))
    assert result.y.shape == result.grad_x.shape == shape
    assert result.grad_weight.abs().sum() == 0


LAYOUTS = {
    "neurons first": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "channels last": lambda x: x.movedim(2, -1).contiguous().movedim(-1, 2),
    "a slice of rows": lambda x: torch.cat([x, x], dim=-2)[..., : x.shape[-2], :],
    "a slice of columns": lambda x: torch.cat([x, x], dim=-1)[..., : x.shape[-1]],
    "every second sample": lambda x: x.repeat_interleave(2, dim=0)[::2],
    "expanded": lambda x: x[:1].expand_as(x),
    "transposed maps": lambda x: x.transpose(3, 4).contiguous().transpose(3, 4),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(backend: str, layout: str) -> None:
    adjacency = random_graph(6, 15, seed=1)

    def weight_layout(weight: Tensor) -> Tensor:
        return weight.transpose(0, 1).contiguous().transpose(0, 1)

    x, weight, grad = inputs(adjacency, 4, 2, (7, 6), (3, 3), per_channel=True)
    x, grad = LAYOUTS[layout](x), LAYOUTS[layout](grad)
    found = run(backend, adjacency, x, weight_layout(weight), grad)
    expected = run("reference", adjacency, x.contiguous(), weight, grad.contiguous())
    assert_same(found, expected, rounding=1e-13)
