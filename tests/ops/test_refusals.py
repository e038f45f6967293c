"""Wrong input: which argument, what was expected, what came, what to do."""

from __future__ import annotations

import pytest
import torch

from elegans_gnn import ops
from elegans_gnn.sparse import SparseAdjacency

ADJACENCY = SparseAdjacency(torch.tensor([[0, 1, 2], [1, 2, 0]]), 3)
X = torch.ones(2, 3, 4)
W = torch.ones(3)


@pytest.mark.parametrize(
    ("x", "weight", "message"),
    [
        (torch.ones(2, 5, 4), W, r"x must be of size 3 \(the neurons\) on axis 1, got \[2, 5, 4\]; pass states as"),
        (torch.ones(4, 4), W, r"x must be of size 3 \(the neurons\) on axis 0, got \[4, 4\]"),
        (torch.ones(3), W, r"x must be \[B, N, \*feature\] or \[N, F\], got \[3\]"),
        (
            X,
            torch.ones(4),
            r"weight must be of shape \[3\] \(one per edge\) or \[3, 4\] .* got \[4\]; take the order from",
        ),
        (X, torch.ones(3, 5), r"weight must be of shape \[3\] .*, got \[3, 5\]"),
        (X, torch.ones(3, 4, 1), r"weight must be .*, got \[3, 4, 1\]"),
        (X.int(), W, "x must be float32, float64, float16 or bfloat16, got torch.int32"),
        (X, W.double(), "weight must be torch.float32 like x, got torch.float64"),
        (X.double(), W, "weight must be torch.float64 like x, got torch.float32"),
        (X, W.half(), "weight must be torch.float32 like x, got torch.float16"),
        (X.half(), W.bfloat16(), "weight must be torch.float16 like x or torch.float32, got torch.bfloat16"),
        (
            X.to("meta"),
            W,
            "x, weight and adjacency must be on one device, got x on meta, weight on cpu, adjacency on cpu",
        ),
    ],
)
def test_wrong_tensors(x: torch.Tensor, weight: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ops.aggregate(x, weight, ADJACENCY)


def test_an_unknown_reduce_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="reduce must be one of sum, mean, mul, max, got 'man'; did you mean 'mean'"):
        ops.aggregate(X, W, ADJACENCY, "man")


def test_an_unknown_backend_names_the_nearest() -> None:
    with pytest.raises(ValueError, match="backend must be one of .*; did you mean 'native'"), ops.backend("nativ"):
        pass


def test_second_derivatives_and_jvp_are_refused() -> None:
    x = X.clone().requires_grad_()
    y = ops.aggregate(x, W, ADJACENCY)
    (grad,) = torch.autograd.grad((y * y).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()
    with pytest.raises(RuntimeError, match="jvp"):
        torch.func.jvp(lambda x: ops.aggregate(x, W, ADJACENCY), (X,), (X,))


def test_the_native_kernels_refuse_other_devices() -> None:
    """They would read addresses of another memory."""
    with (
        ops.backend("native"),
        pytest.raises(ValueError, match=r"on the CPU, for ops\.backend\('native'\), got .* meta"),
    ):
        ops.resolve_backend(torch.ones(2, device="meta"))
