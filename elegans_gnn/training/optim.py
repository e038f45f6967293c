"""The optimiser: orthogonalised momentum for weight matrices, AdamW for everything else, as one optimiser."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

# Quintic Newton-Schulz: drives all singular values towards 1 (Keller Jordan et al., Muon, 2024).
_QUINTIC = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
# With fewer outputs than this there is little to orthogonalise: filter banks and pixel heads stay with AdamW.
_LEAST_ROWS = 16


class MuonAdamW(torch.optim.AdamW):
    r"""Muon on the groups marked ``muon=True``, AdamW on the others; one state, one schedule, one checkpoint.

    Muon replaces the gradient of a matrix by the nearest orthogonal one to its momentum,

    .. math:: W \leftarrow (1 - \eta \lambda) W - \eta \sqrt{\max(1, \text{rows} / \text{cols})} \;
        \operatorname{NS}\big((1 - \mu) G + \mu M\big), \qquad M \leftarrow \mu M + (1 - \mu) G

    with NS five steps of the quintic Newton-Schulz iteration. `torch.optim.Muon` takes matrices only and iterates in
    bfloat16; here a convolution [out, in, k, k] counts as a matrix [out, in k k], and float32 stays float32, which is
    what CPUs without bfloat16 units need.

    Args:
        groups: parameter groups, each with ``params``, ``lr``, ``weight_decay`` and ``muon``.
        betas: of AdamW.
        momentum: of Muon.
    """

    def __init__(
        self, groups: Iterable[dict[str, Any]], *, betas: tuple[float, float] = (0.9, 0.99), momentum: float = 0.95
    ) -> None:
        super().__init__(list(groups), betas=betas)
        for group in self.param_groups:
            group.setdefault("momentum", momentum)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update of all groups."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        groups = self.param_groups
        # AdamW's own step goes over all groups; it must not see the matrices.
        self.param_groups = [group for group in groups if not group["muon"]]
        try:
            super().step()
        finally:
            self.param_groups = groups
        for group in groups:
            if group["muon"]:
                self._muon_step(group)
        return loss

    def _muon_step(self, group: dict[str, Any]) -> None:
        rate, momentum = group["lr"], group["momentum"]
        for parameter in group["params"]:
            if parameter.grad is None:
                continue
            state = self.state[parameter]
            if not state:
                # AdamW's loading of checkpoints expects a step count of every parameter.
                state["step"] = torch.zeros(())
                state["momentum_buffer"] = torch.zeros_like(parameter)
            state["step"] += 1
            average = state["momentum_buffer"].lerp_(parameter.grad, 1 - momentum)
            update = orthogonalize(parameter.grad.lerp(average, momentum).flatten(1))
            stretch = math.sqrt(max(1.0, update.shape[0] / update.shape[1]))
            parameter.mul_(1 - rate * group["weight_decay"])
            parameter.add_(update.reshape(parameter.shape), alpha=-rate * stretch)


def orthogonalize(matrix: Tensor) -> Tensor:
    """The matrix with its singular values brought near 1 (between about 0.7 and 1.2), by Newton-Schulz iteration."""
    a, b, c = _QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = x / (x.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.T if tall else x


def parameter_groups(
    model: nn.Module,
    *,
    matrix_parts: Iterable[nn.Module],
    lr: float,
    muon_lr: float,
    weight_decay: float,
    synapse_parts: Iterable[nn.Module] = (),
    synapse_lr: float = 0.0,
) -> list[dict[str, Any]]:
    """Sort a model's parameters: matrices of some parts to Muon, other matrices to AdamW, vectors to AdamW undecayed.

    Args:
        model: everything to train.
        matrix_parts: modules whose weights are dense linear maps; synapses and neuron units are not among them.
        lr, muon_lr: peak learning rates; with a `muon_lr` of 0 AdamW takes all matrices.
        weight_decay: for all matrices; filters count as such.
        synapse_parts: modules whose weights belong to synapses.
        synapse_lr: their peak learning rate; 0 for `lr`.
    """
    parts = matrix_parts if muon_lr else []
    dense = [p for part in parts for p in part.parameters() if p.dim() > 1 and p.shape[0] > _LEAST_ROWS]
    # The first convolution sees one grey value: a filter bank, not a map between spaces.
    dense = [p for p in dense if p.dim() == 2 or p.shape[1] > 1]
    taken = {id(p) for p in dense}
    wired = {id(p) for part in (synapse_parts if synapse_lr else ()) for p in part.parameters()} - taken
    groups = [{"params": dense, "lr": muon_lr, "weight_decay": weight_decay, "muon": True}]
    for rate, of_synapses in ((lr, False), (synapse_lr, True)):
        rest = [p for p in model.parameters() if id(p) not in taken and (id(p) in wired) == of_synapses]
        groups += [
            {"params": [p for p in rest if p.dim() > 1], "lr": rate, "weight_decay": weight_decay, "muon": False},
            {"params": [p for p in rest if p.dim() <= 1], "lr": rate, "weight_decay": 0.0, "muon": False},
        ]
    return [group for group in groups if group["params"]]


def warmup_cosine(step: int, *, warmup: int, total: int) -> float:
    """Share of the peak learning rate at a step: linear rise over `warmup`, then a cosine to zero at `total`."""
    rise = min(1.0, (step + 1) / max(1, warmup))
    return rise * 0.5 * (1 + math.cos(math.pi * min(1.0, step / total)))


def exponential_average(decay: float) -> Callable[[list[Tensor], list[Tensor], Tensor | int], None]:
    """The `multi_avg_fn` of :class:`torch.optim.swa_utils.AveragedModel` for a moving average of weights.

    Args:
        decay: what the average keeps of itself at each update, approached from 0.1 by (1 + count) / (10 + count), so
            that the first random weights are forgotten soon.
    """

    def average(averaged: list[Tensor], current: list[Tensor], count: Tensor | int) -> None:
        seen = float(count)
        # One call for all tensors: a loop over those of a frozen backbone takes longer than a step of its head.
        torch._foreach_lerp_(averaged, current, 1 - min(decay, (1 + seen) / (10 + seen)))

    return average
