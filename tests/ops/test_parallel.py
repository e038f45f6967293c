"""Two processes with DistributedDataParallel over gloo: the same step as one process with the whole batch."""

from __future__ import annotations

from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from elegans_gnn import ops
from tests.ops.cases import graph


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.adjacency = graph("worm-like")
        self.weight = nn.Parameter(torch.linspace(-1, 1, 90))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return ops.aggregate(x, self.weight, self.adjacency, "mean").tanh()


def states() -> torch.Tensor:
    return torch.randn(6, 23, 4, generator=torch.Generator().manual_seed(0))


def work(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    layer = DistributedDataParallel(Layer())
    layer(states()[rank * 3 : rank * 3 + 3]).square().mean().backward()
    torch.save(layer.module.weight.grad, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_give_the_gradient_of_the_whole_batch(tmp_path: Path) -> None:
    mp.spawn(work, args=(str(tmp_path),), nprocs=2)
    layer = Layer()
    layer(states()).square().mean().backward()
    for rank in range(2):
        torch.testing.assert_close(torch.load(tmp_path / f"{rank}.pt"), layer.weight.grad)
