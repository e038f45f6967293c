"""On a GPU: the Triton kernels against the reference, deterministic and as fast memory allows (pytest -m cuda)."""

from __future__ import annotations

import pytest
import torch

from elegans_gnn import ops
from tests.ops.cases import FEATURES, GRAPHS, REDUCES, Result, assert_same, graph, inputs, random_graph, run

pytestmark = pytest.mark.cuda


@pytest.fixture(autouse=True)
def device() -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")


def on_gpu(backend: str, name: str, reduce: str, case: tuple[torch.Tensor, ...]) -> Result:
    x, weight, grad = (tensor.cuda() for tensor in case)
    return Result(*(tensor.cpu() for tensor in run(backend, graph(name).to("cuda"), reduce, x, weight, grad)))


@pytest.mark.parametrize("backend", ["triton", "torch"])
@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 2e-2)])
def test_equals_the_reference(
    backend: str, reduce: str, features: tuple[int, ...], per_channel: bool, dtype: torch.dtype, rounding: float
) -> None:
    for name in (*GRAPHS, "worm-like"):
        case = inputs(graph(name), (3, graph(name).num_neurons, *features), per_channel=per_channel, dtype=dtype)
        expected = run("reference", graph(name), reduce, *case)
        assert_same(on_gpu(backend, name, reduce, case), expected, rounding=rounding)


@pytest.mark.parametrize("reduce", REDUCES)
def test_two_runs_are_bit_identical(reduce: str) -> None:
    adjacency = random_graph(97, 1200, seed=1).to("cuda")
    case = tuple(t.cuda() for t in inputs(adjacency.to("cpu"), (16, 97, 257), per_channel=False, dtype=torch.float32))
    first, second = (run("triton", adjacency, reduce, *case) for _ in range(2))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)


def test_triton_is_the_default_on_a_gpu() -> None:
    assert ops._backends.resolve(torch.device("cuda")) == "triton"


def test_offsets_beyond_32_bits() -> None:
    adjacency = random_graph(5, 12, seed=0).to("cuda")
    features = 2**31 // 5 + 256
    if torch.cuda.mem_get_info()[0] < 3 * 5 * 4 * features:
        pytest.skip("needs about 26 GB of GPU memory")
    x = torch.zeros(1, 5, features, device="cuda")
    x[..., -1] = 1
    y = ops.aggregate(x, torch.ones(12, device="cuda"), adjacency)
    assert torch.equal(y[0, :, -1], adjacency.in_degree.float())


def test_tensors_on_two_devices_are_refused() -> None:
    adjacency = graph("worm-like")
    with pytest.raises(ValueError, match="on one device, got x on cuda:0, weight on cpu"):
        ops.aggregate(torch.ones(23, 2, device="cuda"), torch.ones(90), adjacency)
