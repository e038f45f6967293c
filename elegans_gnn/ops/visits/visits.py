"""The visits of one stage as a differentiable operator, and the backends that run them.

Between the passes the sources are saved at most, and nothing at all where the visits are plain sums. For the other
kinds the backward pass runs the program again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from elegans_gnn._shapes import Float
from elegans_gnn.ops._contract import implement
from elegans_gnn.ops.visits import native, torch_backend
from elegans_gnn.ops.visits.contract import empty_exports, visits_backward, visits_forward, visits_gradients
from elegans_gnn.ops.visits.program import Arithmetic, Program

BACKENDS = {"native": native, "torch": torch_backend}


def run_program(
    sources: Sequence[Float[Tensor, "row _ feature"]],
    edge_weight: Float[Tensor, " edge"] | None,
    loads: Tensor,
    code: Tensor,
    exports: tuple[int, int, int],
    arithmetic: Arithmetic,
    backend: str,
) -> tuple[
    Float[Tensor, "row unit_input feature"], Float[Tensor, "row carried feature"], Float[Tensor, "row output feature"]
]:
    """Run one program; gives the inputs of the next units, the carry and the finished states.

    Args:
        sources: the input [R, 1, F], the last program's carry [R, c, F], this stage's units [R, n, F].
        edge_weight: [E] strength of fused arrivals, or None for 1. A sum adds w s_u; a product multiplies by
            1 + w (s_u - 1), so that in both a weight of 0 switches the synapse off.
        loads, code: int32, on the CPU (see :class:`Stage`).
        exports: numbers of rows of the three results.
        arithmetic: what fusing means.
        backend: of `BACKENDS`.
    """
    weight = sources[0].new_empty(0) if edge_weight is None else edge_weight
    return _Visits.apply(weight, loads, code, (list(exports), *arithmetic, backend), *sources)


class _Visits(torch.autograd.Function):
    """Ties the two raw operators together."""

    @staticmethod
    def forward(
        weight: Tensor, loads: Tensor, code: Tensor, program: tuple[Any, ...], *sources: Tensor
    ) -> tuple[Tensor, ...]:
        exports: tuple[Tensor, ...] = visits_forward(sources, weight, loads, code, *program)
        return exports

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        weight, loads, code, program, *sources = inputs
        ctx.program, ctx.neurons = (loads, code, *program), [source.shape[1] for source in sources]
        _, *arithmetic, _ = program
        stateless = Program(loads, code, weight, *arithmetic).stateless
        ctx.save_for_backward(weight, *([] if stateless else sources))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads_out: Tensor) -> tuple[Tensor | None, ...]:
        weight, *sources = ctx.saved_tensors
        need_weight = bool(ctx.needs_input_grad[0]) and weight.numel() > 0
        need = [bool(wanted) for wanted in ctx.needs_input_grad[4:]]
        *grads, grad_weight = visits_backward(grads_out, sources, weight, ctx.neurons, need, need_weight, *ctx.program)
        found = [grad if wanted else None for grad, wanted in zip(grads, need, strict=True)]
        return grad_weight if need_weight else None, None, None, None, *found


def _forward(sources: list[Tensor], edge_weight: Tensor, *program: Any) -> tuple[Tensor, Tensor, Tensor]:
    loads, code, _, *arithmetic, backend = program
    exports = empty_exports(sources, edge_weight, *program)
    BACKENDS[backend].forward(Program(loads, code, edge_weight, *arithmetic), sources, list(exports))
    return exports


def _backward(
    grads: list[Tensor], sources: list[Tensor], edge_weight: Tensor, neurons: list[int], *rest: Any
) -> list[Tensor]:
    need, need_weight, loads, code, _, *arithmetic, backend = rest
    *empty, _ = visits_gradients(grads, sources, edge_weight, neurons, *rest)
    found = [part if wanted else None for part, wanted in zip(empty, need, strict=True)]
    program = Program(loads, code, edge_weight, *arithmetic)
    grad_weight = BACKENDS[backend].backward(program, grads, sources, found, neurons, need_weight)
    return [*empty, grad_weight]


implement(visits_forward, _forward)
implement(visits_backward, _backward)
