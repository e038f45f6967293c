"""The GPU kernels of the synaptic convolution; no atomics, so results are deterministic.

Both walk places: a place is a pixel of an image, and an image is a map of one sample and channel among those that
share weights. The first kernel owns one neuron and a tile of places and walks the neuron's edges: y over CSR rows, and
grad_x over CSC columns with turned filters. The second owns one edge, all its taps side by side, and walks all places.
"""

# Kernel arguments are pointers and numbers of the GPU: they have no Python types.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def _where(places, channels, height, width, sb, sc):
    """The row and column of places, and the offset of their maps' first element."""
    pixels = height * width
    image, pixel = places // pixels, places % pixels
    start = (image // channels).to(tl.int64) * sb + (image % channels) * sc
    return pixel // width, pixel % width, start


@triton.jit
def convolve_kernel(
    x, weight, y, pointers, partners, perm,
    neurons, images, channels, groups, height, width, xb, xn, xc, yb, yn, yc,
    KH: tl.constexpr, KW: tl.constexpr, TURNED: tl.constexpr, ACC: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    v, tile = tl.program_id(0) % neurons, tl.program_id(0) // neurons
    group = tl.program_id(1).to(tl.int64)
    places = tile * BLOCK + tl.arange(0, BLOCK)
    there = places < images * height * width
    r, c, start = _where(places, channels, height, width, xb, xc)
    sources = x + group * xc + start + r * width + c

    acc = tl.zeros((BLOCK,), dtype=ACC)
    for e in range(tl.load(pointers + v), tl.load(pointers + v + 1)):
        u, p = tl.load(partners + e).to(tl.int64), tl.load(perm + e).to(tl.int64)
        filters = weight + (p * groups + group) * (KH * KW)
        for t in tl.static_range(KH * KW):
            dy, dx = t // KW - KH // 2, t % KW - KW // 2
            inside = there & (r + dy >= 0) & (r + dy < height) & (c + dx >= 0) & (c + dx < width)
            w = tl.load(filters + (KH * KW - 1 - t if TURNED else t)).to(ACC)
            acc += w * tl.load(sources + u * xn + dy * width + dx, mask=inside, other=0.0).to(ACC)

    r, c, start = _where(places, channels, height, width, yb, yc)
    into = y + group * yc + v.to(tl.int64) * yn + start + r * width + c
    tl.store(into, acc.to(y.dtype.element_ty), mask=there)


@triton.jit
def correlate_kernel(
    grad_y, x, grad_weight, sources, targets, edge_numbers,
    images, channels, groups, height, width, gb, gn, gc, xb, xn, xc,
    KH: tl.constexpr, KW: tl.constexpr, TAPS: tl.constexpr, ACC: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    e, group = tl.program_id(0), tl.program_id(1).to(tl.int64)
    u, v = tl.load(sources + e).to(tl.int64), tl.load(targets + e).to(tl.int64)
    states, grads = x + u * xn + group * xc, grad_y + v * gn + group * gc
    t = tl.arange(0, TAPS)
    dy, dx = t // KW - KH // 2, t % KW - KW // 2

    acc = tl.zeros((BLOCK, TAPS), dtype=ACC)
    for first in range(0, images * height * width, BLOCK):
        places = first + tl.arange(0, BLOCK)
        there = places < images * height * width
        r, c, start = _where(places, channels, height, width, gb, gc)
        grad = tl.load(grads + start + r * width + c, mask=there, other=0.0).to(ACC)
        r, c, start = _where(places, channels, height, width, xb, xc)
        row, column = r[:, None] + dy[None, :], c[:, None] + dx[None, :]
        inside = (
            there[:, None] & (row >= 0) & (row < height) & (column >= 0) & (column < width) & (t < KH * KW)[None, :]
        )
        acc += grad[:, None] * tl.load(states + start[:, None] + row * width + column, mask=inside, other=0.0).to(ACC)

    into = grad_weight + (tl.load(edge_numbers + e).to(tl.int64) * groups + group) * (KH * KW) + t
    tl.store(into, tl.sum(acc, axis=0).to(grad_weight.dtype.element_ty), mask=t < KH * KW)
