"""The visits of one stage as a differentiable operator.

    elegans_gnn::visits_forward    input [R, 1, F], carry [R, c, F], units [R, n, F] -> taps, carry, done
    elegans_gnn::visits_backward   their gradients -> gradients of the three sources and of the edge weights

A program (see `_plan`) loads rows of the sources into slots, fuses slots in place and exports versions. Both operators
are opaque to torch.compile and torch.export, which therefore see a handful of nodes and not thousands of synapses. What
is saved between the passes is the sources at most, and nothing at all where the visits are plain sums: the backward
pass of the other kinds runs the program again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from elegans_gnn._shapes import Float
from elegans_gnn.errors import invalid
from elegans_gnn.nn.tensor_network import _visits_native, _visits_torch
from elegans_gnn.ops import _backends

LIBRARY = torch.library.Library("elegans_gnn", "FRAGMENT")
_PROGRAM = "Tensor loads, Tensor code, int[] exports, str fuse, str norm, float eps, str backend"
LIBRARY.define(
    f"visits_forward(Tensor[] sources, Tensor edge_weight, {_PROGRAM}) -> (Tensor taps, Tensor carry, Tensor done)",
    tags=(torch.Tag.pt2_compliant_tag,),
)
LIBRARY.define(
    "visits_backward(Tensor[] grads, Tensor[] sources, Tensor edge_weight, int[] neurons, bool[] need, "
    f"bool need_weight, {_PROGRAM}) -> Tensor[]",
    tags=(torch.Tag.pt2_compliant_tag,),
)


BACKENDS = {"native": _visits_native, "torch": _visits_torch}


def wants_reference() -> bool:
    """Whether `ops.backend("reference")` is in force."""
    return _backends._requested.get() == "reference"


def choose_backend(x: Tensor) -> str:
    """What `ops.backend` asks for; by itself the native library where it is built and knows the dtype, else "torch".

    Raises:
        ValueError: a backend that has no tensor network, or cannot run it on this device and dtype.
    """
    requested = _backends._requested.get()
    native = x.device.type == "cpu" and _native_knows(x.dtype)
    if requested is None:
        return "native" if native else "torch"
    if requested not in BACKENDS:
        remedy = "leave the block, or use ops.backend('torch'), which runs on every device"
        raise invalid("ops.backend", "'reference', 'torch' or 'native' for a tensor network", repr(requested), remedy)
    if requested == "native" and not native:
        remedy = "move and convert the network and its input, or use ops.backend('torch')"
        got = f"{x.dtype} on {x.device}"
        raise invalid("x", "float32 or float64 on the CPU, for ops.backend('native')", got, remedy)
    return requested


@torch.compiler.assume_constant_result
def _native_knows(dtype: torch.dtype) -> bool:
    # Constant in a process, so a compiled function may keep it; the requested backend is guarded on.
    return _visits_native.available(dtype)


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
    backend: str,
) -> tuple[Float[Tensor, "row tap feature"], Float[Tensor, "row carried feature"], Float[Tensor, "row done feature"]]:
    """Run one program.

    Args:
        sources: the input [R, 1, F], the last program's carry [R, c, F], this stage's units [R, n, F].
        edge_weight: [E] strength of fused arrivals, or None for 1. A sum adds w s_u; a product multiplies by
            1 + w (s_u - 1), so that in both a weight of 0 switches the synapse off.
        loads, code: int32, on the CPU (see :class:`Stage`).
        exports: numbers of rows of taps, carry and done.
        arithmetic: what fusing means.
        backend: of `BACKENDS`.
    """
    weight = sources[0].new_empty(0) if edge_weight is None else edge_weight
    settings = (list(exports), arithmetic.fuse, arithmetic.norm, arithmetic.eps, backend)
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
        _, fuse, norm, eps, _ = settings
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
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    rows, _, feature = sources[0].shape
    taps, carry, done = (sources[0].new_empty((rows, count, feature)) for count in exports)
    BACKENDS[backend].forward(sources, edge_weight, loads, code, fuse, norm, eps, [taps, carry, done])
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
    backend: str,
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
    backend: str,
) -> list[Tensor]:
    rows, _, feature = grads[0].shape
    found = [
        grads[0].new_empty((rows, count, feature)) if wanted else None
        for count, wanted in zip(neurons, need, strict=True)
    ]
    grad_weight = BACKENDS[backend].backward(
        grads, sources, edge_weight, found, neurons, need_weight, loads, code, fuse, norm, eps
    )
    return [*[grads[0].new_empty(0) if part is None else part for part in found], grad_weight]


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
    backend: str,
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
