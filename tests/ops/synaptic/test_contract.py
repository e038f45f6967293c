"""What the operator promises to the rest of torch: registration, gradients, compilation, export, and its refusals."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from elegans_gnn import ops
from elegans_gnn.ops.reference import Graph
from elegans_gnn.ops.synaptic import contract
from elegans_gnn.sparse import SparseAdjacency
from tests.ops.cases import graph, random_graph
from tests.ops.synaptic.cases import BACKENDS, Layer, inputs

ALL = ("reference", *BACKENDS)


def indices(adjacency: SparseAdjacency) -> Graph:
    return Graph(adjacency.rowptr, adjacency.col, adjacency.perm, adjacency.colptr, adjacency.row, adjacency.csc_perm)


@pytest.mark.parametrize("backend", ALL)
def test_opcheck(backend: str) -> None:
    adjacency = random_graph(6, 9, seed=0)
    for per_channel in (False, True):
        x, weight, grad = inputs(adjacency, 2, 2, (4, 3), (3, 3), per_channel=per_channel, dtype=torch.float32)
        weight = weight if per_channel else weight.unsqueeze(1)
        torch.library.opcheck(contract.synaptic_forward, (x, weight, *indices(adjacency), backend))
        for needs in ((True, True), (True, False), (False, True)):
            arguments = (grad, x, weight, *indices(adjacency), backend, *needs)
            torch.library.opcheck(contract.synaptic_backward, arguments)


@pytest.mark.parametrize("backend", ALL)
@pytest.mark.parametrize("per_channel", [False, True])
def test_gradcheck(backend: str, per_channel: bool) -> None:
    adjacency = random_graph(5, 7, seed=2)
    x, weight, _ = inputs(adjacency, 2, 2, (3, 2), (3, 3), per_channel=per_channel)
    with ops.backend(backend):
        assert torch.autograd.gradcheck(
            lambda x, w: ops.synaptic_conv2d(x, w, adjacency), (x.requires_grad_(), weight.requires_grad_())
        )


def test_compiles_without_graph_breaks_and_with_a_dynamic_batch() -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    layer = Layer(graph("worm-like"))
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend="aot_eager")
    # The first batch equals no other size: torch would take equal sizes for the same one.
    for batch in (7, 9, 8):
        x = torch.randn(batch, 23, 2, 4, 5, requires_grad=True)
        twin = x.detach().clone().requires_grad_()
        layer.zero_grad()
        compiled(x).square().sum().backward()
        grad_weight = layer.weight.grad
        layer.zero_grad()
        layer(twin).square().sum().backward()
        torch.testing.assert_close(x.grad, twin.grad)
        torch.testing.assert_close(grad_weight, layer.weight.grad)
    assert not torch._dynamo.utils.counters["graph_break"]
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_a_compiled_function_follows_the_backend_context() -> None:
    torch._dynamo.reset()
    layer = Layer(graph("worm-like"))
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x = torch.randn(2, 23, 1, 3, 3)
    for backend in ALL:
        with ops.backend(backend):
            torch.testing.assert_close(compiled(x), layer(x))


def test_functional_call_and_grad() -> None:
    layer = Layer(graph("worm-like"))
    x = torch.randn(2, 23, 1, 4, 4)

    def loss(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(layer, parameters, (x,)).square().sum()

    grads, grad_x = torch.func.grad(loss, argnums=(0, 1))({"weight": layer.weight.detach()}, x)
    x.requires_grad_()
    layer(x).square().sum().backward()
    torch.testing.assert_close(grads["weight"], layer.weight.grad)
    torch.testing.assert_close(grad_x, x.grad)


def test_second_derivatives_vmap_and_jvp_are_refused() -> None:
    adjacency = random_graph(5, 7, seed=2)
    x, weight, _ = inputs(adjacency, 2, 1, (3, 2), (3, 3))
    x.requires_grad_()
    (grad,) = torch.autograd.grad(ops.synaptic_conv2d(x, weight, adjacency).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()
    with pytest.raises(RuntimeError, match="vmap"):
        torch.vmap(lambda x: ops.synaptic_conv2d(x, weight, adjacency))(x.detach().expand(4, *x.shape))
    with pytest.raises(RuntimeError, match="jvp"):
        torch.func.jvp(lambda x: ops.synaptic_conv2d(x, weight, adjacency), (x.detach(),), (x.detach(),))


def test_autocast_keeps_weights_in_float32() -> None:
    layer = Layer(graph("worm-like"))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = layer(torch.ones(2, 23, 1, 4, 4, dtype=torch.bfloat16))
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32


def test_flops_are_those_of_a_convolution_over_the_edges() -> None:
    adjacency = random_graph(5, 7, seed=2)
    x, weight, _ = inputs(adjacency, 2, 3, (4, 5), (3, 3))
    with FlopCounterMode(display=False) as counter:
        ops.synaptic_conv2d(x.requires_grad_(), weight.requires_grad_(), adjacency).sum().backward()
    assert counter.get_total_flops() == 3 * 2 * (7 * 9) * (2 * 3 * 4 * 5)


ADJACENCY = SparseAdjacency(torch.tensor([[0, 1, 2], [1, 2, 0]]), 3)
X = torch.ones(2, 3, 4, 5, 5)
W = torch.ones(3, 3, 3)


@pytest.mark.parametrize(
    ("x", "weight", "message"),
    [
        (
            torch.ones(2, 3, 5, 5),
            W,
            r"x must be \[B, N, C, H, W\], got \[2, 3, 5, 5\]; add the missing axes, such as C",
        ),
        (
            torch.ones(2, 5, 4, 5, 5),
            W,
            r"x must be of size 3 \(the neurons\) on axis 1, got \[2, 5, 4, 5, 5\]; pass states as \[B, N, C, H, W\]",
        ),
        (
            X,
            torch.ones(4, 3, 3),
            r"weight must be of shape \[3, kh, kw\] \(one filter per edge\) or \[3, 4, kh, kw\] \(and channel\), "
            r"got \[4, 3, 3\]; take the order from adjacency.edge_index",
        ),
        (X, torch.ones(3, 5, 3, 3), r"weight must be of shape \[3, kh, kw\] .*, got \[3, 5, 3, 3\]"),
        (X, torch.ones(3, 1, 3, 3), r"weight must be of shape \[3, kh, kw\] .*, got \[3, 1, 3, 3\]"),
        (X, torch.ones(3, 3), r"weight must be .*, got \[3, 3\]"),
        (X, torch.ones(3, 3, 2), r"weight must be filters with odd sides, got \[3, 2\]; use 1, 3 or 5"),
        (X, torch.ones(3, 0, 3), r"weight must be filters with odd sides, got \[0, 3\]"),
        (X.int(), W, "x must be float32, float64, float16 or bfloat16, got torch.int32"),
        (X, W.double(), "weight must be torch.float32 like x, got torch.float64"),
        (X.half(), W.bfloat16(), "weight must be torch.float16 like x or torch.float32, got torch.bfloat16"),
        (X.to("meta"), W, "on one device, got x on meta, weight on cpu, adjacency on cpu"),
    ],
)
def test_wrong_tensors(x: Tensor, weight: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ops.synaptic_conv2d(x, weight, ADJACENCY)


def test_a_backend_that_has_no_such_operator_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # As if torch_scatter were installed.
    monkeypatch.setitem(ops._backends._loaded, "torch_scatter", ops._backends.implementation("torch"))
    expected = "'reference', 'torch', 'native' or 'triton' for a synaptic convolution, got 'torch_scatter'; leave"
    with ops.backend("torch_scatter"), pytest.raises(ValueError, match=f"ops.backend must be {expected}"):
        ops.synaptic_conv2d(X, W, ADJACENCY)


def test_the_native_backend_is_refused_off_the_cpu() -> None:
    expected = r"on the CPU, for ops.backend\('native'\), got torch.float32 on meta; move and convert it"
    with ops.backend("native"), pytest.raises(ValueError, match=expected):
        ops.synaptic_conv2d(X.to("meta"), W.to("meta"), ADJACENCY.to("meta"))
