"""The step: the fused operator against its composed form, and what it promises to torch."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from elegans_gnn import ops
from elegans_gnn.models.export import export_onnx, export_program
from elegans_gnn.ops.synaptic import composed_step, contract, native
from elegans_gnn.sparse import SparseAdjacency
from tests.ops.cases import GRAPHS, graph, random_graph
from tests.ops.synaptic.cases import inputs
from tests.ops.synaptic.test_contract import indices

ACTIVATIONS = ("relu", "gelu", "silu")
# One pixel, one and several images a vector, one and several vectors a row, one and several tiles a map.
SIZES = ((1, 1), (7, 7), (14, 14), (28, 28), (5, 9), (3, 17))
KERNELS = ((1, 1), (3, 3), (5, 5), (3, 5))
BEST = native._library.elegans_best_isa()


class Case(NamedTuple):
    """What a step takes; leak may be None."""

    x: Tensor
    weight: Tensor
    scale: Tensor
    shift: Tensor
    leak: Tensor | None
    grad: Tensor


def case(
    adjacency: SparseAdjacency,
    batch: int,
    channels: int,
    size: tuple[int, int],
    kernel: tuple[int, int] = (3, 3),
    *,
    per_channel: bool = False,
    leak: bool = True,
    dtype: torch.dtype = torch.float64,
) -> Case:
    x, weight, grad = inputs(adjacency, batch, channels, size, kernel, per_channel=per_channel)
    generator = torch.Generator().manual_seed(1)
    neurons = adjacency.num_neurons
    scale = torch.rand(neurons, channels, generator=generator, dtype=torch.float64) + 0.5
    shift = torch.randn(neurons, channels, generator=generator, dtype=torch.float64) / 2
    kept = torch.rand(neurons, generator=generator, dtype=torch.float64) if leak else None
    # Means unlike zero, which the norm has to take away.
    return to(Case(x + 0.5, weight, scale, shift, kept, grad), dtype)


def to(given: Case, dtype: torch.dtype) -> Case:
    return Case(*[None if each is None else each.to(dtype) for each in given])


Step = Callable[..., Tensor]


def run(step: Step, adjacency: SparseAdjacency, given: Case, activation: str, eps: float = 1e-5) -> dict[str, Tensor]:
    """Output and all gradients, on exactly these tensors: a clone might have another layout."""
    leaves = {name: each.detach().requires_grad_() for name, each in given._asdict().items() if each is not None}
    grad = leaves.pop("grad").detach()
    x, weight, scale, shift = (leaves[name] for name in ("x", "weight", "scale", "shift"))
    y = step(x, weight, adjacency, scale, shift, leaves.get("leak"), activation=activation, eps=eps)
    return {"y": y.detach(), **dict(zip(leaves, torch.autograd.grad(y, list(leaves.values()), grad), strict=True))}


def expected(adjacency: SparseAdjacency, given: Case, activation: str, eps: float = 1e-5) -> dict[str, Tensor]:
    """The composed form in float64, on plain torch."""
    with ops.backend("torch"):
        return run(composed_step, adjacency, to(given, torch.float64), activation, eps)


def assert_close(found: dict[str, Tensor], exact: dict[str, Tensor], rounding: float) -> None:
    """Up to `rounding` of the largest value: eps makes at most 316 of it where a map has no variance."""
    assert found.keys() == exact.keys()
    for name, value in found.items():
        atol = rounding * max(1.0, float(exact[name].abs().max())) if value.numel() else 0.0
        torch.testing.assert_close(
            value.double(), exact[name], rtol=rounding, atol=atol, equal_nan=True, msg=lambda m, n=name: f"{n}: {m}"
        )


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("size", SIZES)
def test_it_is_the_composed_form(monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], activation: str) -> None:
    adjacency = random_graph(5, 8, seed=0)
    for kernel, channels, per_channel in itertools.product(KERNELS, (1, 2, 3), (False, True)):
        given = case(adjacency, 3, channels, size, kernel, per_channel=per_channel, leak=channels != 2)
        exact = expected(adjacency, given, activation)
        for isa in range(1, BEST + 1):
            monkeypatch.setattr(native, "instruction_set", isa)
            assert_close(run(ops.synaptic_step, adjacency, given, activation), exact, 1e-11)
            single = to(given, torch.float32)
            assert_close(
                run(ops.synaptic_step, adjacency, single, activation), expected(adjacency, single, activation), 2e-5
            )


@pytest.mark.parametrize("batch", [1, 2, 5, 17, 70])
@pytest.mark.parametrize("name", [*GRAPHS, "worm-like"])
def test_graphs_and_batches(batch: int, name: str) -> None:
    adjacency = graph(name)
    for size, channels in (((7, 7), 2), ((4, 3), 1)):
        given = case(adjacency, batch, channels, size)
        assert_close(run(ops.synaptic_step, adjacency, given, "gelu"), expected(adjacency, given, "gelu"), 1e-11)


@pytest.mark.parametrize("activation", ["gelu", "silu"])
def test_activations_are_right_over_their_whole_range(monkeypatch: pytest.MonkeyPatch, activation: str) -> None:
    # One edge with the filter 1, no leak: its target's output is the activation, and relu of both signs its argument.
    adjacency = SparseAdjacency(torch.tensor([[0], [1]]), 2)
    x = torch.linspace(-1, 1, 4096).view(1, 1, 1, 64, 64).expand(1, 2, 1, 64, 64)

    def step(scale: float, activation: str) -> Tensor:
        parameters = torch.full((2, 1), scale), torch.zeros(2, 1), torch.zeros(2)
        return ops.synaptic_step(x, torch.ones(1, 1, 1), adjacency, *parameters, activation=activation)[0, 1].double()

    for isa in range(1, BEST + 1):
        monkeypatch.setattr(native, "instruction_set", isa)
        for scale in (0.1, 1.0, 4.0, 100.0):
            z = step(scale, "relu") - step(-scale, "relu")
            # Not torch's gelu: 1 + erf cancels in the tail.
            exact = z * (torch.special.erfc(-z / 2**0.5) / 2 if activation == "gelu" else torch.sigmoid(z))
            # Float32 rounds the exponent too: z^2 / 2, or z, times 6e-8 of the tail.
            relative = 1e-6 + 6e-8 * (z.square() / 2 if activation == "gelu" else z.abs())
            assert bool(((step(scale, activation) - exact).abs() <= relative * exact.abs() + 1e-30).all())


def test_results_do_not_depend_on_threads() -> None:
    adjacency = random_graph(41, 500, seed=1)
    before = torch.get_num_threads()
    for batch, size, channels in ((1, (14, 14), 1), (64, (7, 7), 2), (33, (14, 14), 1), (3, (28, 28), 1)):
        given = case(adjacency, batch, channels, size, dtype=torch.float32)
        results = []
        try:
            for threads in (1, 2, 3, 7, 2):
                torch.set_num_threads(threads)
                results.append(run(ops.synaptic_step, adjacency, given, "gelu"))
        finally:
            torch.set_num_threads(before)
        for other in results[1:]:
            assert all(torch.equal(value, results[0][name]) for name, value in other.items())


def test_states_in_any_layout() -> None:
    adjacency = random_graph(6, 15, seed=1)
    given = case(adjacency, 4, 2, (7, 6), per_channel=True)
    exact = expected(adjacency, given, "silu")
    for layout in (
        lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
        lambda x: x.movedim(2, -1).contiguous().movedim(-1, 2),
        lambda x: torch.cat([x, x], dim=-1)[..., : x.shape[-1]],
        lambda x: x.repeat_interleave(2, dim=0)[::2],
    ):
        moved = given._replace(x=layout(given.x), grad=layout(given.grad), scale=given.scale.T.contiguous().T)
        assert not moved.x.is_contiguous()
        assert_close(run(ops.synaptic_step, adjacency, moved, "silu"), exact, 1e-11)


@pytest.mark.parametrize("value", [0.0, 1.0, -1000.0])
def test_a_map_without_variance_gives_the_activation_of_the_shift(value: float) -> None:
    adjacency = random_graph(6, 15, seed=1)
    given = case(adjacency, 5, 1, (7, 7), dtype=torch.float32)
    given = given._replace(x=torch.full_like(given.x, value))
    found = run(ops.synaptic_step, adjacency, given, "gelu")
    assert_close({"y": found["y"]}, {"y": expected(adjacency, given, "gelu")["y"]}, 1e-6)
    assert all(bool(part.isfinite().all()) for part in found.values())


def test_nan_fills_its_own_map_and_reaches_nothing_but_targets() -> None:
    adjacency = SparseAdjacency(torch.tensor([[0, 1], [1, 2]]), 4)
    given = case(adjacency, 5, 1, (7, 7), dtype=torch.float32)
    for value in (float("nan"), float("inf")):
        x = given.x.clone()
        x[2, 0, 0, 3, 3] = value
        for activation in ACTIVATIONS:
            found = run(ops.synaptic_step, adjacency, given._replace(x=x), activation)
            exact = expected(adjacency, given._replace(x=x), activation)
            assert bool(found["y"][2, 1].isnan().all())
            for name in ("y", "x"):
                assert torch.equal(found[name].isnan(), exact[name].isnan()), (activation, name)


def test_half_precision_is_rounded_once() -> None:
    adjacency = random_graph(9, 30, seed=0)
    for dtype, half_parameters in itertools.product((torch.bfloat16, torch.float16), (True, False)):
        given = case(adjacency, 3, 1, (7, 7), dtype=dtype)
        if not half_parameters:
            given = to(given, torch.float32)._replace(x=given.x, grad=given.grad)
        found, exact = run(ops.synaptic_step, adjacency, given, "gelu"), expected(adjacency, given, "gelu")
        for name, value in found.items():
            source = given.x if name == "y" else getattr(given, name)
            assert value.dtype == source.dtype
            eps = max(torch.finfo(value.dtype).eps / 2, 2e-5)
            assert bool(
                ((value.double() - exact[name]).abs() <= eps * exact[name].abs() + 2e-5 * exact[name].abs().max()).all()
            )


def test_gradcheck_and_unwanted_gradients() -> None:
    adjacency = random_graph(5, 7, seed=2)
    x, weight, scale, shift, leak, grad = case(adjacency, 2, 2, (3, 2), per_channel=True)
    assert leak is not None
    parts = [each.requires_grad_() for each in (x, weight, scale, shift, leak)]

    def call(x: Tensor, w: Tensor, scale: Tensor, shift: Tensor, leak: Tensor, activation: str = "silu") -> Tensor:
        return ops.synaptic_step(x, w, adjacency, scale, shift, leak, activation=activation)

    assert torch.autograd.gradcheck(call, tuple(parts))
    assert torch.autograd.gradcheck(partial(call, activation="gelu"), tuple(parts))
    full = torch.autograd.grad(call(*parts), parts, grad)
    for place, wanted in enumerate(parts):
        others = [each if each is wanted else each.detach() for each in parts]
        (alone,) = torch.autograd.grad(call(*others), wanted, grad)
        torch.testing.assert_close(alone, full[place], rtol=1e-12, atol=1e-12)


def test_opcheck_and_flops() -> None:
    adjacency = random_graph(6, 9, seed=0)
    x, weight, scale, shift, leak, grad = case(adjacency, 2, 2, (4, 3), dtype=torch.float32)
    for kept in (leak, None):
        arguments = (x, weight.unsqueeze(1), scale, shift, kept, *indices(adjacency), "gelu", 1e-5)
        torch.library.opcheck(contract.step_forward, arguments)
        for needs in (
            (True,) * 4,
            (False, True, False, False),
            (True, False, False, False),
            (False, False, True, True),
        ):
            torch.library.opcheck(contract.step_backward, (grad, *arguments, *needs))
    with FlopCounterMode(display=False) as counter:
        ops.synaptic_step(x.requires_grad_(), weight.requires_grad_(), adjacency, scale, shift).sum().backward()
    assert counter.get_total_flops() == 3 * 2 * (9 * 9) * (2 * 2 * 4 * 3)


@pytest.mark.parametrize("shape", [(0, 23, 1, 4, 4), (2, 23, 0, 4, 4), (2, 23, 1, 0, 3)])
def test_empty_states_give_empty_results(shape: tuple[int, ...]) -> None:
    adjacency, parameters = graph("worm-like"), torch.ones(23, shape[2])
    given = Case(torch.ones(shape), torch.ones(90, 3, 3), parameters, parameters, torch.ones(23), torch.ones(shape))
    found = run(ops.synaptic_step, adjacency, given, "relu")
    assert found["y"].shape == found["x"].shape == shape
    assert all(float(found[name].abs().sum()) == 0 for name in ("weight", "scale", "shift", "leak"))


class Layer(nn.Module):
    """The smallest module around the step."""

    def __init__(self, adjacency: SparseAdjacency) -> None:
        super().__init__()
        self.adjacency = adjacency
        given = case(adjacency, 1, 2, (3, 3), dtype=torch.float32)
        self.weight, self.scale, self.shift = (nn.Parameter(each) for each in (given.weight, given.scale, given.shift))

    def forward(self, x: Tensor) -> Tensor:
        return ops.synaptic_step(x, self.weight, self.adjacency, self.scale, self.shift, activation="gelu")


def test_it_compiles_and_works_under_functional_gradients() -> None:
    torch._dynamo.reset()
    layer = Layer(graph("worm-like"))
    x = torch.randn(3, 23, 2, 4, 5, requires_grad=True)
    layer(x).square().sum().backward()
    by_hand = {name: each.grad for name, each in layer.named_parameters()}, x.grad

    def loss(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(layer, parameters, (x,)).square().sum()

    found = torch.func.grad(loss, argnums=(0, 1))(dict(layer.named_parameters()), x)
    torch.testing.assert_close(found, by_hand)
    layer.zero_grad()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    twin = x.detach().requires_grad_()
    compiled(twin).square().sum().backward()
    torch.testing.assert_close(({name: each.grad for name, each in layer.named_parameters()}, twin.grad), by_hand)
    for name in ("native", "torch", "reference"):
        with ops.backend(name):
            torch.testing.assert_close(compiled(x), layer(x))


def test_it_is_exported_as_standard_operators(tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    layer = Layer(graph("worm-like")).eval()
    x = torch.randn(3, 23, 2, 4, 5)
    program = export_program(layer, x)
    assert not [node for node in program.graph.nodes if "elegans_gnn" in str(node.target)]
    torch.testing.assert_close(program.module()(x), layer(x), rtol=1e-4, atol=1e-4)
    session = onnxruntime.InferenceSession(str(export_onnx(layer, tmp_path / "step.onnx", x)))
    (found,) = session.run(None, {"images": x.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), layer(x).detach(), rtol=1e-4, atol=1e-4)


ADJACENCY = SparseAdjacency(torch.tensor([[0, 1, 2], [1, 2, 0]]), 3)
GOOD = {
    "x": torch.ones(2, 3, 4, 5, 5), "weight": torch.ones(3, 3, 3),
    "scale": torch.ones(3, 4), "shift": torch.ones(3, 4), "leak": torch.ones(3),
}  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"activation": "tanh"}, "activation"),
        ({"eps": 0.0}, "eps must be positive, got 0.0; use 1e-5"),
        ({"x": torch.ones(2, 3, 5, 5)}, r"x must be \[B, N, C, H, W\]"),
        (
            {"scale": torch.ones(3)},
            r"scale must be \[N, C\], here \[3, 4\], got \[3\]; pass one number per neuron and channel",
        ),
        ({"shift": torch.ones(4, 3)}, r"shift must be \[N, C\], here \[3, 4\], got \[4, 3\]"),
        ({"leak": torch.ones(3, 4)}, r"leak must be \[N\], here \[3\], got \[3, 4\]; pass one number per neuron"),
        ({"leak": torch.ones(3).double()}, "leak must be torch.float32, got torch.float64"),
        ({"scale": torch.ones(3, 4, device="meta")}, "scale must be on cpu like x, got meta"),
    ],
)
def test_refusals(wrong: dict[str, object], message: str) -> None:
    arguments = GOOD | {"adjacency": ADJACENCY} | wrong
    with pytest.raises(ValueError, match=message):
        ops.synaptic_step(**arguments)


def test_a_backend_that_has_no_convolution_has_no_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ops._backends._loaded, "torch_scatter", ops._backends.implementation("torch"))
    with ops.backend("torch_scatter"), pytest.raises(ValueError, match="for a synaptic step, got 'torch_scatter'"):
        ops.synaptic_step(adjacency=ADJACENCY, **GOOD)
