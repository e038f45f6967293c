"""One step of a network of synaptic convolutions: normalise, activate, convolve, add to what was there."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from elegans_gnn._shapes import Float
from elegans_gnn.ops.synaptic.synaptic import synaptic_conv2d
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

    Args:
        x: the states, [B, N, C, H, W].
        weight: the filters of the synapses, see :func:`synaptic_conv2d`.
        adjacency: the edges.
        scale, shift: [N, C], applied after the norm.
        leak: [N], the share of its own state that a neuron keeps; None: all of it.
        activation: ``"relu"``, ``"gelu"`` or ``"silu"``.
        eps: added to the variance.

    Returns:
        A tensor like x.
    """
    batch, neurons, channels, height, width = x.shape
    maps = F.group_norm(
        x.reshape(batch, neurons * channels, height, width),
        neurons * channels,
        scale.reshape(-1).to(x.dtype),
        shift.reshape(-1).to(x.dtype),
        eps,
    )
    arrived = synaptic_conv2d(ACTIVATIONS[activation](maps).view_as(x), weight, adjacency)
    return x + arrived if leak is None else x * leak.to(x.dtype).view(-1, 1, 1, 1) + arrived
