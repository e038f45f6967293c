"""The aggregation on NVIDIA GPUs: launches the Triton kernels from a static table of tile sizes.

No run-time tuning: the tile decides in which order a weight gradient is summed, so it depends on the shapes alone.
"""

from __future__ import annotations

import contextlib
import os
from typing import NamedTuple

import torch
from torch import Tensor

from elegans_gnn.ops import codes
from elegans_gnn.ops import triton_kernels as kernels
from elegans_gnn.ops.reference import Pair, Problem, accumulation_dtype

# Elements of a tile of 4-byte numbers; half as many of 8 bytes, which would not fit the registers. Forward needs
# occupancy; backward writes one partial weight gradient per tile and edge, so its tiles are larger.
_FORWARD_TILE, _BACKWARD_TILE = 1024, 2048
_MAX_FEATURES = 256
_MAX_GRID = 2**31 - 1
_ACC = {torch.float32: kernels.tl.float32, torch.float64: kernels.tl.float64}

if not torch.cuda.is_available() and os.environ.get("TRITON_INTERPRET") != "1":
    raise RuntimeError("backend triton needs a CUDA device (or TRITON_INTERPRET=1 before the import, for tests)")


class Tiling(NamedTuple):
    """How [B, N, C, K] is cut: lanes of one channel, or (lane weights) the channels themselves."""

    lane_weights: bool
    channels: int
    inner: int
    block_b: int
    block_k: int

    def tiles(self, batch: int) -> tuple[int, int]:
        """Tiles over the samples and over the features."""
        return -(-batch // self.block_b), -(-self.inner // self.block_k)


def tiling(x: Tensor, weight: Tensor, elements: int) -> Tiling:
    """The static choice: as many features as there are (a power of two, 256 at most), then samples."""
    batch, _, channels, inner = x.shape
    lane_weights = weight.shape[1] > 1 and inner == 1
    channels, inner = (1, channels) if lane_weights else (channels, inner)
    block_k = min(_power_of_two(inner), _MAX_FEATURES)
    elements = elements * 4 // accumulation_dtype(x.dtype).itemsize
    block_b = min(_power_of_two(batch), max(1, elements // block_k))
    return Tiling(lane_weights, channels, inner, block_b, block_k)


def forward(problem: Problem) -> Pair:
    """See `elegans_gnn.ops.reference.forward`."""
    x, weight, graph, reduce = problem
    x = _prepared(x, weight)
    y = x.new_empty(x.shape)
    winner = x.new_empty(x.shape if reduce == "max" else (0,), dtype=torch.int32)
    cut = tiling(x, weight, _FORWARD_TILE)
    with _device(x):
        for part in _grid_parts(x, cut):
            b_tiles, k_tiles = cut.tiles(x[part].shape[0])
            kernels.forward_kernel[x.shape[1] * b_tiles * k_tiles, cut.channels](
                x[part], weight, y[part], winner[part] if reduce == "max" else winner, *graph[:3],
                x.shape[1], x[part].shape[0], cut.inner, *x.stride()[:3], *weight.stride(), *y.stride()[:3],
                REDUCE=codes.REDUCE[reduce], LANE_WEIGHTS=cut.lane_weights, ACC=_ACC[accumulation_dtype(x.dtype)],
                BLOCK_B=cut.block_b, BLOCK_K=cut.block_k,
            )  # fmt: skip
    return y, winner


def backward(problem: Problem, grad_y: Tensor, winner: Tensor, need_x: bool, need_weight: bool) -> Pair:
    """See `elegans_gnn.ops.reference.backward`."""
    x, weight, graph, reduce = problem
    x, grad_y = _prepared(x, weight), _prepared(grad_y, weight)
    grad_x = x.new_empty(x.shape if need_x else (0,))
    _, neurons, channels, inner = x.shape
    out_strides = (neurons * channels * inner, channels * inner, inner)
    wide = accumulation_dtype(x.dtype)
    cut = tiling(x, weight, _BACKWARD_TILE)
    partials: list[Tensor] = []
    with _device(x):
        for part in _grid_parts(x, cut):
            samples = x[part].shape[0]
            b_tiles, k_tiles = cut.tiles(samples)
            parts = b_tiles if cut.lane_weights else b_tiles * k_tiles
            partial = x.new_empty((parts, *weight.shape) if need_weight else (0,), dtype=wide)
            kernels.backward_kernel[x.shape[1] * b_tiles * k_tiles, cut.channels](
                grad_y[part], x[part], weight, winner[part] if reduce == "max" else winner,
                grad_x[part] if need_x else grad_x, partial, *graph,
                x.shape[1], samples, cut.inner, *weight.shape, *grad_y.stride()[:3], *x.stride()[:3], *weight.stride(),
                *out_strides,
                REDUCE=codes.REDUCE[reduce], LANE_WEIGHTS=cut.lane_weights, NEED_X=need_x, NEED_WEIGHT=need_weight,
                ACC=_ACC[wide], BLOCK_B=cut.block_b, BLOCK_K=cut.block_k,
            )  # fmt: skip
            partials.append(partial)
    if not need_weight:
        return grad_x, weight.new_empty(0)
    return grad_x, torch.cat(partials).sum(dim=0).to(weight.dtype)


def _power_of_two(size: int) -> int:
    return 1 << max(0, size - 1).bit_length()


def _prepared(x: Tensor, weight: Tensor) -> Tensor:
    """Neighbouring features must be neighbours in memory; with one weight per channel and feature, channels too."""
    lane_weights = weight.shape[1] > 1 and x.shape[3] == 1
    unit = x.stride(2) == 1 or x.shape[2] == 1 if lane_weights else x.stride(3) == 1 or x.shape[3] == 1
    return x if unit else x.contiguous()


def _grid_parts(x: Tensor, cut: Tiling) -> list[slice]:
    """Slices of the batch whose programs, one per neuron and tile, fit a CUDA grid."""
    batch, neurons = x.shape[:2]
    step = max(1, _MAX_GRID // (neurons * cut.tiles(1)[1])) * cut.block_b
    return [slice(start, start + step) for start in range(0, batch, step)]


def _device(x: Tensor) -> contextlib.AbstractContextManager[object]:
    return torch.cuda.device(x.device) if x.is_cuda else contextlib.nullcontext()
