"""The public synaptic convolution: validates once, and is differentiable."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from elegans_gnn._shapes import Float
from elegans_gnn.ops import _backends
from elegans_gnn.ops.synaptic import contract
from elegans_gnn.sparse import SparseAdjacency


def synaptic_conv2d(
    x: Float[Tensor, "batch neuron channel height width"],
    weight: Float[Tensor, "edge kernel_height kernel_width"] | Float[Tensor, "edge channel kernel_height kernel_width"],
    adjacency: SparseAdjacency,
) -> Float[Tensor, "batch neuron channel height width"]:
    """Convolve, at each neuron, the maps of its presynaptic neurons with one filter per synapse, and add them up.

        y[b, v, c, p] = sum over edges e = (u -> v) and taps t of  weight[e, c, t] * x[b, u, c, p + offset_t]

    A cross-correlation, as in torch's convolutions, with zeros around each map and maps of the same size as result. It
    equals a dense convolution over the neurons whose filters are zero where there is no edge, at E / N^2 of its work.
    A neuron without incoming edges gets 0. NaN and infinity propagate; a gradient that is not finite may spread to all
    taps of its edges. No tensor with an edge axis times a feature axis is formed. Half-precision states are summed in
    float32 and rounded once. Results do not depend on the number of threads.

    Args:
        x: the states, [B, N, C, H, W].
        weight: one filter per edge [E, kh, kw], which all channels share, or per edge and channel [E, C, kh, kw]; odd
            sides; in the order of `adjacency.edge_index`. Same dtype as x, or float32 beside half-precision x.
        adjacency: the edges; on the device of x.

    Returns:
        A tensor like x. Gradients flow to x and to weight, once (no double backward).

    Raises:
        ValueError: a shape, dtype or device outside the above, or a backend that has no such operator.
    """
    contract.validate(x, weight, adjacency)
    backend = _backends.resolve(x.device)
    if backend not in contract.BACKENDS:
        contract.implementation(backend)
    filters = weight if weight.dim() == 4 else weight.unsqueeze(1)
    y: Tensor = _Synaptic.apply(
        x, filters, adjacency.rowptr, adjacency.col, adjacency.perm, adjacency.colptr, adjacency.row,
        adjacency.csc_perm, backend,
    )  # fmt: skip
    return y


class _Synaptic(torch.autograd.Function):
    """Ties the two raw operators together, in eager mode, under torch.func transforms and torch.compile."""

    @staticmethod
    def forward(
        x: Tensor,
        weight: Tensor,
        rowptr: Tensor,
        col: Tensor,
        perm: Tensor,
        colptr: Tensor,
        row: Tensor,
        csc_perm: Tensor,
        backend: str,
    ) -> Tensor:
        y: Tensor = contract.synaptic_forward(x, weight, rowptr, col, perm, colptr, row, csc_perm, backend)
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.backend = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, *graph = ctx.saved_tensors
        need_x, need_weight = ctx.needs_input_grad[:2]
        grad_x, grad_weight = contract.synaptic_backward(grad_y, x, weight, *graph, ctx.backend, need_x, need_weight)
        return grad_x if need_x else None, grad_weight if need_weight else None, *[None] * 7
