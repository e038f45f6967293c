"""The synaptic convolution and step as ordinary operators, for runtimes that know no sparse ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from elegans_gnn.ops.synaptic.step import kept, normalised


def dense_synaptic(x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    """`synaptic_forward` as a convolution over the neurons whose filters are zero where there is no edge.

    A decomposition for `torch.export`. It costs N^2 / E times as much as the sparse sum. Filters per channel
    become the groups of one convolution.
    """
    rowptr, col, perm, *_ = rest
    neurons, channels, height, width = x.shape[1:]
    groups, kernel_height, kernel_width = weight.shape[1:]
    # The target of each entry in CSR order is the number of rows that end at or before it.
    place = torch.arange(col.shape[0], device=col.device)
    target = (place[:, None] >= rowptr[None, 1:]).sum(1)
    values = weight.index_select(0, perm.long())
    filters = values.new_zeros(neurons * neurons, groups, kernel_height, kernel_width)
    filters = filters.index_add(0, target * neurons + col.long(), values).to(x.dtype)
    # Convolutions share filters over their batch and separate them over groups of channels.
    filters = filters.view(neurons, neurons, groups, kernel_height, kernel_width).permute(2, 0, 1, 3, 4).flatten(0, 1)
    maps = x.transpose(1, 2)
    maps = maps.reshape(-1, channels * neurons if groups > 1 else neurons, height, width)
    y = torch.nn.functional.conv2d(maps, filters, padding=(kernel_height // 2, kernel_width // 2), groups=groups)
    return y.reshape(-1, channels, neurons, height, width).transpose(1, 2)


def dense_step(x: Tensor, weight: Tensor, scale: Tensor, shift: Tensor, leak: Tensor | None, *rest: Any) -> Tensor:
    """`step_forward` composed of torch's norm and activation and that convolution."""
    *graph, activation, eps = rest
    return kept(x, leak) + dense_synaptic(normalised(x, scale, shift, activation, eps), weight, *graph)
