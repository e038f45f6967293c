"""The contract of the aggregation: schema, fake, dispatch and FLOPs of the two raw operators.

    elegans_gnn::aggregate_forward    x [B, N, C, K], weight [E, 1 or C] -> y like x, winner (max: int32; else empty)
    elegans_gnn::aggregate_backward   the same and grad_y -> grad_x, grad_weight (one that is not needed is empty)

They are registered through the low-level `Library`, because the Python wrapper `custom_op` costs 10 microseconds more a
call. They carry no autograd formula: `aggregate()` wraps them in an autograd.Function. Arguments are trusted here; the
public function has validated them. `backend` is an argument of the schema, so the backward pass uses the backend of the
forward pass, in any thread or context.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from elegans_gnn.errors import invalid
from elegans_gnn.ops import _backends
from elegans_gnn.ops.reference import Graph, Pair, Problem

LIBRARY = torch.library.Library("elegans_gnn", "DEF")
GRAPH = "Tensor rowptr, Tensor col, Tensor perm, Tensor colptr, Tensor row, Tensor csc_perm"


def define(schema: str, fake: Callable[..., Any], flops: Callable[..., int] | None = None) -> Any:
    """Make an operator of this schema known, with the shapes that it gives and what it costs; returns the operator.

    The formula gets the arguments with shapes in the place of tensors. FlopCounterMode then counts the operator.
    """
    LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    name = schema.partition("(")[0]
    torch.library.register_fake(f"elegans_gnn::{name}", fake, lib=LIBRARY)
    packet = getattr(torch.ops.elegans_gnn, name)
    if flops is not None:
        register_flop_formula(packet)(flops)
    return packet.default


def implement(operator: Any, kernel: Callable[..., Any]) -> None:
    """One Python kernel for CPU and CUDA: the backend decides which code runs, not the dispatch key."""
    LIBRARY.impl(operator.name().partition("::")[2], kernel, "CompositeExplicitAutograd")


def _forward_fake(x: Tensor, weight: Tensor, *rest: Any) -> Pair:
    reduce = rest[6]
    return x.new_empty(x.shape), x.new_empty(x.shape if reduce == "max" else (0,), dtype=torch.int32)


def _backward_fake(grad_y: Tensor, x: Tensor, weight: Tensor, *rest: Any) -> Pair:
    need_x, need_weight = rest[-2:]
    return x.new_empty(x.shape if need_x else (0,)), weight.new_empty(weight.shape if need_weight else (0,))


def _forward_flops(x: tuple[int, ...], weight: tuple[int, ...], *_: Any, **__: Any) -> int:
    """As for the sparse product that it is: one multiplication and one addition per edge and feature."""
    batch, _neurons, channels, features = x
    return 2 * weight[0] * batch * channels * features


def _backward_flops(grad_y: tuple[int, ...], x: tuple[int, ...], weight: tuple[int, ...], *rest: Any, **__: Any) -> int:
    need_x, need_weight = rest[-2:]
    return (bool(need_x) + bool(need_weight)) * _forward_flops(x, weight)


aggregate_forward = define(
    f"aggregate_forward(Tensor x, Tensor weight, {GRAPH}, str reduce, str backend) -> (Tensor y, Tensor winner)",
    _forward_fake,
    _forward_flops,
)
aggregate_backward = define(
    f"aggregate_backward(Tensor grad_y, Tensor x, Tensor weight, Tensor winner, {GRAPH}, str reduce, str backend, "
    "bool need_x, bool need_weight) -> (Tensor grad_x, Tensor grad_weight)",
    _backward_fake,
    _backward_flops,
)


def _forward(x: Tensor, weight: Tensor, *rest: Any) -> Pair:
    *graph, reduce, backend = rest
    if not x.numel():
        return _forward_fake(x, weight, *rest)
    return _backends.implementation(backend).forward(Problem(x, weight, Graph(*graph), reduce))


def _backward(grad_y: Tensor, x: Tensor, weight: Tensor, winner: Tensor, *rest: Any) -> Pair:
    *graph, reduce, backend, need_x, need_weight = rest
    if not x.numel():
        return x.new_empty(x.shape if need_x else (0,)), weight.new_zeros(weight.shape if need_weight else (0,))
    problem = Problem(x, weight, Graph(*graph), reduce)
    return _backends.implementation(backend).backward(problem, grad_y, winner, need_x, need_weight)


implement(aggregate_forward, _forward)
implement(aggregate_backward, _backward)


def _forward_vmap(info: Any, in_dims: tuple[Any, ...], x: Tensor, weight: Tensor, *rest: Any) -> Any:
    """A batched call is one call with more channels, each of which has weights of its own."""
    (x_dim, weight_dim, *others), size = in_dims, info.batch_size
    _refuse_batched_graphs(others[:6])
    y, winner = aggregate_forward(_in_channels(x, x_dim, size, 2), _in_channels(weight, weight_dim, size, 1), *rest)
    y = y.unflatten(2, (size, -1))
    return (y, winner.view_as(y) if winner.numel() else winner), (2, 2 if winner.numel() else None)


def _backward_vmap(
    info: Any, in_dims: tuple[Any, ...], grad_y: Tensor, x: Tensor, weight: Tensor, winner: Tensor, *rest: Any
) -> Any:
    (grad_dim, x_dim, weight_dim, winner_dim, *others), size = in_dims, info.batch_size
    _refuse_batched_graphs(others[:6])
    if winner.numel():
        winner = _in_channels(winner, winner_dim, size, 2)
    grad_x, grad_weight = aggregate_backward(
        _in_channels(grad_y, grad_dim, size, 2), _in_channels(x, x_dim, size, 2),
        _in_channels(weight, weight_dim, size, 1), winner, *rest,
    )  # fmt: skip
    need_x, need_weight = rest[-2:]
    grad_x = grad_x.unflatten(2, (size, -1)) if need_x else grad_x
    grad_weight = grad_weight.unflatten(1, (size, -1)) if need_weight else grad_weight
    return (grad_x, grad_weight), (2 if need_x else None, 1 if need_weight else None)


def _in_channels(tensor: Tensor, dim: int | None, size: int, channels: int) -> Tensor:
    """The tensor with vmap's axis folded into its axis of channels."""
    moved = tensor.unsqueeze(channels) if dim is None else tensor.movedim(dim, channels)
    shape = list(moved.shape)
    shape[channels] = size
    return moved.expand(shape).flatten(channels, channels + 1).contiguous()


def _refuse_batched_graphs(dims: list[int | None]) -> None:
    if any(dim is not None for dim in dims):
        raise invalid("adjacency", "the same for all under vmap", "a batch of graphs", "call it once per graph")


torch.library.register_vmap(aggregate_forward, _forward_vmap, lib=LIBRARY)
torch.library.register_vmap(aggregate_backward, _backward_vmap, lib=LIBRARY)


def plain(*tensors: Tensor) -> bool:
    """Whether only the kernel wants to see this call: then it may run without the dispatcher, 3 microseconds sooner.

    False where a mode, a transform, a tracer or the profiler is on, or a tensor is of a subclass or has a lazy sign.
    """
    for tensor in tensors:
        if type(tensor) not in _PLAIN_TYPES or tensor.is_neg() or tensor._is_zerotensor():
            return False
    return not (
        torch._C._len_torch_dispatch_stack()
        or torch._C._are_functorch_transforms_active()
        or torch._C._get_tracing_state()
        or torch.autograd._profiler_enabled()
    )


_PLAIN_TYPES = (Tensor, torch.nn.Parameter)
