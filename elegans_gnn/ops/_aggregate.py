"""The public aggregation: validates once, brings arguments into the raw operators' shapes, and is differentiable."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.autograd.function import once_differentiable

from elegans_gnn._shapes import Float
from elegans_gnn.errors import invalid, unknown_name
from elegans_gnn.ops import _backends, _contract
from elegans_gnn.ops.codes import REDUCES
from elegans_gnn.ops.reference import Graph, Pair, Problem
from elegans_gnn.sparse import SparseAdjacency

_DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_HALF = (torch.float16, torch.bfloat16)


def aggregate(
    x: Float[Tensor, "*batch neuron feature"] | Float[Tensor, "batch neuron *feature"],
    weight: Float[Tensor, " edge"] | Float[Tensor, "edge channel"],
    adjacency: SparseAdjacency,
    reduce: str = "sum",
) -> Float[Tensor, "..."]:
    """Combine, at each neuron, the weighted states of its presynaptic neurons.

        y[b, v, c, k] = reduce over edges e = (u -> v) of  weight[e, c] * x[b, u, c, k]

    A neuron without incoming edges gets 0 (mul: 1). `mean` divides by the in-degree. `max` sends its gradient to the
    first winning edge in CSR order. NaN propagates. No tensor with an edge axis times a feature axis is formed.
    Half-precision states are summed in float32. Results do not depend on the number of threads.

    Args:
        x: the states, [B, N, *feature] with any number of feature axes, or [N, F].
        weight: one weight per edge [E], or per edge and channel [E, C] with C the first feature axis; in the order of
            `adjacency.edge_index`. Same dtype as x, or float32 with half-precision x.
        adjacency: the edges; on the device of x.
        reduce: "sum", "mean", "mul" or "max".

    Returns:
        A tensor like x. Gradients flow to x and to weight, once (no double backward).

    Raises:
        ValueError: a shape, dtype or device outside the above.
    """
    _validate(x, weight, adjacency, reduce)
    graph = Graph(adjacency.rowptr, adjacency.col, adjacency.perm, adjacency.colptr, adjacency.row, adjacency.csc_perm)
    backend = _backends.resolve_backend(x)
    compiling = torch.compiler.is_compiling()
    if compiling or torch._C._are_functorch_transforms_active():
        # Dynamo cannot trace the forward pass of an autograd.Function with setup_context while gradients are off.
        plain = compiling and not torch.is_grad_enabled()
        run = _contract.aggregate_forward if plain else _Transformable.apply
        y, _ = run(*_raw(x, weight), *graph, reduce, backend)
        return y.view(x.shape)
    wanted = torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad)
    # Inside a dual_level too, where torch then refuses tangents instead of losing them.
    if wanted or forward_ad._current_level >= 0:
        return _Eager.apply(x, weight, (graph, reduce, backend))
    return _eager_forward(x, weight, (graph, reduce, backend))[0]


def _raw(x: Tensor, weight: Tensor) -> Pair:
    """The raw operators' shapes: [B, N, C, K] and [E, C], with C = 1 where the channels share a weight."""
    batched = x if x.dim() > 2 else x.unsqueeze(0)
    if weight.dim() == 1:
        return batched.flatten(2).unsqueeze(2), weight.unsqueeze(1)
    return batched.flatten(3) if batched.dim() > 3 else batched.unsqueeze(3), weight


# The index tensors, the reduce and the backend of a call.
_Call = tuple[Graph, str, str]


def _direct(backend: str, *tensors: Tensor) -> bool:
    """Whether the native kernels may take the tensors as they are: without views and dispatcher, a quarter of the
    time of a small call.
    """
    whole = backend == "native" and tensors[0].numel() > 0 and all(map(Tensor.is_contiguous, tensors))
    return whole and _contract.plain(*tensors)


def _eager_forward(x: Tensor, weight: Tensor, call: _Call) -> Pair:
    graph, reduce, backend = call
    if _direct(backend, x, weight):
        return _backends.implementation(backend).forward(Problem(x, weight, graph, reduce))
    y, winner = _contract.aggregate_forward(*_raw(x, weight), *graph, reduce, backend)
    return y.view(x.shape), winner


