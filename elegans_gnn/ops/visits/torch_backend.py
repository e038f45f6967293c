"""Programs of visits in plain torch, one wavefront at a time: for every device and dtype.

Within a wavefront all reads come before all writes, and exports come last. Half-precision states are worked on in
float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elegans_gnn.ops.codes import OP_ADD, OP_CARRY, OP_FINISHED, OP_FUSE, OP_UNIT_INPUT
from elegans_gnn.ops.visits.program import Program

Pair = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class _Wave:
    """One wavefront: targets, sources and edges of fused arrivals; targets and sources of additions; rows and slots
    exported."""

    fuse: tuple[Tensor, Tensor, Tensor]
    add: Pair
    exports: tuple[Pair, Pair, Pair]  # unit inputs, carry, finished states


@dataclass(frozen=True)
class _Index:
    """A program as index tensors on one device."""

    slots: int
    loads: tuple[tuple[int, Tensor, Tensor], ...]  # source, slots, rows
    waves: tuple[_Wave, ...]


@dataclass
class _WaveResult:
    """What a wavefront's backward pass needs: the operands, the result and the factor of the norm."""

    b: Tensor
    a: Tensor
    y: Tensor
    factor: Tensor | None
    added: Tensor | None
    added_factor: Tensor | None


def forward(program: Program, sources: list[Tensor], exports: list[Tensor]) -> None:
    """Write unit inputs, carry and finished states into `exports` [R, ., F], which may be slices of larger tensors."""
    index = _index_of(program, sources[0].device)
    state = _load(sources, index)
    for wave in index.waves:
        _run_wave(state, wave, program)
        for out, (rows, slots) in zip(exports, wave.exports, strict=True):
            out.index_copy_(1, rows, state.index_select(1, slots).to(out.dtype))


def backward(
    program: Program,
    grads_out: list[Tensor],
    sources: list[Tensor],
    grads: list[Tensor | None],
    neurons: list[int],
    need_weight: bool,
) -> Tensor:
    """Write the gradients of the sources into `grads` [R, n, F] where wanted; gives the edge weights' (or nothing)."""
    index, edge_weight = _index_of(program, grads_out[0].device), program.edge_weight
    results: list[_WaveResult] = []
    if not program.stateless:
        state = _load(sources, index)
        results = [_run_wave(state, wave, program) for wave in index.waves]
    rows, _, feature = grads_out[0].shape
    dtype = grads_out[0].dtype
    state_grad = grads_out[0].new_zeros((rows, index.slots, feature), dtype=_working(dtype))
    grad_weight = torch.zeros_like(edge_weight, dtype=_working(edge_weight.dtype))
    for wave in reversed(index.waves):
        for given, (places, slots) in zip(grads_out, wave.exports, strict=True):
            state_grad.index_add_(1, slots, given.index_select(1, places).to(state_grad.dtype))
        if program.stateless:
            into = torch.cat([wave.fuse[1], wave.add[1]])
            state_grad.index_add_(1, into, state_grad.index_select(1, torch.cat([wave.fuse[0], wave.add[0]])))
        else:
            _wave_backward(state_grad, grad_weight, wave, results.pop(), program)
    for number, grad in enumerate(grads):
        if grad is None:
            continue
        found = state_grad.new_zeros((rows, neurons[number], feature))
        for source, slots, places in index.loads:
            if source == number:
                found.index_add_(1, places, state_grad.index_select(1, slots))
        grad.copy_(found)
    return (grad_weight if need_weight else grad_weight.new_empty(0)).to(edge_weight.dtype)


