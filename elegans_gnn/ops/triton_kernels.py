"""The GPU kernels: forward over CSR rows, both gradients over CSC columns; no atomics, so results are deterministic.

A program owns one neuron and one tile [BLOCK_B samples, BLOCK_K features] and walks the neuron's edges in order.
Offsets into states and weights are 64-bit. With LANE_WEIGHTS the features of a tile are the channels, each with its own
weight; otherwise a tile lies within one channel. How many bytes this moves is worked out in docs/kernels.md.
"""

# Kernel arguments are pointers and numbers of the GPU: they have no Python types.
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl

from elegans_gnn.ops import codes

SUM, MEAN, MUL, MAX = (tl.constexpr(codes.REDUCE[name]) for name in ("sum", "mean", "mul", "max"))


@triton.jit
def _edge_weight(weight, p, c, offs_k, inner, we, wc, LANE_WEIGHTS: tl.constexpr, ACC: tl.constexpr):
    """One weight, or a row [1, BLOCK_K] of them."""
    base = weight + p.to(tl.int64) * we
    # One return: the compiler, unlike the interpreter, wants one type for all of them.
    if LANE_WEIGHTS:
        w = tl.load(base + offs_k * wc, mask=offs_k < inner, other=0.0).to(ACC)[None, :]
    else:
        w = tl.load(base + c * wc).to(ACC)
    return w


@triton.jit
def _scaled(value, first, last, REDUCE: tl.constexpr, ACC: tl.constexpr):
    """What a value counts in the scaled sum of a target whose edges are first .. last - 1."""
    if REDUCE == MEAN:
        value = value / tl.maximum(last - first, 1).to(ACC)
    return value


