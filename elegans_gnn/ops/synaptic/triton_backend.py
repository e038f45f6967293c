"""The synaptic convolution on NVIDIA GPUs: launches the Triton kernels.

No run-time tuning: the tile decides in which order a weight gradient is summed, so it is fixed.
"""

from __future__ import annotations

import contextlib
import os

import torch
from torch import Tensor

from elegans_gnn.ops.reference import Graph, accumulation_dtype
from elegans_gnn.ops.synaptic import triton_kernels as kernels
from elegans_gnn.ops.synaptic.contract import whole_maps

# Elements of a tile of 4-byte numbers: places of one neuron's sum; places times taps of one step along an edge. Half as
# many of 8 bytes, which would not fit the registers.
_CONVOLVE_TILE, _CORRELATE_TILE = 512, 2048
_MAX_PLACES = 2**31 - 1
_ACC = {torch.float32: kernels.tl.float32, torch.float64: kernels.tl.float64}

if not torch.cuda.is_available() and os.environ.get("TRITON_INTERPRET") != "1":
    raise RuntimeError("backend triton needs a CUDA device (or TRITON_INTERPRET=1 before the import, for tests)")


def forward(x: Tensor, weight: Tensor, graph: Graph) -> Tensor:
    """See `elegans_gnn.ops.synaptic.reference.forward`."""
    return _convolve(x, weight, graph.rowptr, graph.col, graph.perm, turned=False)


def backward(
    grad_y: Tensor, x: Tensor, weight: Tensor, graph: Graph, need_x: bool, need_weight: bool
) -> tuple[Tensor, Tensor]:
    """See `elegans_gnn.ops.synaptic.reference.backward`."""
    grad_x, grad_weight = x.new_empty(0), weight.new_empty(0)
    if need_x:
        grad_x = _convolve(grad_y, weight, graph.colptr, graph.row, graph.csc_perm, turned=True)
    if need_weight:
        grad_weight = _correlate(grad_y, x, weight, graph)
    return grad_x, grad_weight


def _convolve(x: Tensor, weight: Tensor, pointers: Tensor, partners: Tensor, perm: Tensor, *, turned: bool) -> Tensor:
    x, weight = whole_maps(x), weight.contiguous()
    _batch, neurons, channels, height, width = x.shape
    y = x.new_empty(x.shape)
    shared, wide = channels // weight.shape[1], accumulation_dtype(x.dtype)
    block = _CONVOLVE_TILE * 4 // wide.itemsize
    with _device(x):
        for part in _parts(x, shared):
            images = x[part].shape[0] * shared
            tiles = -(-images * height * width // block)
            kernels.convolve_kernel[neurons * tiles, weight.shape[1]](
                x[part], weight, y[part], pointers, partners, perm,
                neurons, images, shared, weight.shape[1], height, width, *x.stride()[:3], *y.stride()[:3],
                KH=weight.shape[2], KW=weight.shape[3], TURNED=turned, ACC=_ACC[wide], BLOCK=block,
            )  # fmt: skip
    return y


def _correlate(grad_y: Tensor, x: Tensor, weight: Tensor, graph: Graph) -> Tensor:
    grad_y, x = whole_maps(grad_y), whole_maps(x)
    _batch, neurons, channels, height, width = x.shape
    edges, groups, kernel_height, kernel_width = weight.shape
    wide = accumulation_dtype(x.dtype)
    everything = torch.zeros(weight.shape, dtype=wide, device=x.device)
    if not edges:
        return everything.to(weight.dtype)
    shared, taps = channels // groups, 1 << (kernel_height * kernel_width - 1).bit_length()
    block = max(16, _CORRELATE_TILE * 4 // wide.itemsize // taps)
    degree = graph.rowptr.diff()
    targets = torch.arange(neurons, device=x.device).repeat_interleave(degree, output_size=edges)
    with _device(x):
        for part in _parts(x, shared):
            grad_weight = torch.empty_like(everything)
            kernels.correlate_kernel[edges, groups](
                grad_y[part], x[part], grad_weight, graph.col, targets, graph.perm,
                x[part].shape[0] * shared, shared, groups, height, width, *grad_y.stride()[:3], *x.stride()[:3],
                KH=kernel_height, KW=kernel_width, TAPS=taps, ACC=_ACC[wide], BLOCK=block,
            )  # fmt: skip
            everything += grad_weight
    return everything.to(weight.dtype)


def _parts(x: Tensor, shared: int) -> list[slice]:
    """Slices of the batch whose places, and programs, can be counted in 32 bits."""
    batch, neurons, _, height, width = x.shape
    step = max(1, min(_MAX_PLACES // (shared * height * width), _MAX_PLACES // neurons))
    return [slice(start, start + step) for start in range(0, batch, step)]


def _device(x: Tensor) -> contextlib.AbstractContextManager[object]:
    return torch.cuda.device(x.device) if x.is_cuda else contextlib.nullcontext()
