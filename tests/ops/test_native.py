"""The native kernels: both schedules, every instruction set, thread counts, layouts, memory, and a missing library."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from elegans_gnn import ops
from elegans_gnn.ops import _backends, native
from elegans_gnn.sparse import SparseAdjacency
from tests.ops.cases import FEATURES, GRAPHS, REDUCES, Result, assert_same, graph, inputs, random_graph, run

STRIPS, ROWS = 1, 2
BEST = native._library.elegans_best_isa()


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("per_channel", [False, True])
def test_both_schedules_and_all_instruction_sets_agree(
    monkeypatch: pytest.MonkeyPatch, reduce: str, dtype: torch.dtype, per_channel: bool
) -> None:
    rounding = {torch.float64: 1e-13, torch.float32: 1e-5, torch.bfloat16: 2e-2}[dtype]
    for name in (*GRAPHS, "worm-like"):
        adjacency = graph(name)
        for features in FEATURES:
            case = inputs(adjacency, (3, adjacency.num_neurons, *features), per_channel=per_channel, dtype=dtype)
            results: list[Result] = []
            for schedule in (STRIPS, ROWS):
                for isa in range(1, BEST + 1):
                    monkeypatch.setattr(native, "schedule", schedule)
                    monkeypatch.setattr(native, "instruction_set", isa)
                    results.append(run("native", adjacency, reduce, *case))
            for other in results[1:]:
                assert_same(other, results[0], rounding=rounding)


@pytest.mark.parametrize("schedule", [STRIPS, ROWS])
@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize(
    ("shape", "per_channel"), [((16, 97, 257), False), ((40, 97, 3, 5), True), ((16, 97, 70), True)]
)
def test_results_do_not_depend_on_threads_or_run(
    monkeypatch: pytest.MonkeyPatch, schedule: int, reduce: str, shape: tuple[int, ...], per_channel: bool
) -> None:
    monkeypatch.setattr(native, "schedule", schedule)
    adjacency = random_graph(97, 1200, seed=1)
    case = inputs(adjacency, shape, per_channel=per_channel, dtype=torch.float32)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 7, 2):
            torch.set_num_threads(threads)
            results.append(run("native", adjacency, reduce, *case))
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        for a, b in zip(other, results[0], strict=True):
            assert torch.equal(a, b)


LAYOUTS = {
    "neurons first": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "a slice of features": lambda x: torch.cat([x, x], dim=-1)[..., : x.shape[-1]],
    "every second sample": lambda x: x.repeat_interleave(2, dim=0)[::2],
    "expanded": lambda x: x[:1].expand_as(x),
    "features first": lambda x: x.transpose(1, -1).contiguous().transpose(1, -1),
    "reversed features": lambda x: x.flip(-1).clone().flip(-1),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("features", [(1,), (64,), (7, 3), (6, 20)])
def test_layouts(layout: str, features: tuple[int, ...]) -> None:
    adjacency = graph("worm-like")
    x, weight, grad = inputs(adjacency, (4, 23, *features), per_channel=True, dtype=torch.float64)
    x, grad = LAYOUTS[layout](x), LAYOUTS[layout](grad)
    weight = weight.T.contiguous().T
    for reduce in REDUCES:
        found = run_in_place(adjacency, reduce, x, weight, grad)
        expected = run("reference", adjacency, reduce, x.contiguous(), weight.contiguous(), grad.contiguous())
        assert_same(found, expected, rounding=1e-13)


def run_in_place(
    adjacency: SparseAdjacency, reduce: str, x: torch.Tensor, weight: torch.Tensor, grad: torch.Tensor
) -> Result:
    """As `run`, on exactly these tensors: cloning would make some layouts contiguous."""
    x, weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
    with ops.backend("native"):
        y = ops.aggregate(x, weight, adjacency, reduce)
    return Result(y.detach(), *torch.autograd.grad(y, (x, weight), grad))


@pytest.mark.parametrize("layout", ["neurons first", "a slice of features", "every second sample", "expanded"])
def test_layouts_with_neighbouring_features_are_not_copied(monkeypatch: pytest.MonkeyPatch, layout: str) -> None:
    x = LAYOUTS[layout](torch.randn(4, 23, 64)).unsqueeze(2)
    assert native._unit_stride(x) is x


def test_the_gradient_of_a_sum_is_a_broadcast_tensor() -> None:
    adjacency = graph("worm-like")
    x, weight, _ = inputs(adjacency, (2, 23, 33), per_channel=False, dtype=torch.float64)
    x.requires_grad_()
    ops.aggregate(x, weight, adjacency).sum().backward()
    expected = torch.zeros(23, dtype=torch.float64).index_add_(0, adjacency.edge_index[0], weight)
    torch.testing.assert_close(x.grad, expected[None, :, None].expand(2, 23, 33))


def test_a_missing_library_gives_one_warning_and_plain_torch(tmp_path: Path) -> None:
    script = """
import sys, warnings
from pathlib import Path
import torch
from elegans_gnn import ops
from elegans_gnn.ops import _backends
from elegans_gnn.sparse import SparseAdjacency

_backends.library_path = lambda: Path(sys.argv[1]) / "libelegans_gnn.so"
adjacency = SparseAdjacency(torch.tensor([[0], [1]]), 2)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    for _ in range(2):
        print(ops.aggregate(torch.ones(2, 1), torch.ones(1), adjacency).flatten().tolist())
print([str(w.message).count("C++17 compiler") for w in caught], ops.available_backends())
try:
    with ops.backend("native"): pass
except RuntimeError as error:
    print(error)
"""
    command = [sys.executable, "-W", "error", "-c", script, str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    lines = found.stdout.splitlines()
    assert lines[:2] == ["[0.0, 1.0]"] * 2
    assert lines[2].startswith("[1] ")
    assert "native" not in lines[2]
    assert "backend native needs" in lines[3]
    assert "reinstall elegans_gnn" in lines[3]


def test_the_library_was_built() -> None:
    assert _backends.library_path().exists(), "build it: pip install --editable . or cmake --build"
    assert "native" in ops.available_backends()


def test_an_instruction_set_beyond_the_processor_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "instruction_set", 4)
    with pytest.raises(RuntimeError, match="lacks the requested instruction set"):
        ops.aggregate(torch.ones(23, 1), torch.ones(90), graph("worm-like"))
