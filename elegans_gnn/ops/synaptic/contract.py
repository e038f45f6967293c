"""The contract of the synaptic convolution: validation, and schema, fake and FLOPs of the two raw operators.

    elegans_gnn::synaptic_forward    x [B, N, C, H, W], weight [E, 1 or C, kh, kw] -> y like x
    elegans_gnn::synaptic_backward   the same and grad_y -> grad_x, grad_weight (one that is not needed is empty)

Registered like the aggregation (see ops/_contract.py): low-level, without an autograd formula, with the backend as an
argument.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from elegans_gnn.errors import invalid
from elegans_gnn.ops._contract import LIBRARY
from elegans_gnn.ops.reference import Graph
from elegans_gnn.sparse import SparseAdjacency

DTYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
_HALF = (torch.float16, torch.bfloat16)

_GRAPH = "Tensor rowptr, Tensor col, Tensor perm, Tensor colptr, Tensor row, Tensor csc_perm"


class Backend(Protocol):
    """What a backend offers; tensors are validated and in the raw operators' shapes."""

    def forward(self, x: Tensor, weight: Tensor, graph: Graph) -> Tensor: ...

    def backward(
        self, grad_y: Tensor, x: Tensor, weight: Tensor, graph: Graph, need_x: bool, need_weight: bool
    ) -> tuple[Tensor, Tensor]: ...


_MODULES = {
    "reference": "elegans_gnn.ops.synaptic.reference",
    "torch": "elegans_gnn.ops.synaptic.torch_backend",
    "native": "elegans_gnn.ops.synaptic.native",
    "triton": "elegans_gnn.ops.synaptic.triton_backend",
}
BACKENDS = tuple(_MODULES)
_loaded: dict[str, Backend] = {}


def implementation(name: str) -> Backend:
    """The module behind a name, imported at its first use."""
    if name not in _MODULES:
        remedy = "leave the block, or use ops.backend('torch'), which runs on every device"
        raise invalid("ops.backend", f"one of {', '.join(BACKENDS)} for a synaptic convolution", repr(name), remedy)
    if name not in _loaded:
        _loaded[name] = cast(Backend, importlib.import_module(_MODULES[name]))
    return _loaded[name]


def validate(x: Tensor, weight: Tensor, adjacency: SparseAdjacency) -> None:
    """Refuse what the contract does not allow.

    Raises:
        ValueError: a shape, dtype or device that `synaptic_conv2d` does not take.
    """
    neurons, edges = adjacency.num_neurons, adjacency.num_edges
    if x.dim() != 5:
        raise invalid("x", "[B, N, C, H, W]", list(x.shape), "add the missing axes, such as C with x.unsqueeze(2)")
    if x.shape[1] != neurons:
        expected = f"of size {neurons} (the neurons) on axis 1"
        raise invalid("x", expected, list(x.shape), "pass states as [B, N, C, H, W]")
    channels = x.shape[2]
    if weight.dim() not in (3, 4) or weight.shape[0] != edges or weight.shape[1:-2] not in ((), (channels,)):
        expected = f"of shape [{edges}, kh, kw] (one filter per edge) or [{edges}, {channels}, kh, kw] (and channel)"
        raise invalid("weight", expected, list(weight.shape), "take the order from adjacency.edge_index")
    if any(size % 2 == 0 for size in weight.shape[-2:]):
        remedy = "use 1, 3 or 5, so that the filter has a middle"
        raise invalid("weight", "filters with odd sides", list(weight.shape[-2:]), remedy)
    if x.dtype not in DTYPES:
        raise invalid("x", "float32, float64, float16 or bfloat16", x.dtype, "convert it with x.to(torch.float32)")
    if weight.dtype != x.dtype and not (weight.dtype == torch.float32 and x.dtype in _HALF):
        wanted = f"{x.dtype} like x" + (" or torch.float32" if x.dtype in _HALF else "")
        raise invalid("weight", wanted, weight.dtype, "convert the one or the other with .to(dtype)")
    if not x.device == weight.device == adjacency.device:
        got = f"x on {x.device}, weight on {weight.device}, adjacency on {adjacency.device}"
        raise invalid("x, weight and adjacency", "on one device", got, "move them with .to(x.device)")


def whole_maps(x: Tensor) -> Tensor:
    """Every layout whose maps are contiguous is read in place; others are copied."""
    *_, height, width = x.shape
    neighbours = (x.stride(4) == 1 or width == 1) and (x.stride(3) == width or height == 1)
    return x if neighbours else x.contiguous()


def _forward(x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    *graph, backend = rest
    if not x.numel():
        return x.new_empty(x.shape)
    return implementation(backend).forward(x, weight, Graph(*graph))


def _forward_fake(x: Tensor, weight: Tensor, *rest: Any) -> Tensor:
    return x.new_empty(x.shape)


def _backward(grad_y: Tensor, x: Tensor, weight: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    *graph, backend, need_x, need_weight = rest
    if not x.numel():
        return x.new_empty(x.shape if need_x else (0,)), weight.new_zeros(weight.shape if need_weight else (0,))
    return implementation(backend).backward(grad_y, x, weight, Graph(*graph), need_x, need_weight)


def _backward_fake(grad_y: Tensor, x: Tensor, weight: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    need_x, need_weight = rest[-2:]
    return x.new_empty(x.shape if need_x else (0,)), weight.new_empty(weight.shape if need_weight else (0,))


def _forward_flops(x: tuple[int, ...], weight: tuple[int, ...], *_: Any, **__: Any) -> int:
    """One multiplication and one addition per edge, tap and place, padding included, as torch counts a convolution."""
    batch, _neurons, channels, height, width = x
    edges, _channels, kernel_height, kernel_width = weight
    return 2 * edges * kernel_height * kernel_width * batch * channels * height * width


def _backward_flops(grad_y: tuple[int, ...], x: tuple[int, ...], weight: tuple[int, ...], *rest: Any, **__: Any) -> int:
    need_x, need_weight = rest[-2:]
    return (bool(need_x) + bool(need_weight)) * _forward_flops(x, weight)


def _define(schema: str, kernel: Callable[..., Any], fake: Callable[..., Any], flops: Callable[..., int]) -> Any:
    """Register an operator: one Python kernel for CPU and CUDA, since the backend decides which code runs."""
    name = schema.partition("(")[0]
    LIBRARY.define(schema, tags=(torch.Tag.pt2_compliant_tag,))
    LIBRARY.impl(name, kernel, "CompositeExplicitAutograd")
    torch.library.register_fake(f"elegans_gnn::{name}", fake, lib=LIBRARY)
    packet = getattr(torch.ops.elegans_gnn, name)
    register_flop_formula(packet)(flops)
    return packet.default


synaptic_forward = _define(
    f"synaptic_forward(Tensor x, Tensor weight, {_GRAPH}, str backend) -> Tensor",
    _forward,
    _forward_fake,
    _forward_flops,
)
synaptic_backward = _define(
    f"synaptic_backward(Tensor grad_y, Tensor x, Tensor weight, {_GRAPH}, str backend, bool need_x, bool need_weight) "
    "-> (Tensor grad_x, Tensor grad_weight)",
    _backward,
    _backward_fake,
    _backward_flops,
)