@triton.jit
def forward_kernel(
    x, weight, y, winner, rowptr, col, perm,
    neurons, batch, inner, xb, xn, xc, we, wc, yb, yn, yc,
    REDUCE: tl.constexpr, LANE_WEIGHTS: tl.constexpr, ACC: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    v, tile = tl.program_id(0) % neurons, tl.program_id(0) // neurons
    c = tl.program_id(1).to(tl.int64)
    k_tiles = tl.cdiv(inner, BLOCK_K)
    offs_b = (tile // k_tiles) * BLOCK_B + tl.arange(0, BLOCK_B)
    offs_k = (tile % k_tiles) * BLOCK_K + tl.arange(0, BLOCK_K)
    mask = (offs_b < batch)[:, None] & (offs_k < inner)[None, :]
    sources = x + c * xc + offs_b.to(tl.int64)[:, None] * xb + offs_k[None, :]
    first, last = tl.load(rowptr + v), tl.load(rowptr + v + 1)

    acc = tl.full((BLOCK_B, BLOCK_K), 1.0 if REDUCE == MUL else 0.0, dtype=ACC)
    who = tl.full((BLOCK_B, BLOCK_K), -1, dtype=tl.int32)
    for e in range(first, last):
        u, p = tl.load(col + e).to(tl.int64), tl.load(perm + e)
        w = _edge_weight(weight, p, c, offs_k, inner, we, wc, LANE_WEIGHTS, ACC)
        message = w * tl.load(sources + u * xn, mask=mask, other=0.0).to(ACC)
        if REDUCE == MUL:
            acc = acc * message
        elif REDUCE == MAX:
            better = (e == first) | (message > acc) | ((message != message) & (acc == acc))
            acc = tl.where(better, message, acc)
            who = tl.where(better, p, who)
        else:
            acc = acc + message
    acc = _scaled(acc, first, last, REDUCE, ACC)

    rows = v.to(tl.int64) * yn + c * yc + offs_b.to(tl.int64)[:, None] * yb + offs_k[None, :]
    tl.store(y + rows, acc.to(y.dtype.element_ty), mask=mask)
    if REDUCE == MAX:
        tl.store(winner + rows, who, mask=mask)


@triton.jit
def _product_of_others(
    sources, weight, rowptr, col, perm, v, p, c, offs_k, mask, inner, xn, we, wc,
    LANE_WEIGHTS: tl.constexpr, ACC: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """The messages into v, all but edge p, multiplied: recomputed for each edge, since storing them is not allowed."""
    product = tl.full((BLOCK_B, BLOCK_K), 1.0, dtype=ACC)
    for other in range(tl.load(rowptr + v), tl.load(rowptr + v + 1)):
        u, q = tl.load(col + other).to(tl.int64), tl.load(perm + other)
        w = _edge_weight(weight, q, c, offs_k, inner, we, wc, LANE_WEIGHTS, ACC)
        message = w * tl.load(sources + u * xn, mask=mask, other=0.0).to(ACC)
        product = tl.where(q == p, product, product * message)
    return product


@triton.jit
def backward_kernel(
    grad_y, x, weight, winner, grad_x, partial, rowptr, col, perm, colptr, row, csc_perm,
    neurons, batch, inner, edges, weight_channels, gb, gn, gc, xb, xn, xc, we, wc, ob, on, oc,
    REDUCE: tl.constexpr, LANE_WEIGHTS: tl.constexpr, NEED_X: tl.constexpr, NEED_WEIGHT: tl.constexpr,
    ACC: tl.constexpr, BLOCK_B: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    u, tile = tl.program_id(0) % neurons, tl.program_id(0) // neurons
    c = tl.program_id(1).to(tl.int64)
    k_tiles = tl.cdiv(inner, BLOCK_K)
    offs_b = (tile // k_tiles) * BLOCK_B + tl.arange(0, BLOCK_B)
    offs_k = (tile % k_tiles) * BLOCK_K + tl.arange(0, BLOCK_K)
    mask = (offs_b < batch)[:, None] & (offs_k < inner)[None, :]
    sources = x + c * xc + offs_b.to(tl.int64)[:, None] * xb + offs_k[None, :]
    targets = grad_y + c * gc + offs_b.to(tl.int64)[:, None] * gb + offs_k[None, :]
    places = c * oc + offs_b.to(tl.int64)[:, None] * ob + offs_k[None, :]
    state = tl.load(sources + u.to(tl.int64) * xn, mask=mask, other=0.0).to(ACC)

    acc = tl.zeros((BLOCK_B, BLOCK_K), dtype=ACC)
    for e in range(tl.load(colptr + u), tl.load(colptr + u + 1)):
        v, p = tl.load(row + e).to(tl.int64), tl.load(csc_perm + e)
        grad = tl.load(targets + v * gn, mask=mask, other=0.0).to(ACC)
        if REDUCE == MUL:
            grad = grad * _product_of_others(
                sources, weight, rowptr, col, perm, v, p, c, offs_k, mask, inner, xn, we, wc,
                LANE_WEIGHTS, ACC, BLOCK_B, BLOCK_K,
            )  # fmt: skip
        elif REDUCE == MAX:
            grad = tl.where(tl.load(winner + places + v * on, mask=mask, other=-1) == p, grad, 0.0)
        else:
            grad = _scaled(grad, tl.load(rowptr + v), tl.load(rowptr + v + 1), REDUCE, ACC)
        if NEED_X:
            acc = acc + _edge_weight(weight, p, c, offs_k, inner, we, wc, LANE_WEIGHTS, ACC) * grad
        if NEED_WEIGHT:
            share = tl.where(mask, state * grad, 0.0)
            if LANE_WEIGHTS:
                into = partial + ((tile // k_tiles).to(tl.int64) * edges + p) * weight_channels + offs_k
                tl.store(into, tl.sum(share, axis=0), mask=offs_k < inner)
            else:
                into = partial + (tile.to(tl.int64) * edges + p) * weight_channels + c
                tl.store(into, tl.sum(tl.sum(share, axis=1), axis=0))
    if NEED_X:
        tl.store(grad_x + places + u.to(tl.int64) * on, acc.to(grad_x.dtype.element_ty), mask=mask)
