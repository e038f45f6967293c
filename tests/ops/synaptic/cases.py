"""Inputs and the comparison that the tests of the synaptic convolution share."""

from __future__ import annotations

import os

import torch
from torch import Tensor, nn

from elegans_gnn import ops
from elegans_gnn.sparse import SparseAdjacency
from tests.ops.cases import Result

# The GPU kernels run on the CPU in processes of their own, see test_triton.py.
BACKENDS = ("triton",) if os.environ.get("TRITON_INTERPRET") == "1" else ("torch", "native")

# One pixel, odd and even, one and several images a vector, one and several vectors a row, one and several tiles a map.
SIZES = ((1, 1), (5, 3), (7, 7), (14, 14), (28, 28), (3, 17), (19, 2))
KERNELS = ((1, 1), (3, 3), (5, 5), (1, 5), (3, 1), (7, 3))


class Layer(nn.Module):
    """The smallest module around the operator."""

    def __init__(self, adjacency: SparseAdjacency, *channels: int) -> None:
        super().__init__()
        self.adjacency = adjacency
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(adjacency.num_edges, *channels, 3, 3, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        return ops.synaptic_conv2d(x, self.weight, self.adjacency).tanh()


def inputs(
    adjacency: SparseAdjacency,
    batch: int,
    channels: int,
    size: tuple[int, int],
    kernel: tuple[int, int],
    *,
    per_channel: bool = False,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
) -> tuple[Tensor, Tensor, Tensor]:
    """States, filters and an incoming gradient."""
    generator = torch.Generator().manual_seed(seed)
    shape = (batch, adjacency.num_neurons, channels, *size)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    grad = torch.randn(shape, generator=generator, dtype=torch.float64)
    filters = (adjacency.num_edges, *[channels] * per_channel, *kernel)
    weight = torch.randn(filters, generator=generator, dtype=torch.float64)
    return x.to(dtype), weight.to(dtype), grad.to(dtype)


def run(backend: str, adjacency: SparseAdjacency, x: Tensor, weight: Tensor, grad: Tensor) -> Result:
    """Output and both gradients, on exactly these tensors: a clone might have another layout."""
    x, weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
    with ops.backend(backend):
        y = ops.synaptic_conv2d(x, weight, adjacency)
    return Result(y.detach(), *torch.autograd.grad(y, (x, weight), grad))
