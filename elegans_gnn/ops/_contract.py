"""The op contract: schema, fake and dispatch of the two raw operators, side by side.

    elegans_gnn::aggregate_forward    x [B, N, C, K], weight [E, 1 or C] -> y like x, winner (max: int32; else empty)
    elegans_gnn::aggregate_backward   the same and grad_y -> grad_x, grad_weight (one that is not needed is empty)

They are registered through the low-level `Library`, because the Python wrapper `custom_op` costs 10 microseconds more a
call. They carry no autograd formula: `aggregate()` wraps them in an autograd.Function. Arguments are trusted here; the
public function has validated them. `backend` is an argument of the schema, so the backward pass runs where the forward
pass ran, whatever thread or context it happens in.
"""

from __future__ import annotations

import torch
from torch import Tensor

from elegans_gnn.ops import _backends
from elegans_gnn.ops._graph import Graph

LIBRARY = torch.library.Library("elegans_gnn", "DEF")

LIBRARY.define(
    "aggregate_forward(Tensor x, Tensor weight, Tensor rowptr, Tensor col, Tensor perm, Tensor colptr, Tensor row, "
    "Tensor csc_perm, str reduce, str backend) -> (Tensor y, Tensor winner)",
    tags=(torch.Tag.pt2_compliant_tag,),
)
LIBRARY.define(
    "aggregate_backward(Tensor grad_y, Tensor x, Tensor weight, Tensor winner, Tensor rowptr, Tensor col, Tensor perm, "
    "Tensor colptr, Tensor row, Tensor csc_perm, str reduce, str backend, bool need_x, bool need_weight) "
    "-> (Tensor grad_x, Tensor grad_weight)",
    tags=(torch.Tag.pt2_compliant_tag,),
)


def _forward(
    x: Tensor,
    weight: Tensor,
    rowptr: Tensor,
    col: Tensor,
    perm: Tensor,
    colptr: Tensor,
    row: Tensor,
    csc_perm: Tensor,
    reduce: str,
    backend: str,
) -> tuple[Tensor, Tensor]:
    graph = Graph(rowptr, col, perm, colptr, row, csc_perm)
    if not x.numel():
        return _forward_fake(x, weight, *graph, reduce, backend)
    return _backends.implementation(backend).forward(x, weight, graph, reduce)


def _forward_fake(
    x: Tensor,
    weight: Tensor,
    rowptr: Tensor,
    col: Tensor,
    perm: Tensor,
    colptr: Tensor,
    row: Tensor,
    csc_perm: Tensor,
    reduce: str,
    backend: str,
) -> tuple[Tensor, Tensor]:
    winner = x.new_empty(x.shape if reduce == "max" else (0,), dtype=torch.int32)
    return x.new_empty(x.shape), winner


def _backward(
    grad_y: Tensor,
    x: Tensor,
    weight: Tensor,
    winner: Tensor,
    rowptr: Tensor,
    col: Tensor,
    perm: Tensor,
    colptr: Tensor,
    row: Tensor,
    csc_perm: Tensor,
    reduce: str,
    backend: str,
    need_x: bool,
    need_weight: bool,
) -> tuple[Tensor, Tensor]:
    graph = Graph(rowptr, col, perm, colptr, row, csc_perm)
    if not x.numel():
        return x.new_empty(x.shape if need_x else (0,)), weight.new_zeros(weight.shape if need_weight else (0,))
    return _backends.implementation(backend).backward(grad_y, x, weight, winner, graph, reduce, need_x, need_weight)


def _backward_fake(
    grad_y: Tensor,
    x: Tensor,
    weight: Tensor,
    winner: Tensor,
    rowptr: Tensor,
    col: Tensor,
    perm: Tensor,
    colptr: Tensor,
    row: Tensor,
    csc_perm: Tensor,
    reduce: str,
    backend: str,
    need_x: bool,
    need_weight: bool,
) -> tuple[Tensor, Tensor]:
    grad_x = x.new_empty(x.shape if need_x else (0,))
    grad_weight = weight.new_empty(weight.shape if need_weight else (0,))
    return grad_x, grad_weight


# One Python kernel for CPU and CUDA: which code runs is the backend's business, not the dispatch key's.
for _name, _kernel, _fake in (
    ("aggregate_forward", _forward, _forward_fake),
    ("aggregate_backward", _backward, _backward_fake),
):
    LIBRARY.impl(_name, _kernel, "CompositeExplicitAutograd")
    torch.library.register_fake(f"elegans_gnn::{_name}", _fake, lib=LIBRARY)

aggregate_forward = torch.ops.elegans_gnn.aggregate_forward.default
aggregate_backward = torch.ops.elegans_gnn.aggregate_backward.default


def plain(*tensors: Tensor) -> bool:
    """Whether only the kernel wants to see this call: then it may run without the dispatcher, 3 microseconds sooner.

    False where a mode, a transform, a tracer or the profiler is on, or a tensor is of a subclass or has a lazy sign.
    """
    for tensor in tensors:
        if type(tensor) not in _PLAIN_TYPES or tensor.is_neg() or tensor._is_zerotensor():
            return False
    return not (
        torch._C._len_torch_dispatch_stack()
        or torch._C._are_functorch_transforms_active()
        or torch._C._get_tracing_state()
        or torch.autograd._profiler_enabled()
    )


_PLAIN_TYPES = (Tensor, torch.nn.Parameter)
