"""The synaptic convolution in plain PyTorch: one sparse sum per tap, on the states shifted by the tap's offset.

Extra memory: one shifted copy of the states at a time, and a sum of their size.
"""

from __future__ import annotations

from torch import Tensor

from elegans_gnn.ops import torch_backend as aggregation
from elegans_gnn.ops.reference import Graph, Problem, accumulation_dtype
from elegans_gnn.ops.synaptic.reference import shifted, taps


def forward(x: Tensor, weight: Tensor, graph: Graph) -> Tensor:
    """See `elegans_gnn.ops.synaptic.reference.forward`."""
    states, filters = _wide(x), _wide(weight)
    y = states.new_zeros(x.shape)
    for i, j in taps(weight):
        part = _raw(shifted(states, weight, i, j).flatten(3), weight)
        y += aggregation.forward(Problem(part, filters[:, :, i, j], graph, "sum"))[0].view(x.shape)
    return y.to(x.dtype)


def backward(
    grad_y: Tensor, x: Tensor, weight: Tensor, graph: Graph, need_x: bool, need_weight: bool
) -> tuple[Tensor, Tensor]:
    """See `elegans_gnn.ops.synaptic.reference.backward`."""
    states, grads, filters = _wide(x), _wide(grad_y), _wide(weight)
    none = states[:0]
    grad_x = states.new_zeros(x.shape if need_x else (0,))
    grad_weight = filters.new_empty(weight.shape if need_weight else (0,))
    height, width = weight.shape[2:]
    for i, j in taps(weight):
        # The same tap from the other end: grad_x from the mirrored gradient, grad_weight from the shifted states.
        if need_x:
            back = _raw(shifted(grads, weight, height - 1 - i, width - 1 - j).flatten(3), weight)
            problem = Problem(back, filters[:, :, i, j], graph, "sum")
            part, _ = aggregation.backward(problem, back, none, True, False)
            grad_x += part.view(x.shape)
        if need_weight:
            seen = _raw(shifted(states, weight, i, j).flatten(3), weight)
            grad = _raw(grads.flatten(3), weight)
            problem = Problem(seen, filters[:, :, i, j], graph, "sum")
            _, part = aggregation.backward(problem, grad, none, False, True)
            grad_weight[:, :, i, j] = part
    return grad_x.to(x.dtype) if need_x else x.new_empty(0), grad_weight.to(weight.dtype)


def _wide(tensor: Tensor) -> Tensor:
    """In the dtype that sums are formed in."""
    return tensor.to(accumulation_dtype(tensor.dtype))


def _raw(maps: Tensor, weight: Tensor) -> Tensor:
    """[B, N, C, K] as the aggregation wants it: where channels share weights they are features of one channel."""
    return maps if weight.shape[1] > 1 else maps.flatten(2).unsqueeze(2)
