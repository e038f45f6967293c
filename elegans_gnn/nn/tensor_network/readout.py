"""From the motor neurons' states to one output per sample: attention or pooling, then layer normalisation."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from elegans_gnn._shapes import Float
from elegans_gnn.errors import unknown_name
from elegans_gnn.ops import buffer

READOUTS = ("cross", "learned-query", "self", "self-cross", "mean", "sum", "max", "weighted")


class StateAttention(nn.Module):
    r"""Multi-head attention whose keys and values are neuron states.

    .. math:: o = W_o \, \operatorname{concat}_h \Bigl( \sum_m
        \operatorname{softmax}_m \bigl( (W^q_h q + b^q_h)^\top (W^k_h s_m) / \sqrt{d} \bigr)\,
        (W^v_h s_m + b^v_h) \Bigr) + b_o

    The keys have no bias: it would add the same to all scores of a query and drop out of the softmax. For a single
    query the projections are moved from the states to the query and to the attended mean, which is the same
    sum in another order: the weights sum to one, so the value projection can follow the weighted mean. That saves a
    factor of the number of neurons.

    Args:
        dim: F.
        num_heads, head_dim: H and d; projections are F -> H d and back.
    """

    def __init__(self, dim: int, num_heads: int, head_dim: int) -> None:
        super().__init__()
        self.num_heads, self.head_dim = num_heads, head_dim
        self.query = nn.Linear(dim, num_heads * head_dim)
        self.key = nn.Linear(dim, num_heads * head_dim, bias=False)
        self.value = nn.Linear(dim, num_heads * head_dim)
        self.output = nn.Linear(num_heads * head_dim, dim)

    def forward(
        self, query: Float[Tensor, "row feature"], states: Float[Tensor, "row neuron feature"]
    ) -> Float[Tensor, "row feature"]:
        """One query per row."""
        heads = (self.num_heads, self.head_dim)
        asked = self.query(query).unflatten(-1, heads).transpose(0, 1)
        directions = torch.bmm(asked, self.key.weight.unflatten(0, heads)).transpose(0, 1)
        mean = _attend(directions, states, 1 / math.sqrt(self.head_dim))
        values = torch.bmm(mean.transpose(0, 1), self.value.weight.unflatten(0, heads).transpose(1, 2))
        return self.output(values.transpose(0, 1).flatten(1) + self.value.bias)

    def between(self, states: Float[Tensor, "row neuron feature"]) -> Float[Tensor, "row neuron feature"]:
        """Each state as a query over all of them."""
        heads = (self.num_heads, self.head_dim)
        projected = [part(states).unflatten(-1, heads).transpose(1, 2) for part in (self.query, self.key, self.value)]
        mixed = nn.functional.scaled_dot_product_attention(*projected)
        return self.output(mixed.transpose(1, 2).flatten(2))


class Readout(nn.Module):
    """How the states of the motor neurons become one vector per row.

    ========================= =======================================================================================
    ``"cross"``               attention with the input as query (the published default)
    ``"learned-query"``       attention with a trained query
    ``"self"``                attention among the states, then their mean
    ``"self-cross"``          attention among the states, then the input as query over the result
    ``"mean"/"sum"/"max"``    over neurons, feature by feature
    ``"weighted"``            trained weight per neuron, 1/M at the start
    ========================= =======================================================================================

    With ``residual``, each attention adds its query to its result (``"cross"``: the input, ``"self"``: the states).

    Args:
        kind: one of the above.
        dim: F.
        num_motors: M.
        num_heads, head_dim: of the attention.
        residual: see above.
        output_norm: whether layer normalisation (with scale and shift) follows.
        eps: of the normalisation.
    """

    def __init__(
        self,
        kind: str,
        dim: int,
        num_motors: int,
        *,
        num_heads: int,
        head_dim: int,
        residual: bool,
        output_norm: bool,
        eps: float,
    ) -> None:
        super().__init__()
        if kind not in READOUTS:
            raise unknown_name("readout", kind, READOUTS)
        self.kind, self.residual = kind, residual
        if kind in ("self", "self-cross"):
            self.between = StateAttention(dim, num_heads, head_dim)
        if kind in ("cross", "learned-query", "self-cross"):
            self.attention = StateAttention(dim, num_heads, head_dim)
        if kind == "learned-query":
            self.query = nn.Parameter(torch.empty(dim))
        if kind == "weighted":
            self.weight = nn.Parameter(torch.empty(num_motors))
        self.norm = nn.LayerNorm(dim, eps=eps) if output_norm else nn.Identity()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the query, level the weights; the attentions and the norm have their own."""
        if self.kind == "learned-query":
            nn.init.normal_(self.query, std=1 / math.sqrt(len(self.query)))
        if self.kind == "weighted":
            nn.init.constant_(self.weight, 1 / len(self.weight))

    def forward(
        self, x: Float[Tensor, "row feature"], states: Float[Tensor, "row neuron feature"]
    ) -> Float[Tensor, "row feature"]:
        """x is the network's input, states the motor neurons'."""
        return self.norm(self._pool(x, states))

    def _pool(self, x: Tensor, states: Tensor) -> Tensor:
        if self.kind in ("self", "self-cross"):
            mixed = self.between.between(states)
            states = states + mixed if self.residual else mixed
        if self.kind in ("cross", "self-cross", "learned-query"):
            query = self.query.expand_as(x) if self.kind == "learned-query" else x
            found = self.attention(query, states)
            return query + found if self.residual else found
        if self.kind == "weighted":
            return torch.einsum("m,rmf->rf", self.weight, states)
        if self.kind == "max":
            return states.amax(1)
        return states.sum(1) if self.kind == "sum" else states.mean(1)

    def extra_repr(self) -> str:
        return f"kind={self.kind}, residual={self.residual}"


def _attend(
    queries: Float[Tensor, "row query feature"], states: Float[Tensor, "row neuron feature"], scale: float
) -> Float[Tensor, "row query feature"]:
    """sum over m of softmax_m(scale q . s_m) s_m for each query q: the states are keys and values at once."""
    transformed = torch.compiler.is_compiling() or torch._C._are_functorch_transforms_active()
    if transformed or torch.is_autocast_enabled(states.device.type) or not torch.is_grad_enabled():
        return _attended(queries, states, scale)[0]
    return _Attend.apply(queries, states, scale)


def _attended(queries: Tensor, states: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    # With beta 0 the first argument only lends its type.
    score = torch.baddbmm(states.new_empty(1, 1, 1), queries, states.transpose(1, 2), beta=0, alpha=scale)
    share = torch.softmax(score, -1)
    return torch.bmm(share, states), share


class _Attend(torch.autograd.Function):
    """States get a gradient as values and one as keys: here both come out of one product and are written once."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, states: Tensor, scale: float) -> Tensor:
        mean, share = _attended(queries, states, scale)
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
