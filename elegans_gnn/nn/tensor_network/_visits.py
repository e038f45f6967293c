"""The visits of one stage as a differentiable operator.

    elegans_gnn::visits_forward    input [R, 1, F], carry [R, c, F], units [R, n, F] -> taps, carry, done
    elegans_gnn::visits_backward   their gradients -> gradients of the three sources and of the edge weights

A program (see `_plan`) loads rows of the sources into slots, fuses slots in place and exports versions. Both operators
are opaque to torch.compile and torch.export, which therefore see a handful of nodes and not thousands of synapses. What
is
saved between the passes is the sources at most, and nothing at all where the visits are plain sums: the backward pass
of the other kinds runs the program again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from elegans_gnn._shapes import Float
from elegans_gnn.nn.tensor_network import _visits_native, _visits_torch

LIBRARY = torch.library.Library("elegans_gnn", "FRAGMENT")
_PROGRAM = "Tensor loads, Tensor code, int[] exports, str fuse, str norm, float eps"
LIBRARY.define(
    f"visits_forward(Tensor[] sources, Tensor edge_weight, {_PROGRAM}) -> (Tensor taps, Tensor carry, Tensor done)",
    tags=(torch.Tag.pt2_compliant_tag,),
)
LIBRARY.define(
    "visits_backward(Tensor[] grads, Tensor[] sources, Tensor edge_weight, int[] neurons, bool[] need, "
    f"bool need_weight, {_PROGRAM}) -> Tensor[]",
    tags=(torch.Tag.pt2_compliant_tag,),
)


def backend_for(tensor: Tensor) -> ModuleType:
    """The native library where it is built and knows the dtype, plain torch elsewhere; asked inside the operators."""
    native = tensor.device.type == "cpu" and _visits_native.available(tensor.dtype)
    return _visits_native if native else _visits_torch


@dataclass(frozen=True)
class Arithmetic:
    """What a fused arrival computes: "add" or "mul", then "none", "layer" (norm) or "rms" (on products only)."""

    fuse: str
    norm: str
    eps: float

    @property
    def linear(self) -> bool:
        """Whether visits are plain sums, whose gradient needs no state."""
        return self.fuse == "add" and self.norm == "none"


def visits(
    sources: Sequence[Float[Tensor, "row _ feature"]],
    edge_weight: Float[Tensor, " edge"] | None,
    loads: Tensor,
    code: Tensor,
    exports: tuple[int, int, int],
    arithmetic: Arithmetic,
) -> tuple[Float[Tensor, "row tap feature"], Float[Tensor, "row carried feature"], Float[Tensor, "row done feature"]]:
    """Run one program.

    Args:
        sources: the input [R, 1, F], the last program's carry [R, c, F], this stage's units [R, n, F].
        edge_weight: [E] strength of fused arrivals, or None for 1. A sum adds w s_u; a product multiplies by
            1 + w (s_u - 1), so that in both a weight of 0 switches the synapse off.
        loads, code: int32, on the CPU (see :class:`Stage`).
        exports: numbers of rows of taps, carry and done.
        arithmetic: what fusing means.
    """
    weight = sources[0].new_empty(0) if edge_weight is None else edge_weight
    settings = (list(exports), arithmetic.fuse, arithmetic.norm, arithmetic.eps)
    return _Visits.apply(weight, loads, code, settings, *sources)


class _Visits(torch.autograd.Function):
    """Ties the two raw operators together."""

    @staticmethod
    def forward(
        weight: Tensor, loads: Tensor, code: Tensor, settings: tuple[Any, ...], *sources: Tensor
    ) -> tuple[Tensor, ...]:
        return torch.ops.elegans_gnn.visits_forward.default(sources, weight, loads, code, *settings)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        weight, loads, code, settings, *sources = inputs
        ctx.settings, ctx.loads, ctx.code = settings, loads, code
        ctx.neurons = [source.shape[1] for source in sources]
        _, fuse, norm, eps = settings
        ctx.stateless = Arithmetic(fuse, norm, eps).linear and weight.numel() == 0
        ctx.save_for_backward(weight, *([] if ctx.stateless else sources))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads_out: Tensor) -> tuple[Tensor | None, ...]:
        weight, *sources = ctx.saved_tensors
        need_weight = bool(ctx.needs_input_grad[0]) and weight.numel() > 0
        need = [bool(wanted) for wanted in ctx.needs_input_grad[4:]]
        *grads, grad_weight = torch.ops.elegans_gnn.visits_backward.default(
            grads_out, sources, weight, ctx.neurons, need, need_weight, ctx.loads, ctx.code, *ctx.settings
        )
        given = [found if wanted else None for found, wanted in zip(grads, need, strict=True)]
        return grad_weight if need_weight else None, None, None, None, *given


def _forward(
    sources: list[Tensor],
    edge_weight: Tensor,
    loads: Tensor,
    code: Tensor,
    exports: list[int],
    fuse: str,
    norm: str,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    rows, _, feature = sources[0].shape
    taps, carry, done = (sources[0].new_empty((rows, count, feature)) for count in exports)
    run = backend_for(sources[0]).forward
    run(sources, edge_weight, loads, code, fuse, norm, eps, [taps, carry, done])
    return taps, carry, done


def _forward_fake(
    sources: list[Tensor],
    edge_weight: Tensor,
    loads: Tensor,
    code: Tensor,
    exports: list[int],
    fuse: str,
    norm: str,
    eps: float,
) -> tuple[Tensor, Tensor, Tensor]:
    rows, _, feature = sources[0].shape
    taps, carry, done = (sources[0].new_empty((rows, count, feature)) for count in exports)
    return taps, carry, done


def _backward(
    grads: list[Tensor],
    sources: list[Tensor],
    edge_weight: Tensor,
    neurons: list[int],
    need: list[bool],
    need_weight: bool,
    loads: Tensor,
    code: Tensor,
    exports: list[int],
    fuse: str,
    norm: str,
    eps: float,
) -> list[Tensor]:
    return backend_for(grads[0]).backward(
        grads, sources, edge_weight, neurons, need, need_weight, loads, code, fuse, norm, eps
    )


def _backward_fake(
    grads: list[Tensor],
    sources: list[Tensor],
    edge_weight: Tensor,
    neurons: list[int],
    need: list[bool],
    need_weight: bool,
    loads: Tensor,
    code: Tensor,
    exports: list[int],
    fuse: str,
    norm: str,
    eps: float,
) -> list[Tensor]:
    rows, _, feature = grads[0].shape
    shapes = [(rows, count, feature) if wanted else (0,) for count, wanted in zip(neurons, need, strict=True)]
    return [
        *[grads[0].new_empty(shape) for shape in shapes],
        edge_weight.new_empty(edge_weight.shape if need_weight else (0,)),
    ]


for _name, _kernel, _fake in (
    ("visits_forward", _forward, _forward_fake),
    ("visits_backward", _backward, _backward_fake),
):
    LIBRARY.impl(_name, _kernel, "CompositeExplicitAutograd")
    torch.library.register_fake(f"elegans_gnn::{_name}", _fake, lib=LIBRARY)
