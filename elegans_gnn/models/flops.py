"""Floating point operations of a model, counted by torch's FlopCounterMode, our operators included.

As in torch, matrix products and convolutions count, a multiplication and an addition each; sums along synapses count
as sparse matrix products. Elementwise work (activations, norms, arrivals in a tensor network) does not count.

The formulas of our operators are next to their schemas and registered with torch: any FlopCounterMode uses them.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def parameters(model: nn.Module, *, trainable: bool = False) -> int:
    """Number of parameters; with `trainable`, of those that train."""
    return sum(value.numel() for value in model.parameters() if value.requires_grad or not trainable)


def count_flops(model: nn.Module, *input_shape: int, backward: bool = False, part: str = "") -> int:
    """Operations of one pass over an input of a shape, batch axis included.

    Args:
        model: any module that takes one tensor.
        input_shape: such as 1, 1, 28, 28; the input is zeros of the parameters' type.
        backward: also count the backward pass to all trainable parameters; this clears existing gradients.
        part: name of a module inside, such as ``"core"``: count what happens in it only.

    >>> count_flops(nn.Linear(3, 5), 2, 3)
    60
    """
    like = next(model.parameters(), torch.empty(0))
    x = torch.zeros(input_shape, dtype=like.dtype, device=like.device)
    counter = FlopCounterMode(display=False, custom_mapping=_formulas_of_torch())
    training = model.training
    model.eval()
    try:
        with counter, torch.set_grad_enabled(backward):
            y = model(x)
            if backward:
                y.sum().backward()
    finally:
        model.train(training)
        if backward:
            model.zero_grad(set_to_none=True)
    place = f"{type(model).__name__}.{part}" if part else "Global"
    return int(sum(counter.get_flop_counts().get(place, {}).values()))


def _formulas_of_torch() -> dict[Any, Callable[..., int]]:
    """For operators of torch whose own formulas are missing or wrong; used inside `count_flops` only."""
    aten = torch.ops.aten
    return {
        aten.convolution_backward: _convolution_backward,
        aten._scaled_dot_product_flash_attention_for_cpu: _attention_forward,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
    }


def _convolution_backward(
    grad_y: tuple[int, ...], x: tuple[int, ...], weight: tuple[int, ...], *rest: Any, **__: Any
) -> int:
    """As much as the forward pass for each of the two gradients; torch's own formula ignores the groups."""
    transposed, mask = rest[4], rest[7]
    return (bool(mask[0]) + bool(mask[1])) * 2 * prod(x if transposed else grad_y) * prod(weight[1:])


def _attention_forward(query: tuple[int, ...], key: tuple[int, ...], value: tuple[int, ...], *_: Any, **__: Any) -> int:
    batch, heads, asked, size = query
    return 2 * batch * heads * asked * key[2] * (size + value[3])


def _attention_backward(
    grad: Any, query: tuple[int, ...], key: tuple[int, ...], value: tuple[int, ...], *_: Any, **__: Any
) -> int:
    """As torch counts its other attention kernels: the scores again, then two products for each of the two."""
    batch, heads, asked, size = query
    return 2 * batch * heads * asked * key[2] * (3 * size + 2 * value[3])
