"""The native kernels: every instruction set, thread counts, runs, layouts that are read in place, and memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from elegans_gnn import ops
from elegans_gnn.ops.synaptic import native
from elegans_gnn.ops.synaptic.contract import whole_maps
from tests.ops.cases import assert_same, random_graph
from tests.ops.synaptic.cases import KERNELS, SIZES, inputs, run

ROOT = Path(__file__).parents[3]
BEST = native._library.elegans_best_isa()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("batch", [1, 7, 20])
def test_all_instruction_sets_agree(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, batch: int) -> None:
    rounding = {torch.float64: 1e-13, torch.float32: 1e-5, torch.bfloat16: 2e-2}[dtype]
    adjacency = random_graph(6, 14, seed=0)
    for size in SIZES:
        for kernel in KERNELS:
            case = inputs(adjacency, batch, 2, size, kernel, per_channel=size[0] % 2 == 0, dtype=dtype)
            expected = run("torch", adjacency, *case)
            for isa in range(1, BEST + 1):
                monkeypatch.setattr(native, "instruction_set", isa)
                assert_same(run("native", adjacency, *case), expected, rounding=rounding)


@pytest.mark.parametrize(("batch", "size"), [(1, (14, 14)), (3, (28, 28)), (64, (7, 7)), (33, (14, 14)), (2, (40, 50))])
@pytest.mark.parametrize("per_channel", [False, True])
def test_results_do_not_depend_on_threads_or_run(batch: int, size: tuple[int, int], per_channel: bool) -> None:
    adjacency = random_graph(41, 500, seed=1)
    case = inputs(adjacency, batch, 2, size, (3, 3), per_channel=per_channel, dtype=torch.float32)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 7, 2):
            torch.set_num_threads(threads)
            results.append(run("native", adjacency, *case))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(other, results[0], strict=True):
            assert torch.equal(a, b)


def test_whole_maps_are_not_copied() -> None:
    x = torch.randn(4, 5, 2, 6, 7)
    for view in (x, x.transpose(0, 1), x[::2], x[:, :, :1], x.expand(3, *x.shape)[1]):
        assert whole_maps(view) is view
    assert whole_maps(x[..., :3]) is not x


def test_an_instruction_set_beyond_the_processor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "instruction_set", 4)
    with pytest.raises(RuntimeError, match="native synaptic convolution failed: this processor lacks"):
        ops.synaptic_conv2d(torch.ones(1, 6, 1, 2, 2), torch.ones(14, 3, 3), random_graph(6, 14, seed=0))


# In a process of its own, whose C library gives every block above 64 KiB back at once: kept memory would hide growth.
# Large results take whole huge pages of 2 MiB; these states fill seven.
MEMORY = """
import json, sys
import torch
from measure import peak_extra_bytes
from elegans_gnn import ops
from tests.ops.cases import random_graph

found = []
fused = sys.argv[1] == "step"
for edges in map(int, sys.argv[2:]):
    adjacency = random_graph(224, edges, seed=0)
    x, grad = torch.randn(64, 224, 1, 16, 16, requires_grad=True), torch.randn(64, 224, 1, 16, 16)
    weight = torch.randn(edges, 3, 3, requires_grad=True)
    parameters = [torch.ones(224, 1, requires_grad=True), torch.zeros(224, 1), torch.ones(224)]

    def step():
        if fused:
            y = ops.synaptic_step(x, weight, adjacency, *parameters, activation="gelu")
        else:
            y = ops.synaptic_conv2d(x, weight, adjacency)
        return y, *torch.autograd.grad(y, (x, weight, *parameters[:fused]), grad)

    step()
    found.append(peak_extra_bytes(step))
print(json.dumps(found))
"""


@pytest.mark.parametrize("operator", ["convolution", "step"])
def test_memory_is_that_of_the_results_and_a_few_numbers_per_weight(operator: str) -> None:
    edges = (3_000, 30_000)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")]),
        "MALLOC_MMAP_THRESHOLD_": "65536",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-W", "ignore", "-c", MEMORY, operator, *map(str, edges)]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = json.loads(ran.stdout)
    if found[0] is None:
        pytest.skip("this system does not tell the peak of the resident memory")
    states = 2 * 64 * 224 * 16 * 16 * 4
    for extra, count in zip(found, edges, strict=True):
        # y and grad_x; grad_weight, staged weights and eight partial sums of it; a few maps that are worked on.
        assert states < extra < 1.15 * states + 10 * (count * 9 * 4)
