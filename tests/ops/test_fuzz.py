"""Random graphs, shapes, strides, dtypes and reduces: every backend against the reference."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from elegans_gnn import ops
from elegans_gnn.ops import native
from elegans_gnn.sparse import SparseAdjacency
from tests.ops.cases import BACKENDS, REDUCES, Result, assert_same, run


@st.composite
def problems(draw: st.DrawFn) -> tuple[SparseAdjacency, str, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A graph, a reduce, and states, weights and gradient in some layout."""
    neurons = draw(st.integers(1, 12))
    ends = st.lists(st.integers(0, neurons - 1), max_size=30)
    sources = draw(ends)
    targets = draw(st.lists(st.integers(0, neurons - 1), min_size=len(sources), max_size=len(sources)))
    adjacency = SparseAdjacency(torch.tensor([sources, targets], dtype=torch.int64), neurons)
    features = draw(st.lists(st.integers(1, 20), min_size=1, max_size=3))
    shape = (draw(st.integers(1, 20)), neurons, *features)
    dtype = draw(st.sampled_from([torch.float64, torch.float32, torch.bfloat16, torch.float16]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    tensors = []
    for _ in range(2):
        order = draw(st.permutations(range(len(shape))))
        # Built in a permuted order of axes and with a gap: any strides may come out.
        stored = torch.randn([shape[axis] for axis in order], generator=generator, dtype=torch.float64).to(dtype)
        gap = draw(st.integers(1, 2))
        view = stored.repeat_interleave(gap, dim=0)[::gap].permute([order.index(axis) for axis in range(len(shape))])
        tensors.append(view)
    x, grad = tensors
    channels = features[:1] if draw(st.booleans()) else []
    weight = torch.randn([len(sources), *channels], generator=generator, dtype=torch.float64).to(dtype)
    if draw(st.booleans()) and dtype in (torch.bfloat16, torch.float16):
        weight = weight.float()
    return adjacency, draw(st.sampled_from(REDUCES)), x, weight, grad


# A product of up to 30 half-precision messages multiplies their roundings; sums and maxima are rounded once.
ROUNDING = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 8e-3, torch.float16: 2e-3}


def check(backend: str, problem: tuple[SparseAdjacency, str, torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    adjacency, reduce, x, weight, grad = problem
    inputs = x.detach().requires_grad_(), weight.detach().requires_grad_()
    with ops.backend(backend):
        y = ops.aggregate(*inputs, adjacency, reduce)
    found = Result(y.detach(), *torch.autograd.grad(y, inputs, grad))
    expected = run("reference", adjacency, reduce, x.contiguous(), weight, grad.contiguous())
    assert_same(found, expected, rounding=ROUNDING[x.dtype])


@pytest.mark.parametrize("backend", BACKENDS)
def test_equals_the_reference(backend: str) -> None:
    settings(max_examples=60, deadline=None, derandomize=True)(given(problems())(lambda p: check(backend, p)))()


@pytest.mark.hard
@pytest.mark.parametrize(
    ("backend", "schedule"),
    [(backend, schedule) for backend in BACKENDS for schedule in ((1, 2) if backend == "native" else (0,))],
)
def test_equals_the_reference_at_length(monkeypatch: pytest.MonkeyPatch, backend: str, schedule: int) -> None:
    monkeypatch.setattr(native, "schedule", schedule)
    settings(max_examples=2000, deadline=None)(given(problems())(lambda p: check(backend, p)))()
