"""Attention of a few queries over the same states, which are keys and values at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from elegans_gnn._shapes import Float
from elegans_gnn.nn.tensor_network._memory import buffer


def attend(
    queries: Float[Tensor, "row query feature"], states: Float[Tensor, "row neuron feature"], scale: float
) -> Float[Tensor, "row query feature"]:
    """sum over m of softmax_m(scale q . s_m) s_m for each query q."""
    listened = torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
    if listened or torch.is_autocast_enabled(states.device.type) or not torch.is_grad_enabled():
        return _forward(queries, states, scale)[0]
    return _Attend.apply(queries, states, scale)


def _forward(queries: Tensor, states: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    # With beta 0 the first argument only lends its type.
    score = torch.baddbmm(states.new_empty(1, 1, 1), queries, states.transpose(1, 2), beta=0, alpha=scale)
    share = torch.softmax(score, -1)
    return torch.bmm(share, states), share


class _Attend(torch.autograd.Function):
    """States get a gradient as values and one as keys: here both come out of one product and are written once."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, states: Tensor, scale: float) -> Tensor:
        mean, share = _forward(queries, states, scale)
        ctx.save_for_backward(queries, states, share)
        ctx.scale = scale
        return mean

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        queries, states, share = ctx.saved_tensors
        grad_share = torch.bmm(grad, states.transpose(1, 2))
        grad_score = torch._softmax_backward_data(grad_share, share, -1, share.dtype).mul_(ctx.scale)
        parts, directions = torch.cat([share, grad_score], 1), torch.cat([grad, queries], 1)
        grad_states = torch.bmm(parts.transpose(1, 2), directions, out=buffer(states, states.shape))
        return torch.bmm(grad_score, states), grad_states, None
