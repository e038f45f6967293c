"""Every backend against the reference loops: outputs and both gradients; and the reference against plain formulas."""

from __future__ import annotations

import pytest
import torch

from elegans_gnn import ops
from elegans_gnn.sparse import SparseAdjacency
from tests.ops.cases import (
    BACKENDS,
    FEATURES,
    GRAPHS,
    REDUCES,
    assert_rounded_once,
    assert_same,
    graph,
    inputs,
    random_graph,
    run,
)

SHAPES = [(features, per_channel) for features in FEATURES for per_channel in (False, True)]


def test_sum_and_mean_are_matrix_products() -> None:
    adjacency = graph("worm-like")
    x, weight, _ = inputs(adjacency, (2, 23, 5), per_channel=False, dtype=torch.float64)
    matrix = torch.zeros(23, 23, dtype=torch.float64)
    source, target = adjacency.edge_index
    matrix.index_put_((target, source), weight, accumulate=True)
    with ops.backend("reference"):
        torch.testing.assert_close(ops.aggregate(x, weight, adjacency), matrix @ x)
        degree = adjacency.in_degree.clamp(min=1)[:, None]
        torch.testing.assert_close(ops.aggregate(x, weight, adjacency, "mean"), matrix @ x / degree)


def test_mul_and_max_by_hand() -> None:
    adjacency = SparseAdjacency(torch.tensor([[0, 1, 2, 0], [2, 2, 2, 1]]), 4)
    x = torch.tensor([[2.0, -1.0], [3.0, 5.0], [-1.0, 5.0], [9.0, 9.0]])
    weight = torch.tensor([1.0, 2.0, 2.0, -1.0])
    with ops.backend("reference"):
        product, largest = (ops.aggregate(x, weight, adjacency, reduce) for reduce in ("mul", "max"))
    assert product.tolist() == [[1, 1], [-2, 1], [2 * 6 * -2, -1 * 10 * 10], [1, 1]]
    assert largest.tolist() == [[0, 0], [-2, 1], [6, 10], [0, 0]]


@pytest.mark.parametrize("backend", ["reference", *BACKENDS])
def test_max_gives_its_gradient_to_the_first_winner_in_csr_order(backend: str) -> None:
    # The caller's order is 0, 1, 2; edges 1 and 2 tie.
    adjacency = SparseAdjacency(torch.tensor([[0, 2, 1], [1, 1, 1]]), 3)
    result = run(backend, adjacency, "max", torch.tensor([[1.0], [4.0], [4.0]]), torch.ones(3), torch.ones(3, 1))
    assert result.grad_x.tolist() == [[0], [0], [1]]
    assert result.grad_weight.tolist() == [0, 4, 0]


@pytest.mark.parametrize("backend", ["reference", *BACKENDS])
def test_mul_has_the_right_gradient_at_zeros(backend: str) -> None:
    adjacency = SparseAdjacency(torch.tensor([[0, 1, 2], [3, 3, 3]]), 4)
    x = torch.tensor([[0.0, 0.0], [3.0, 0.0], [5.0, 7.0], [0.0, 0.0]])
    result = run(backend, adjacency, "mul", x, torch.ones(3), torch.ones(4, 2))
    assert result.grad_x.tolist() == [[15, 0], [0, 0], [0, 0], [0, 0]]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize(("features", "per_channel"), SHAPES)
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
def test_equals_the_reference(
    backend: str, reduce: str, features: tuple[int, ...], per_channel: bool, dtype: torch.dtype, rounding: float
) -> None:
    adjacency = graph("worm-like")
    for batch in (1, 3):
        case = inputs(adjacency, (batch, 23, *features), per_channel=per_channel, dtype=dtype)
        assert_same(
            run(backend, adjacency, reduce, *case), run("reference", adjacency, reduce, *case), rounding=rounding
        )


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("name", GRAPHS)
def test_small_graphs_equal_the_reference(backend: str, reduce: str, name: str) -> None:
    adjacency = graph(name)
    for per_channel in (False, True):
        case = inputs(adjacency, (2, adjacency.num_neurons, 3, 2), per_channel=per_channel, dtype=torch.float64)
        assert_same(run(backend, adjacency, reduce, *case), run("reference", adjacency, reduce, *case), rounding=1e-13)


