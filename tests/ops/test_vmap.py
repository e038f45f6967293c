"""vmap over states, weights or both equals a loop, with every gradient."""

from __future__ import annotations

import pytest
import torch

from elegans_gnn import ops
from elegans_gnn.ops.codes import REDUCES
from elegans_gnn.sparse import SparseAdjacency

GRAPH = SparseAdjacency(torch.tensor([[0, 1, 2, 2, 0], [1, 2, 0, 1, 1]]), 4)


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("in_dims", [(0, None), (None, 0), (0, 0), (1, 1)])
def test_vmap_equals_a_loop(reduce, per_channel, in_dims) -> None:
    torch.manual_seed(0)
    shapes = ((2, 4, 3, 2), (5, 3) if per_channel else (5,))
    tensors = []
    for shape, dim in zip(shapes, in_dims, strict=True):
        batched = torch.randn(shape if dim is None else (6, *shape), dtype=torch.float64)
        tensors.append(batched if dim is None else batched.movedim(0, dim))

    def loss(x: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = ops.aggregate(x, weight, GRAPH, reduce)
        return (y * torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape)).sum(), y

    transformed = torch.func.grad(loss, argnums=(0, 1), has_aux=True)
    found = torch.vmap(transformed, in_dims)(*tensors)
    for number in range(6):
        one = [t if dim is None else t.select(dim, number) for t, dim in zip(tensors, in_dims, strict=True)]
        (grad_x, grad_weight), y = transformed(*one)
        torch.testing.assert_close(found[0][0][number], grad_x)
        torch.testing.assert_close(found[0][1][number], grad_weight)
        torch.testing.assert_close(found[1][number], y)
