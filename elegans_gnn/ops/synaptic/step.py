"""One step of a network of synaptic convolutions: normalise, activate, convolve, add to what was there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from elegans_gnn._shapes import Float
from elegans_gnn.errors import invalid, unknown_name
from elegans_gnn.ops._backends import resolve_backend
from elegans_gnn.ops._contract import implement
from elegans_gnn.ops.reference import Graph, accumulation_dtype
from elegans_gnn.ops.synaptic.contract import STEP, step_backward, step_forward
from elegans_gnn.ops.synaptic.synaptic import check, synaptic_conv2d
from elegans_gnn.sparse import SparseAdjacency

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "relu": F.relu, "silu": F.silu}


def synaptic_step(
    x: Float[Tensor, "batch neuron channel height width"],
    weight: Float[Tensor, "edge kernel_height kernel_width"] | Float[Tensor, "edge channel kernel_height kernel_width"],
    adjacency: SparseAdjacency,
    scale: Float[Tensor, "neuron channel"],
    shift: Float[Tensor, "neuron channel"],
    leak: Float[Tensor, "neuron"] | None = None,
    *,
    activation: str = "relu",
    eps: float = 1e-5,
) -> Float[Tensor, "batch neuron channel height width"]:
    """A residual step, y = leak * x + synaptic_conv2d(act(scale * norm(x) + shift), weight, adjacency).

    norm takes each map of each neuron and sample to mean 0 and variance 1 over its pixels:
    (x - mean) / sqrt(variance + eps).

    On the native backend one operator does it all while a block of images is in a core's cache, and its backward pass
    computes norm and activation again: a step keeps nothing but its inputs. Other backends compose it, see
    :func:`composed_step`. Results do not depend on the number of threads.

    Args:
        x: the states, [B, N, C, H, W].
        weight: the filters of the synapses, see :func:`synaptic_conv2d`.
        adjacency: the edges.
        scale, shift: [N, C], applied after the norm.
        leak: [N], the share of its own state that a neuron keeps; None: all of it.
        activation: ``"relu"``, ``"gelu"`` (with the error function) or ``"silu"``.
        eps: added to the variance.

    Returns:
        A tensor like x. Gradients flow to x, weight, scale, shift and leak, once (no double backward).

    Raises:
        ValueError: a shape, dtype or device outside the above, no such activation, or an eps that is not positive.
    """
    check(x, weight, adjacency)
    _check_parameters(x, scale, shift, leak, activation, eps)
    if resolve_backend(x, STEP) != "native":
        return composed_step(x, weight, adjacency, scale, shift, leak, activation=activation, eps=eps)
    wide = accumulation_dtype(x.dtype)
    filters = weight if weight.dim() == 4 else weight.unsqueeze(1)
    y: Tensor = _Step.apply(
        x, filters, scale.to(wide), shift.to(wide), None if leak is None else leak.to(wide),
        *(adjacency.rowptr, adjacency.col, adjacency.perm, adjacency.colptr, adjacency.row, adjacency.csc_perm),
        activation, eps,
    )  # fmt: skip
    return y


def composed_step(
    x: Tensor,
    weight: Tensor,
    adjacency: SparseAdjacency,
    scale: Tensor,
    shift: Tensor,
    leak: Tensor | None = None,
    *,
    activation: str = "relu",
    eps: float = 1e-5,
) -> Tensor:
    """The same out of torch's norm and activation and :func:`synaptic_conv2d`: the reference of the fused operator.

    Half-precision states are rounded after each part.
    """
    maps = normalised(x, scale, shift, activation, eps)
    return kept(x, leak) + synaptic_conv2d(maps, weight, adjacency)


def normalised(x: Tensor, scale: Tensor, shift: Tensor, activation: str, eps: float) -> Tensor:
    """act(scale * norm(x) + shift), like x."""
    neurons, channels = x.shape[1:3]
    scale, shift = scale.reshape(-1).to(x.dtype), shift.reshape(-1).to(x.dtype)
    # Not torch.nn.functional's, which refuses a single pixel.
    maps = torch.group_norm(x.flatten(1, 2), neurons * channels, scale, shift, eps)
    return ACTIVATIONS[activation](maps).view_as(x)


def kept(x: Tensor, leak: Tensor | None) -> Tensor:
    """leak * x."""
    return x if leak is None else x * leak.to(x.dtype).view(-1, 1, 1, 1)


class _Step(torch.autograd.Function):
    """Ties the two raw operators together, in eager mode, under torch.func transforms and torch.compile."""

    @staticmethod
    def forward(x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
        y: Tensor = step_forward(x, weight, *rest)
        return y

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        *tensors, ctx.activation, ctx.eps = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor | None, ...]:
        need_x, need_weight, need_scale, need_shift, need_leak = needs = ctx.needs_input_grad[:5]
        found = step_backward(
            grad_y,
            *ctx.saved_tensors,
            ctx.activation,
            ctx.eps,
            need_x,
            need_weight,
            need_scale or need_shift,
            need_leak,
        )
        return *[grad if need else None for grad, need in zip(found, needs, strict=True)], *[None] * 8


def _forward(x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    from elegans_gnn.ops.synaptic import native

    scale, shift, leak, *graph, activation, eps = rest
    if not x.numel():
        return x.new_empty(x.shape)
    return native.forward(x, weight, Graph(*graph), native.StepArguments(scale, shift, leak, activation, eps))


def _backward(grad_y: Tensor, x: Tensor, weight: Tensor, *rest: Any) -> tuple[Tensor, ...]:
    from elegans_gnn.ops.synaptic import native

    scale, shift, leak, *graph, activation, eps, need_x, need_weight, need_affine, need_leak = rest
    if not x.numel():
        grad_x, affine = x.new_empty(x.shape if need_x else (0,)), scale.shape if need_affine else (0,)
        return (
            grad_x, weight.new_zeros(weight.shape if need_weight else (0,)),
            scale.new_zeros(affine), scale.new_zeros(affine), scale.new_zeros(scale.shape[:1] if need_leak else (0,)),
        )  # fmt: skip
    step = native.StepArguments(scale, shift, leak, activation, eps)
    needs = (need_x, need_weight, need_affine, need_leak)
    return native.step_backward(grad_y, x, weight, Graph(*graph), step, needs)


implement(step_forward, _forward)
implement(step_backward, _backward)


def _check_parameters(
    x: Tensor, scale: Tensor, shift: Tensor, leak: Tensor | None, activation: str, eps: float
) -> None:
    """Refuse what the contract does not allow."""
    if activation not in ACTIVATIONS:
        raise unknown_name("activation", activation, ACTIVATIONS)
    if not eps > 0:
        raise invalid("eps", "positive", eps, "use 1e-5: without it a map without variance has no norm")
    neurons, channels = x.shape[1:3]
    for name, parameter, shape, axes in (
        ("scale", scale, (neurons, channels), "[N, C]"),
        ("shift", shift, (neurons, channels), "[N, C]"),
        ("leak", leak, (neurons,), "[N]"),
    ):
        if parameter is None:
            continue
        if parameter.shape != shape:
            remedy = "one number per neuron" + " and channel" * (len(shape) == 2)
            raise invalid(name, f"{axes}, here {list(shape)}", list(parameter.shape), f"pass {remedy}")
        if parameter.dtype not in (x.dtype, accumulation_dtype(x.dtype)):
            wanted = " or ".join(dict.fromkeys((str(x.dtype), str(accumulation_dtype(x.dtype)))))
            raise invalid(name, wanted, parameter.dtype, "convert it with .to(dtype)")
        if parameter.device != x.device:
            raise invalid(name, f"on {x.device} like x", parameter.device, "move it with .to(x.device)")
