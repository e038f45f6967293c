"""What the operator promises to the rest of torch: registration, gradients, compilation, transforms, threads."""

from __future__ import annotations

import copy
import pickle
import threading

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from elegans_gnn import ops
from elegans_gnn.ops import _contract
from elegans_gnn.ops.reference import Graph
from elegans_gnn.sparse import SparseAdjacency
from tests.ops.cases import BACKENDS, REDUCES, graph, inputs, random_graph

ALL_BACKENDS = ("reference", *BACKENDS)


def indices(adjacency: SparseAdjacency) -> Graph:
    return Graph(adjacency.rowptr, adjacency.col, adjacency.perm, adjacency.colptr, adjacency.row, adjacency.csc_perm)


class Layer(nn.Module):
    """The smallest module around the operator."""

    def __init__(self, adjacency: SparseAdjacency, reduce: str = "sum") -> None:
        super().__init__()
        self.adjacency, self.reduce = adjacency, reduce
        self.weight = nn.Parameter(torch.linspace(-1, 1, adjacency.num_edges))

    def forward(self, x: Tensor) -> Tensor:
        return ops.aggregate(x, self.weight, self.adjacency, self.reduce).tanh()


@pytest.mark.parametrize("backend", ALL_BACKENDS)
@pytest.mark.parametrize("reduce", REDUCES)
def test_opcheck(backend: str, reduce: str) -> None:
    adjacency = graph("worm-like")
    x, weight, grad = (t.view(2, 23, 1, 5) if t.dim() > 2 else t[:, None] for t in
                       inputs(adjacency, (2, 23, 5), per_channel=False, dtype=torch.float32))  # fmt: skip
    arguments = (x, weight, *indices(adjacency), reduce, backend)
    torch.library.opcheck(_contract.aggregate_forward, arguments)
    _, winner = _contract.aggregate_forward(*arguments)
    for need_x, need_weight in ((True, True), (True, False), (False, True)):
        arguments = (grad, x, weight, winner, *indices(adjacency), reduce, backend, need_x, need_weight)
        torch.library.opcheck(_contract.aggregate_backward, arguments)


@pytest.mark.parametrize("backend", ALL_BACKENDS)
@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("shape", [(7, 3), (2, 7, 3), (2, 7, 2, 3)])
def test_gradcheck(backend: str, reduce: str, shape: tuple[int, ...], per_channel: bool) -> None:
    adjacency = random_graph(7, 12, seed=2)
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True)
    channels = (shape[2] if len(shape) > 2 else shape[1],) * per_channel
    weight = torch.randn(12, *channels, generator=generator, dtype=torch.float64, requires_grad=True)
    with ops.backend(backend):
        assert torch.autograd.gradcheck(lambda x, w: ops.aggregate(x, w, adjacency, reduce), (x, weight))


def test_the_backward_pass_runs_where_the_forward_pass_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    from elegans_gnn.ops import torch_backend

    calls: list[str] = []
    original = torch_backend.backward
    monkeypatch.setattr(
        torch_backend, "backward", lambda *a: (calls.append(threading.current_thread().name), original(*a))[1]
    )
    layer = Layer(graph("worm-like"))
    with ops.backend("torch"):
        y = layer(torch.ones(2, 23, 4))
    worker = threading.Thread(target=lambda: y.sum().backward(), name="worker")
    worker.start()
    worker.join()
    assert calls == ["worker"]
    assert layer.weight.grad is not None


def test_a_backend_is_chosen_per_thread_and_restored() -> None:
    seen: list[str] = []
    resolve = ops.resolve_backend
    x = torch.ones(1)
    with ops.backend("reference"):
        with ops.backend("torch"):
            assert resolve(x) == "torch"
        assert resolve(x) == "reference"
        worker = threading.Thread(target=lambda: seen.append(resolve(x)))
        worker.start()
        worker.join()
    assert seen == [resolve(x)] != ["reference"]


@pytest.mark.parametrize("reduce", REDUCES)
def test_compiles_without_graph_breaks_and_with_a_dynamic_batch(reduce: str) -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    layer = Layer(graph("worm-like"), reduce)
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend="aot_eager")
    # The first batch equals no other size: torch would take equal sizes for the same one.
    for batch in (7, 9, 8):
        x = torch.randn(batch, 23, 4, requires_grad=True)
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
    x = torch.randn(2, 23, 4)
    for backend in ALL_BACKENDS:
        with ops.backend(backend):
            torch.testing.assert_close(compiled(x), layer(x))


def test_autocast_keeps_weights_in_float32() -> None:
    layer = Layer(graph("worm-like"))
    linear = nn.Linear(4, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = linear(torch.ones(2, 23, 4))
        y = layer(hidden)
    assert hidden.dtype == torch.bfloat16
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.dtype == torch.float32
    assert linear.weight.grad is not None
    assert linear.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("reduce", REDUCES)
def test_functional_call_and_grad(reduce: str) -> None:
    layer = Layer(graph("worm-like"), reduce)
    x = torch.randn(2, 23, 4)

    def loss(parameters: dict[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.functional_call(layer, parameters, (x,)).square().sum()

    grads, grad_x = torch.func.grad(loss, argnums=(0, 1))({"weight": layer.weight.detach()}, x)
    x.requires_grad_()
    layer(x).square().sum().backward()
    torch.testing.assert_close(grads["weight"], layer.weight.grad)
    torch.testing.assert_close(grad_x, x.grad)


@pytest.mark.parametrize("use_reentrant", [False, True])
def test_activation_checkpointing(use_reentrant: bool) -> None:
    layer = Layer(graph("worm-like"), "max")
    x = torch.randn(2, 23, 4, requires_grad=True)
    layer(layer(x)).sum().backward()
    plain, layer.weight.grad = (x.grad, layer.weight.grad), None
    x.grad = None
    checkpoint(lambda x: layer(layer(x)), x, use_reentrant=use_reentrant).sum().backward()
    torch.testing.assert_close((x.grad, layer.weight.grad), plain, rtol=0, atol=0)


def test_deepcopy_and_pickle() -> None:
    layer = Layer(graph("worm-like"))
    x = torch.randn(2, 23, 4)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        torch.testing.assert_close(twin(x), layer(x), rtol=0, atol=0)
        twin.weight.data.zero_()
        assert layer(x).abs().sum() > 0 == twin(x).abs().sum()


def test_changing_the_states_in_place_before_backward_is_noticed() -> None:
    layer = Layer(graph("worm-like"))
    x = torch.randn(2, 23, 4, requires_grad=True) * 1
    y = layer(x)
    x.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
