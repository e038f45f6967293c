"""Run by test_layer with the name of a compiler.

Whole-graph compilation, and export with a free batch size, give what eager execution gives.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from elegans_gnn.nn.tensor_network import TensorNetwork
from tests.tensor_network.cases import golden_graph


def check(options: dict[str, Any], backend: str) -> None:
    network = TensorNetwork(golden_graph().subset(range(0, 279, 7)), 4, **options)
    x = torch.randn(3, 4)
    compiled = torch.compile(network, fullgraph=True, backend=backend)
    torch.testing.assert_close(compiled(x), network(x))
    if backend == "inductor":  # compiled anew, for any number of samples
        more = torch.randn(6, 4)
        torch.testing.assert_close(compiled(more), network(more))
    compiled(x).square().sum().backward()
    got = [parameter.grad.clone() for parameter in network.parameters()]
    network.zero_grad()
    network(x).square().sum().backward()
    for mine, parameter in zip(got, network.parameters(), strict=True):
        torch.testing.assert_close(mine, parameter.grad)
    exported = torch.export.export(network, (x,), dynamic_shapes=({0: torch.export.Dim("batch", min=2)},))
    longer = torch.randn(5, 4)
    torch.testing.assert_close(exported.module()(longer), network(longer))


if __name__ == "__main__":
    cases: list[dict[str, Any]] = [
        {},
        {"unit_norm": False, "units": "diagonal"},
        {"reapply": ("IM",), "edge_weights": True, "recompute": True},
    ]
    for case in cases:
        check(case, sys.argv[1])
    print(len(cases), "networks")
