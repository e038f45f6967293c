"""A few steps of training, the same for every part of the ecosystem."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn


def falls(model: nn.Module, output: Callable[[], Tensor], steps: int = 8) -> bool:
    """Whether training lowers the loss, and every parameter of the connectome layers gets a gradient."""
    with torch.no_grad():
        target = torch.tanh(output().float().roll(1, 0))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (output().float() - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    learned = [value.grad for name, value in model.named_parameters() if name.endswith("theta")]
    return (
        bool(learned) and all(grad is not None and grad.abs().sum() > 0 for grad in learned) and losses[-1] < losses[0]
    )