def _working(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _load(sources: list[Tensor], index: _Index) -> Tensor:
    rows, _, feature = sources[0].shape
    state = sources[0].new_empty((rows, index.slots, feature), dtype=_working(sources[0].dtype))
    for source, slots, places in index.loads:
        state.index_copy_(1, slots, sources[source].index_select(1, places).to(state.dtype))
    return state


def _run_wave(state: Tensor, wave: _Wave, program: Program) -> _WaveResult:
    """Advance the state in place; gives the operands for a backward pass."""
    _, _, edge_weight, fuse, norm, eps = program
    target, source, edge = wave.fuse
    a = state.index_select(1, source)
    w = edge_weight.to(state.dtype).index_select(0, edge).unsqueeze(1) if edge_weight.numel() else None
    if fuse == "add" and norm == "none":
        state_add = state.index_select(1, wave.add[1])
        state.index_add_(1, target, a if w is None else a * w)
        state.index_add_(1, wave.add[0], state_add)
        return _WaveResult(a, a, a, None, None, None)
    b = state.index_select(1, target)
    gated = a if w is None else a * w if fuse == "add" else 1 + w * (a - 1)
    y, factor = _normalise(b + gated if fuse == "add" else b * gated, norm, eps)
    added = added_factor = None
    if len(wave.add[0]):
        added = state.index_select(1, wave.add[0]) + state.index_select(1, wave.add[1])
        added, added_factor = _normalise(added, "none" if norm == "rms" else norm, eps)
        state.index_copy_(1, wave.add[0], added)
    state.index_copy_(1, target, y)
    return _WaveResult(b, a, y, factor, added, added_factor)


def _normalise(y: Tensor, norm: str, eps: float) -> tuple[Tensor, Tensor | None]:
    if norm == "none":
        return y, None
    if norm == "layer":
        y = y - y.mean(-1, keepdim=True)
    factor = torch.rsqrt(y.square().mean(-1, keepdim=True) + eps)
    return y * factor, factor


def _normalise_backward(g: Tensor, y: Tensor, factor: Tensor | None, norm: str) -> Tensor:
    if factor is None:
        return g
    centred = g - g.mean(-1, keepdim=True) if norm == "layer" else g
    return factor * (centred - y * (g * y).mean(-1, keepdim=True))


def _wave_backward(state_grad: Tensor, grad_weight: Tensor, wave: _Wave, result: _WaveResult, program: Program) -> None:
    """Turn the gradient of the states after a wavefront into that of the states before it."""
    _, _, edge_weight, fuse, norm, _ = program
    target, source, edge = wave.fuse
    g = state_grad.index_select(1, target)
    g_added = state_grad.index_select(1, wave.add[0])
    if result.added is not None:
        g_added = _normalise_backward(g_added, result.added, result.added_factor, norm)
        state_grad.index_copy_(1, wave.add[0], g_added)
    g = _normalise_backward(g, result.y, result.factor, norm)
    w = edge_weight.to(g.dtype).index_select(0, edge).unsqueeze(1) if edge_weight.numel() else None
    if fuse == "add":
        g_a, g_w = (g if w is None else g * w), g * result.a
        if norm != "none":
            state_grad.index_copy_(1, target, g)
    else:
        g_a, g_w = g * result.b * (1 if w is None else w), g * result.b * (result.a - 1)
        state_grad.index_copy_(1, target, g * (result.a if w is None else 1 + w * (result.a - 1)))
    if w is not None:
        grad_weight.index_add_(0, edge, g_w.sum((0, 2)))
    state_grad.index_add_(1, source, g_a)
    state_grad.index_add_(1, wave.add[1], g_added)


def _index_of(program: Program, device: torch.device) -> _Index:
    return _index(program.loads.numpy().tobytes(), program.code.numpy().tobytes(), device)


@lru_cache(maxsize=256)
def _index(loads: bytes, code: bytes, device: torch.device) -> _Index:
    """Decode a program; the bytes are its identity, so that copies and reloaded modules find it again."""
    load = np.frombuffer(loads, dtype=np.int32).reshape(-1, 2).astype(np.int64)
    steps = np.frombuffer(code, dtype=np.int32).reshape(-1, 5).astype(np.int64)

    def tensor(values: NDArray[np.int64]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values)).to(device)

    def part(wave: NDArray[np.int64], what: int) -> tuple[Tensor, Tensor, Tensor]:
        chosen = wave[wave[:, 0] == what]
        return tensor(chosen[:, 1]), tensor(chosen[:, 2]), tensor(chosen[:, 3])

    waves = []
    for number in np.unique(steps[:, 4]):
        inside = steps[steps[:, 4] == number]
        exports = [part(inside, what)[:2] for what in (OP_UNIT_INPUT, OP_CARRY, OP_FINISHED)]
        waves.append(_Wave(part(inside, OP_FUSE), part(inside, OP_ADD)[:2], (exports[0], exports[1], exports[2])))
    sources = np.unique(load[:, 0])
    placed = tuple((int(k), tensor(np.flatnonzero(load[:, 0] == k)), tensor(load[load[:, 0] == k, 1])) for k in sources)
    return _Index(len(load), placed, tuple(waves))
