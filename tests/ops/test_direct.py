"""Small native calls go around the dispatcher, and never where somebody there listens."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.utils._python_dispatch import TorchDispatchMode

from elegans_gnn import ops
from elegans_gnn.ops import _contract, native
from tests.ops.cases import REDUCES, Result, assert_same, graph, inputs, run


class Listener(TorchDispatchMode):
    """Names the project's operators that pass through the dispatcher."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.namespace == "elegans_gnn":
            self.heard.append(func.name().partition("::")[2])
        return func(*args, **kwargs or {})


def step() -> None:
    x, weight = torch.ones(2, 23, 4, requires_grad=True), torch.ones(90, requires_grad=True)
    with ops.backend("native"):
        y = ops.aggregate(x, weight, graph("worm-like"))
    torch.autograd.grad(y, (x, weight), torch.ones(2, 23, 4))


def test_ordinary_tensors_take_the_short_way(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("through the dispatcher")

    monkeypatch.setattr(_contract, "aggregate_forward", refuse)
    monkeypatch.setattr(_contract, "aggregate_backward", refuse)
    step()


def test_a_mode_hears_both_operators() -> None:
    with Listener() as listener:
        step()
    assert listener.heard == ["aggregate_forward", "aggregate_backward"]


def test_the_profiler_lists_both_operators() -> None:
    with torch.profiler.profile() as profile:
        step()
    names = {event.key for event in profile.key_averages()}
    assert {"elegans_gnn::aggregate_forward", "elegans_gnn::aggregate_backward"} <= names


def test_a_subclass_of_tensor_hears_the_operator() -> None:
    heard: list[str] = []

    class Recorded(Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            heard.append(str(func))
            return super().__torch_function__(func, types, args, kwargs or {})

    ops.aggregate(torch.ones(2, 23, 4).as_subclass(Recorded), torch.ones(90), graph("worm-like"))
    assert "elegans_gnn.aggregate_forward.default" in heard


def test_a_sign_that_torch_still_owes_is_counted() -> None:
    negated = torch.randn(2, 23, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    lazy = torch._neg_view(negated)
    assert lazy.is_neg()
    assert lazy.is_contiguous()
    adjacency, weight = graph("worm-like"), torch.ones(90, dtype=torch.float64)
    torch.testing.assert_close(ops.aggregate(lazy, weight, adjacency), -ops.aggregate(negated, weight, adjacency))


@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize(("shape", "per_channel"), [((23, 5), False), ((3, 23, 5), True), ((2, 23, 3, 2), True)])
@pytest.mark.parametrize("detour", ["forward", "backward"])
def test_the_two_ways_may_be_mixed(reduce: str, shape: tuple[int, ...], per_channel: bool, detour: str) -> None:
    adjacency = graph("worm-like")
    x, weight, grad = inputs(adjacency, shape, per_channel=False, dtype=torch.float64)
    channels = (shape[1 if len(shape) == 2 else 2],) if per_channel else ()
    weight = torch.randn(90, *channels, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    expected = run("reference", adjacency, reduce, x, weight, grad)
    # Every second feature of a wider tensor: not contiguous, so this half of the step takes views and the dispatcher.
    if detour == "forward":
        x = x.repeat_interleave(2, dim=-1)[..., ::2]
    else:
        grad = grad.repeat_interleave(2, dim=-1)[..., ::2]
    x, weight = x.requires_grad_(), weight.requires_grad_()
    with ops.backend("native"):
        y = ops.aggregate(x, weight, adjacency, reduce)
    assert_same(Result(y.detach(), *torch.autograd.grad(y, (x, weight), grad)), expected, rounding=1e-13)


def test_tangents_are_refused_not_lost() -> None:
    with forward_ad.dual_level(), pytest.raises(RuntimeError, match="implement the jvp"):
        ops.aggregate(forward_ad.make_dual(torch.ones(23, 4), torch.ones(23, 4)), torch.ones(90), graph("worm-like"))


def test_contiguous_states_are_described_in_the_raw_shape() -> None:
    shared, own = torch.ones(90), torch.ones(90, 3)
    assert native._whole_shape(torch.ones(23, 3), shared) == (1, 23, 1, 3)
    assert native._whole_shape(torch.ones(23, 3), own) == (1, 23, 3, 1)
    assert native._whole_shape(torch.ones(2, 23, 3, 4, 5), shared) == (2, 23, 1, 60)
    assert native._whole_shape(torch.ones(2, 23, 3, 4, 5), own) == (2, 23, 3, 20)
