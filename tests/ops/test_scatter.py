"""The torch_scatter backend: equal where that library defines a result, refused elsewhere (pytest -m scatter)."""

from __future__ import annotations

import sys

import pytest
import torch

from elegans_gnn import ops
from elegans_gnn.sparse import SparseAdjacency
from tests.ops.cases import GRAPHS, REDUCES, assert_rounded_once, assert_same, graph, inputs, run


@pytest.mark.scatter
@pytest.mark.parametrize("name", [*GRAPHS, "worm-like"])
@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize(("features", "per_channel"), [((5,), False), ((5,), True), ((3, 4), False), ((3, 4), True)])
def test_equals_the_reference(name: str, reduce: str, features: tuple[int, ...], per_channel: bool) -> None:
    adjacency = graph(name)
    shape = (3, adjacency.num_neurons, *features)
    x, weight, grad = inputs(adjacency, shape, per_channel=per_channel, dtype=torch.float64)
    x = torch.where(x == 0, 0.5, x) if reduce == "mul" else x
    case = x, weight, grad
    expected = run("reference", adjacency, reduce, *case)
    assert_same(run("torch_scatter", adjacency, reduce, *case), expected, rounding=1e-12)


@pytest.mark.scatter
@pytest.mark.parametrize("reduce", ["sum", "mean", "max"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("float_weight", [False, True])
def test_lower_precision_is_rounded_once(reduce: str, dtype: torch.dtype, float_weight: bool) -> None:
    adjacency = graph("worm-like")
    x, weight, grad = inputs(adjacency, (3, 23, 5), per_channel=False, dtype=dtype)
    weight = weight.float() if float_weight else weight
    found = run("torch_scatter", adjacency, reduce, x, weight, grad)
    exact = run("reference", adjacency, reduce, x.double(), weight.double(), grad.double())
    for a, b in zip(found, exact, strict=True):
        assert_rounded_once(a, b)


@pytest.mark.scatter
def test_among_equal_maxima_the_first_edge_gets_the_gradient() -> None:
    adjacency = SparseAdjacency(torch.tensor([[0, 2, 1], [1, 1, 1]]), 3)
    result = run(
        "torch_scatter", adjacency, "max", torch.tensor([[1.0], [4.0], [4.0]]), torch.ones(3), torch.ones(3, 1)
    )
    assert result.grad_weight.tolist() == [0, 4, 0]


@pytest.mark.scatter
def test_what_torch_scatter_does_not_define_is_refused() -> None:
    adjacency = graph("chain")
    x = torch.zeros(5, 2, requires_grad=True)
    with ops.backend("torch_scatter"):
        y = ops.aggregate(x, torch.ones(4), adjacency, "mul")
        with pytest.raises(ValueError, match="without zero messages for torch_scatter's mul, got zeros; use backend"):
            y.sum().backward()
        with pytest.raises(ValueError, match="free of NaN for max in torch_scatter"):
            ops.aggregate(torch.full((5, 2), float("nan")), torch.ones(4), adjacency, "max")


def test_without_the_extra_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_scatter", None)
    monkeypatch.delitem(ops._backends._loaded, "torch_scatter", raising=False)
    monkeypatch.delitem(sys.modules, "elegans_gnn.ops.scatter_backend", raising=False)
    with pytest.raises(ImportError, match=r"elegans_gnn\[scatter\]"), ops.backend("torch_scatter"):
        pass
