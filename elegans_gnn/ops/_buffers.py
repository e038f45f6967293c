"""Memory for large CPU results that is used again after the result is gone.

The C library gives large blocks back to the system at once, so each call would pay for new, zeroed pages: as much
time as the aggregation itself. Freed blocks are kept, up to a bound, as torch's own allocator does on GPUs. They ask
for huge pages.
"""

from __future__ import annotations

import math
import mmap
import os
import threading
import weakref
from collections.abc import Sequence

import torch
from torch import Tensor

# A huge page. From here on kept blocks are faster than the C library's, whose pages are small.
SMALLEST = 2 << 20
# What may lie unused: a forward and a backward pass of 128 MiB states, twice over.
MOST_UNUSED = 512 << 20

# In a tensor network, a new block costs more in page faults from here on than a kept one in bookkeeping.
_SMALLEST_IN_A_STEP = 1 << 19
_HUGE_PAGE = 2 << 20
_unused: list[mmap.mmap] = []
# Re-entrant: the garbage collector may give a block back while this thread takes one.
_lock = threading.RLock()


def empty(like: Tensor, shape: torch.Size, smallest: int = SMALLEST) -> Tensor:
    """An uninitialised tensor with dtype and device of `like`; on kept memory from `smallest` bytes on."""
    size = shape.numel() * like.element_size()
    if size < smallest or not hasattr(mmap, "MADV_HUGEPAGE") or torch.are_deterministic_algorithms_enabled():
        return like.new_empty(shape)
    block = _take(-(-size // _HUGE_PAGE) * _HUGE_PAGE)
    # The tensor's storage holds the view; when the last tensor on it is gone, the view dies and the block is free.
    view = memoryview(block)
    weakref.finalize(view, _give_back, block).atexit = False
    return torch.frombuffer(view, dtype=like.dtype, count=shape.numel()).view(shape)


def buffer(like: Tensor, shape: Sequence[int]) -> Tensor:
    """The same for the tensors of one training step, which the next step needs again: smaller ones are kept too."""
    if like.device.type != "cpu" or math.prod(shape) * like.element_size() < _SMALLEST_IN_A_STEP:
        return like.new_empty(shape)
    return empty(like, torch.Size(shape), _SMALLEST_IN_A_STEP)


def cut(block: Tensor, shapes: Sequence[Sequence[int]]) -> list[Tensor]:
    """Tensors of these shapes, one after the other out of a flat block."""
    parts = block.split_with_sizes([math.prod(shape) for shape in shapes])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def unused_bytes() -> int:
    """How much memory is kept and not in use."""
    with _lock:
        return sum(map(len, _unused))


def release_buffers() -> None:
    """Give the memory that is kept for the next call, 512 MiB at most, back to the system."""
    with _lock:
        _unused.clear()


def _take(size: int) -> mmap.mmap:
    with _lock:
        for index, block in enumerate(_unused):
            if len(block) == size:
                return _unused.pop(index)
    block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    block.madvise(mmap.MADV_HUGEPAGE)
    return block


def _give_back(block: mmap.mmap) -> None:
    with _lock:
        _unused.append(block)
        while unused_bytes() > MOST_UNUSED:
            _unused.pop(0)


def _after_fork() -> None:
    """In a child process: a thread that held the lock is not there to give it back."""
    global _lock
    _lock = threading.RLock()
    _unused.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
