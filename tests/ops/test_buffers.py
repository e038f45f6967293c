"""Large results reuse memory, and never memory that somebody still sees."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from elegans_gnn import ops
from elegans_gnn.ops import _buffers

MANY = _buffers.SMALLEST // 4 + 3


@pytest.fixture(autouse=True)
def real_memory(poisoned_memory: None) -> Iterator[None]:
    torch.use_deterministic_algorithms(False)
    ops.release_buffers()
    yield
    ops.release_buffers()


def test_a_block_is_used_again_when_the_last_view_is_gone() -> None:
    first = _buffers.empty(torch.ones(1), torch.Size([MANY]))
    address = first.data_ptr()
    part = first[5:7].view(2, 1).fill_(3)
    del first
    second = _buffers.empty(torch.ones(1), torch.Size([MANY]))
    assert second.data_ptr() != address
    second.fill_(0)
    assert part.tolist() == [[3], [3]]
    del part
    assert _buffers.empty(torch.ones(1), torch.Size([MANY])).data_ptr() == address


def test_other_sizes_and_small_ones_do_not_share() -> None:
    address = _buffers.empty(torch.ones(1), torch.Size([MANY])).data_ptr()
    assert _buffers.empty(torch.ones(1), torch.Size([2 * MANY])).data_ptr() != address
    assert _buffers.empty(torch.ones(1), torch.Size([3, 5])).shape == (3, 5)
    assert len(_buffers._unused) == 2


def test_what_lies_unused_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_buffers, "MOST_UNUSED", 3 * _buffers.SMALLEST)
    kept = [_buffers.empty(torch.ones(1), torch.Size([MANY])) for _ in range(5)]
    kept.clear()
    assert 0 < _buffers.unused_bytes() <= _buffers.MOST_UNUSED


def test_threads_never_get_the_same_block() -> None:
    failures: list[int] = []

    def work(number: int) -> None:
        for _ in range(20):
            tensor = _buffers.empty(torch.ones(1), torch.Size([MANY]))
            tensor[:1000] = number
            if not bool((tensor[:1000] == number).all()):
                failures.append(number)

    workers = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not failures


def test_a_large_result_trains_and_copies_like_any_other() -> None:
    tensor = _buffers.empty(torch.ones(1), torch.Size([MANY])).fill_(2).requires_grad_()
    tensor.square().sum().backward()
    assert tensor.grad is not None
    assert float(tensor.grad[-1]) == 4
    assert float(tensor.detach().clone()[-1]) == 2


def test_the_next_call_finds_no_memory_after_release() -> None:
    tensor = _buffers.empty(torch.ones(1), torch.Size([MANY]))
    assert _buffers.unused_bytes() == 0
    del tensor
    assert _buffers.unused_bytes() >= 4 * MANY
    ops.release_buffers()
    assert _buffers.unused_bytes() == 0


def test_all_large_results_come_from_the_same_pool() -> None:
    """A step's smaller tensors too: there is one bound for all of them."""
    tensor = ops.buffer(torch.ones(1), [1 << 18])
    address = tensor.data_ptr()
    del tensor
    assert _buffers.unused_bytes() > 0
    assert ops.buffer(torch.ones(1), [512, 512]).data_ptr() == address