@pytest.mark.parametrize("backend", ["reference", *BACKENDS])
@pytest.mark.parametrize("reduce", ["sum", "mean", "max"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("float_weight", [False, True])
def test_half_precision_is_rounded_once(backend: str, reduce: str, dtype: torch.dtype, float_weight: bool) -> None:
    adjacency = graph("worm-like")
    x, weight, grad = inputs(adjacency, (3, 23, 33), per_channel=False, dtype=dtype)
    weight = weight.float() if float_weight else weight
    found = run(backend, adjacency, reduce, x, weight, grad)
    exact = run("reference", adjacency, reduce, x.double(), weight.double(), grad.double())
    assert (found.y.dtype, found.grad_x.dtype, found.grad_weight.dtype) == (dtype, dtype, weight.dtype)
    for a, b in zip(found, exact, strict=True):
        assert_rounded_once(a, b)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reduce", REDUCES)
def test_nan_and_infinity_propagate(backend: str, reduce: str) -> None:
    adjacency = graph("worm-like")
    x, weight, grad = inputs(adjacency, (2, 23, 17), per_channel=False, dtype=torch.float32)
    x[0, 3, 2], x[1, 5, 16], x[0, 7, 0] = float("nan"), float("inf"), float("-inf")
    weight[11] = float("nan")
    case = x, weight, grad
    assert_same(run(backend, adjacency, reduce, *case), run("reference", adjacency, reduce, *case), rounding=1e-5)


@pytest.mark.parametrize("backend", ["reference", *BACKENDS])
@pytest.mark.parametrize("reduce", REDUCES)
def test_relabelling_the_neurons_relabels_the_result(backend: str, reduce: str) -> None:
    adjacency = random_graph(23, 90, seed=4)
    x, weight, grad = inputs(adjacency, (2, 23, 5), per_channel=False, dtype=torch.float64)
    new_name = torch.randperm(23, generator=torch.Generator().manual_seed(1))
    renamed = SparseAdjacency(new_name[adjacency.edge_index], 23)
    x_renamed, grad_renamed = torch.empty_like(x), torch.empty_like(grad)
    x_renamed[:, new_name], grad_renamed[:, new_name] = x, grad
    before = run(backend, adjacency, reduce, x, weight, grad)
    after = run(backend, renamed, reduce, x_renamed, weight, grad_renamed)
    torch.testing.assert_close(after.y[:, new_name], before.y)
    torch.testing.assert_close(after.grad_x[:, new_name], before.grad_x)
    torch.testing.assert_close(after.grad_weight, before.grad_weight)


@pytest.mark.parametrize("backend", ["reference", *BACKENDS])
def test_direction_and_edge_order_matter(backend: str) -> None:
    adjacency = random_graph(23, 90, seed=5)
    reversed_edges = SparseAdjacency(adjacency.edge_index.flip(0), 23)
    x, weight, _ = inputs(adjacency, (2, 23, 5), per_channel=False, dtype=torch.float32)
    with ops.backend(backend):
        y = ops.aggregate(x, weight, adjacency)
        assert not torch.allclose(y, ops.aggregate(x, weight, reversed_edges))
        assert not torch.allclose(y, ops.aggregate(x, weight.flip(0), adjacency))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reduce", REDUCES)
def test_an_unwanted_gradient_is_not_computed(backend: str, reduce: str) -> None:
    adjacency = graph("worm-like")
    x, weight, grad = inputs(adjacency, (2, 23, 20), per_channel=False, dtype=torch.float64)
    both = run(backend, adjacency, reduce, x, weight, grad)
    for wanted, expected in ((x, both.grad_x), (weight, both.grad_weight)):
        wanted.requires_grad_()
        with ops.backend(backend):
            (found,) = torch.autograd.grad(ops.aggregate(x, weight, adjacency, reduce), wanted, grad)
        wanted.requires_grad_(False)
        torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("backend", ["reference", *BACKENDS])
@pytest.mark.parametrize("shape", [(0, 23, 4), (2, 23, 0), (2, 23, 3, 0)])
def test_empty_states_give_empty_results(backend: str, shape: tuple[int, ...]) -> None:
    adjacency = graph("worm-like")
    for reduce in REDUCES:
        result = run(backend, adjacency, reduce, torch.ones(shape), torch.ones(90), torch.ones(shape))
        assert result.y.shape == shape
        assert result.grad_weight.abs().sum() == 0
