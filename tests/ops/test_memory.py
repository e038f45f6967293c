"""A graph of a fly brain's kind: memory grows with neurons times features and with edges, never with their product."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEURONS, FEATURES, EDGES = 20_000, 32, (200_000, 400_000)

# In a process of its own, whose C library gives every block above 64 KiB back at once: kept memory would hide growth.
SCRIPT = """
import json, sys
import torch
from aggregate import fly_sized
from measure import peak_extra_bytes
from elegans_gnn import ops

neurons, features, *sizes = map(int, sys.argv[1:])
found = {}
for edges in sizes:
    adjacency = fly_sized(neurons, edges)
    x, grad = torch.randn(1, neurons, features, requires_grad=True), torch.randn(1, neurons, features)
    weight = torch.randn(edges, requires_grad=True)

    def step(reduce):
        y = ops.aggregate(x, weight, adjacency, reduce)
        return y, *torch.autograd.grad(y, (x, weight), grad)

    def gather():
        return x.detach()[0].index_select(0, adjacency.col)

    for name, run in {"sum": lambda: step("sum"), "max": lambda: step("max"), "gathered": gather}.items():
        run()
        found.setdefault(name, []).append(peak_extra_bytes(run))
print(json.dumps(found))
"""


def test_extra_memory_grows_with_neurons_and_edges_alone() -> None:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])
    environment = os.environ | {"PYTHONPATH": paths, "MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, *map(str, (NEURONS, FEATURES, *EDGES))]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = json.loads(ran.stdout)
    if found["sum"][0] is None:
        pytest.skip("this system does not tell the peak of the resident memory")
    state = NEURONS * FEATURES * 4
    for reduce, outputs in (("sum", 2), ("max", 3)):
        for edges, extra, gathered in zip(EDGES, found[reduce], found["gathered"], strict=True):
            # y, grad_x and for max the winners; the weights' gradient; as much again for working buffers.
            assert outputs * state < extra < 2 * (outputs * state + 4 * edges)
            # The measure does see a tensor of edges times features.
            assert gathered > 0.9 * edges * FEATURES * 4
        growth = (found[reduce][1] - found[reduce][0]) / (EDGES[1] - EDGES[0])
        assert growth < 16
