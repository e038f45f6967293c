"""Memory for large CPU results that is used again after the result is gone.

The C library gives blocks above 32 MiB back to the system at once, so each call would pay for new, zeroed pages: as
much time as the aggregation itself. Freed blocks are kept, up to a bound, as torch's own allocator does on GPUs.
"""

from __future__ import annotations

import mmap
import threading
import weakref

import torch
from torch import Tensor

# glibc never keeps a freed block larger than this for itself.
SMALLEST = 32 << 20
# What may lie unused: a forward and a backward pass of 128 MiB states, twice over.
KEEP = 512 << 20

_HUGE_PAGE = 2 << 20
_free: list[mmap.mmap] = []
# Re-entrant: the collector may give a block back while this thread takes one.
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


def release() -> None:
    """Give the unused blocks back to the system."""
    with _lock:
        _free.clear()


def _take(size: int) -> mmap.mmap:
    with _lock:
        for index, block in enumerate(_free):
            if len(block) == size:
                return _free.pop(index)
    block = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    block.madvise(mmap.MADV_HUGEPAGE)
    return block


def _give_back(block: mmap.mmap) -> None:
    with _lock:
        _free.append(block)
        while sum(map(len, _free)) > KEEP:
            _free.pop(0)
