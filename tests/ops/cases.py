"""Graphs, inputs and the comparison that the operator tests share."""

from __future__ import annotations

import os
from typing import NamedTuple

import torch
from torch import Tensor

from elegans_gnn import ops
from elegans_gnn.ops import codes
from elegans_gnn.sparse import SparseAdjacency

REDUCES = codes.REDUCES

# The GPU kernels run on the CPU in processes of their own, see test_triton.py.
BACKENDS = ("triton",) if os.environ.get("TRITON_INTERPRET") == "1" else ("torch", "native")

# name -> (neurons, sources, targets); neuron 0 of "worm-like" receives nothing, its last neuron is isolated.
GRAPHS = {
    "no edges": (3, [], []),
    "one neuron": (1, [0, 0], [0, 0]),
    "self-loops and duplicates": (4, [1, 1, 1, 2, 0, 1], [1, 1, 2, 2, 2, 2]),
    "chain": (5, [0, 1, 2, 3], [1, 2, 3, 4]),
}

# Odd and even, one feature, fewer and more than a vector, and more than a strip of 64.
FEATURES = ((1,), (5,), (16,), (33,), (130,), (3, 4), (2, 16), (2, 3, 3), (20, 1))


class Result(NamedTuple):
    y: Tensor
    grad_x: Tensor
    grad_weight: Tensor


def graph(name: str) -> SparseAdjacency:
    if name == "worm-like":
        return random_graph(23, 90, seed=0)
    neurons, sources, targets = GRAPHS[name]
    return SparseAdjacency(torch.tensor([sources, targets], dtype=torch.int64), neurons)


def random_graph(neurons: int, edges: int, seed: int) -> SparseAdjacency:
    """Random edges in no order, with duplicates; the last neuron is isolated and neuron 0 has no input."""
    generator = torch.Generator().manual_seed(seed)
    sources = torch.randint(0, neurons - 1, (edges,), generator=generator)
    targets = torch.randint(1, neurons - 1, (edges,), generator=generator)
    return SparseAdjacency(torch.stack([sources, targets]), neurons)


def inputs(
    adjacency: SparseAdjacency, shape: tuple[int, ...], *, per_channel: bool, dtype: torch.dtype, seed: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """States, weights and an incoming gradient; some messages are exactly zero and some tie."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    grad = torch.randn(shape, generator=generator, dtype=torch.float64)
    weight = torch.randn(adjacency.num_edges, *shape[2:3] * per_channel, generator=generator, dtype=torch.float64)
    x[torch.rand(shape, generator=generator) < 0.1] = 0.0
    ties = torch.rand(shape, generator=generator) < 0.1
    x[ties] = x[ties].round()
    return x.to(dtype), weight.to(dtype), grad.to(dtype)


def run(backend: str, adjacency: SparseAdjacency, reduce: str, x: Tensor, weight: Tensor, grad: Tensor) -> Result:
    """Output and both gradients."""
    x, weight = x.detach().clone().requires_grad_(), weight.detach().clone().requires_grad_()
    with ops.backend(backend):
        y = ops.aggregate(x, weight, adjacency, reduce)
    y.backward(grad)
    assert x.grad is not None
    assert weight.grad is not None
    return Result(y.detach(), x.grad, weight.grad)


def assert_same(found: Result, expected: Result, *, rounding: float) -> None:
    """Equal up to `rounding` of the largest value: sums of a few dozen terms lose no more than a few ulps of it."""
    for name, a, b in zip(Result._fields, found, expected, strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape), name
        scale = float(b.double().nan_to_num(posinf=0, neginf=0).abs().max()) if b.numel() else 0.0
        torch.testing.assert_close(
            a,
            b,
            rtol=rounding,
            atol=rounding * max(scale, 1.0),
            equal_nan=True,
            msg=lambda text, name=name: f"{name}: {text}",
        )


def assert_rounded_once(found: Tensor, exact: Tensor) -> None:
    """`found` is the exact value after float32 arithmetic and one rounding to its own dtype."""
    scale = float(exact.abs().max()) if exact.numel() else 0.0
    bound = torch.finfo(found.dtype).eps / 2 * exact.abs() + 64 * torch.finfo(torch.float32).eps * scale
    smallest = torch.finfo(found.dtype).smallest_normal * torch.finfo(found.dtype).eps
    assert bool(((found.double() - exact).abs() <= bound + smallest).all())