class _Eager(torch.autograd.Function):
    """Ties the two raw operators together in eager mode, with one node in the autograd graph.

    The separate `setup_context` of `_Transformable` costs 40 microseconds a call, as much as a small graph.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, call: _Call) -> Tensor:
        y, winner = _eager_forward(x, weight, call)
        # The inputs themselves, not views of them: only so is a later change in place noticed.
        ctx.save_for_backward(x, weight, winner)
        ctx.call = call
        return y

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
        # Grad mode is on here only under create_graph; the check for second derivatives costs 5 microseconds.
        return _eager_gradients_once(ctx, grad_y) if torch.is_grad_enabled() else _eager_gradients(ctx, grad_y)


def _eager_gradients(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, winner = ctx.saved_tensors
    need_x, need_weight, _ = ctx.needs_input_grad
    graph, reduce, backend = ctx.call
    if _direct(backend, grad_y, x, weight):
        problem = Problem(x, weight, graph, reduce)
        grad_x, grad_weight = _backends.implementation(backend).backward(problem, grad_y, winner, need_x, need_weight)
        return grad_x if need_x else None, grad_weight if need_weight else None, None
    states, weights = _raw(x, weight)
    grad_x, grad_weight = _contract.aggregate_backward(
        grad_y.reshape(states.shape), states, weights, winner.view(states.shape) if reduce == "max" else winner,
        *graph, reduce, backend, need_x, need_weight,
    )  # fmt: skip
    return grad_x.view(x.shape) if need_x else None, grad_weight.view(weight.shape) if need_weight else None, None


_eager_gradients_once = once_differentiable(_eager_gradients)


class _Transformable(torch.autograd.Function):
    """The same for torch.func transforms and torch.compile, which need a `setup_context` and see tensors only."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weight: Tensor, *rest: Any) -> Pair:
        y, winner = _contract.aggregate_forward(x, weight, *rest)
        return y, winner

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        *tensors, ctx.reduce, ctx.backend = inputs
        ctx.save_for_backward(*tensors, output[1])
        ctx.mark_non_differentiable(output[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, *graph, winner = ctx.saved_tensors
        need_x, need_weight = ctx.needs_input_grad[:2]
        grad_x, grad_weight = _contract.aggregate_backward(
            grad_y, x, weight, winner, *graph, ctx.reduce, ctx.backend, need_x, need_weight
        )
        return grad_x if need_x else None, grad_weight if need_weight else None, *[None] * 8


def _validate(x: Tensor, weight: Tensor, adjacency: SparseAdjacency, reduce: str) -> None:
    """Refuse what the contract does not allow."""
    if reduce not in REDUCES:
        raise unknown_name("reduce", reduce, REDUCES)
    check_adjacency(adjacency)
    neurons, edges = adjacency.num_neurons, adjacency.num_edges
    if x.dim() < 2:
        raise invalid("x", "[B, N, *feature] or [N, F]", list(x.shape), "add the missing axes")
    neuron_axis = 0 if x.dim() == 2 else 1
    if x.shape[neuron_axis] != neurons:
        expected = f"of size {neurons} (the neurons) on axis {neuron_axis}"
        raise invalid("x", expected, list(x.shape), "pass states as [B, N, *feature] or [N, F]")
    channels = x.shape[neuron_axis + 1]
    if weight.dim() not in (1, 2) or weight.shape[0] != edges or (weight.dim() == 2 and weight.shape[1] != channels):
        expected = f"of shape [{edges}] (one per edge) or [{edges}, {channels}] (per edge and channel)"
        raise invalid("weight", expected, list(weight.shape), "take the order from adjacency.edge_index")
    validate_types(x, weight, adjacency)


def check_adjacency(adjacency: object) -> None:
    """Refuse other forms of a graph, by the name of what converts them."""
    if not isinstance(adjacency, SparseAdjacency):
        remedy = "pass SparseAdjacency.from_connectome(connectome), or SparseAdjacency(edge_index, num_neurons)"
        raise invalid("adjacency", "a SparseAdjacency", type(adjacency).__name__, remedy)


def validate_types(x: Tensor, weight: Tensor, adjacency: SparseAdjacency) -> None:
    """Refuse dtypes and devices that no operator on states and edge weights takes."""
    if x.dtype not in _DTYPES:
        raise invalid("x", "float32, float64, float16 or bfloat16", x.dtype, "convert it with x.to(torch.float32)")
    if weight.dtype != x.dtype and not (weight.dtype == torch.float32 and x.dtype in _HALF):
        wanted = f"{x.dtype} like x" + (" or torch.float32" if x.dtype in _HALF else "")
        raise invalid("weight", wanted, weight.dtype, "convert the one or the other with .to(dtype)")
    if not x.device == weight.device == adjacency.device:
        got = f"x on {x.device}, weight on {weight.device}, adjacency on {adjacency.device}"
        raise invalid("x, weight and adjacency", "on one device", got, "move them with .to(x.device)")
