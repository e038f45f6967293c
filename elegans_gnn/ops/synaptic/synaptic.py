"""The public synaptic convolution: validates once, is differentiable, and runs on the chosen backend."""

from __future__ import annotations

from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from elegans_gnn._shapes import Float
from elegans_gnn.errors import invalid
from elegans_gnn.ops._aggregate import check_adjacency, validate_types
from elegans_gnn.ops._backends import backend_module, resolve_backend
from elegans_gnn.ops._contract import implement
from elegans_gnn.ops.reference import Graph
from elegans_gnn.ops.synaptic.contract import SYNAPTIC, synaptic_backward, synaptic_forward
from elegans_gnn.sparse import SparseAdjacency


class Backend(Protocol):
    """What a backend offers; tensors are validated and in the raw operators' shapes."""

    def forward(self, x: Tensor, weight: Tensor, graph: Graph) -> Tensor: ...

    def backward(
        self, grad_y: Tensor, x: Tensor, weight: Tensor, graph: Graph, need_x: bool, need_weight: bool
    ) -> tuple[Tensor, Tensor]: ...


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
            sides; in the order of `adjacency.edge_index`. Same dtype as x, or float32 with half-precision x.
        adjacency: the edges; on the device of x.

    Returns:
        A tensor like x. Gradients flow to x and to weight, once (no double backward).

    Raises:
        ValueError: a shape, dtype or device outside the above, or a backend that has no such operator.
    """
    check(x, weight, adjacency)
    graph = Graph(adjacency.rowptr, adjacency.col, adjacency.perm, adjacency.colptr, adjacency.row, adjacency.csc_perm)
    filters = weight if weight.dim() == 4 else weight.unsqueeze(1)
    y: Tensor = _Synaptic.apply(x, filters, *graph, resolve_backend(x, SYNAPTIC))
    return y


class _Synaptic(torch.autograd.Function):
    """Ties the two raw operators together, in eager mode, under torch.func transforms and torch.compile."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
        y: Tensor = synaptic_forward(x, weight, *rest)
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
        grad_x, grad_weight = synaptic_backward(grad_y, x, weight, *graph, ctx.backend, need_x, need_weight)
        return grad_x if need_x else None, grad_weight if need_weight else None, *[None] * 7


def _implementation(name: str) -> Backend:
    return cast(Backend, backend_module(name, "elegans_gnn.ops.synaptic"))


def _forward(x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    *graph, backend = rest
    if not x.numel():
        return x.new_empty(x.shape)
    return _implementation(backend).forward(x, weight, Graph(*graph))


def _backward(grad_y: Tensor, x: Tensor, weight: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    *graph, backend, need_x, need_weight = rest
    if not x.numel():
        return x.new_empty(x.shape if need_x else (0,)), weight.new_zeros(weight.shape if need_weight else (0,))
    return _implementation(backend).backward(grad_y, x, weight, Graph(*graph), need_x, need_weight)


implement(synaptic_forward, _forward)
implement(synaptic_backward, _backward)


def check(x: Tensor, weight: Tensor, adjacency: SparseAdjacency) -> None:
    """Refuse what the contract does not allow."""
    check_adjacency(adjacency)
    neurons, edges = adjacency.num_neurons, adjacency.num_edges
    if x.dim() != 5:
        raise invalid("x", "[B, N, C, H, W]", list(x.shape), "add the missing axes, such as C with x.unsqueeze(2)")
    if x.shape[1] != neurons:
        expected = f"of size {neurons} (the neurons) on axis 1"
        raise invalid("x", expected, list(x.shape), "pass states as [B, N, C, H, W]")
    channels = x.shape[2]
    if weight.dim() not in (3, 4) or weight.shape[0] != edges or weight.shape[1:-2] not in ((), (channels,)):
        expected = f"of shape [{edges}, kh, kw] (one filter per edge) or [{edges}, {channels}, kh, kw] (and channel)"
        raise invalid("weight", expected, list(weight.shape), "take the order from adjacency.edge_index")
    if any(size % 2 == 0 for size in weight.shape[-2:]):
        remedy = "use 1, 3 or 5, so that the filter has a middle"
        raise invalid("weight", "filters with odd sides", list(weight.shape[-2:]), remedy)
    validate_types(x, weight, adjacency)
