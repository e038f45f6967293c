"""Trains a layer in two processes and compares it with one; started once for each process by the tests."""

from __future__ import annotations

import copy
import sys

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from elegans_gnn import ConnectomeConv, load_connectome


def trained(model: nn.Module, x: torch.Tensor) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(3):
        optimizer.zero_grad()
        (model(x) - 1).square().mean().backward()
        optimizer.step()


def main(way: str, path: str) -> None:
    dist.init_process_group("gloo")
    torch.manual_seed(0)
    worm = load_connectome("varshney2011")
    alone = nn.Sequential(
        ConnectomeConv(worm, 3, 4, signs="transmitter", activation="silu"), ConnectomeConv(worm, 4, 2)
    )
    together = copy.deepcopy(alone)
    x = torch.randn(4, 279, 3)
    trained(alone, x)
    if way == "ddp":
        wrapped = DistributedDataParallel(together)
    else:
        wrapped = fully_shard(together, mesh=init_device_mesh("cpu", (2,)))
    trained(wrapped, x[dist.get_rank() :: 2])
    for (name, parameter), wanted in zip(together.named_parameters(), alone.parameters(), strict=True):
        whole = parameter.full_tensor() if way == "fsdp" else parameter
        torch.testing.assert_close(whole, wanted, rtol=1e-4, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")
    if dist.get_rank() == 0:
        torch.save(1, path)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
