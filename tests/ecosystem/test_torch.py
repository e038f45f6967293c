"""ConnectomeConv and RecurrentCore under torch's compilers, exporters, transforms and parallel wrappers."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch_geometric
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap

from elegans_gnn import ConnectomeConv, RecurrentCore
from elegans_gnn.models import ElegansClassifier, export_onnx
from tests.ecosystem.training import falls

COMPILERS = {
    "torch": lambda model: torch.compile(model, fullgraph=True, backend="aot_eager"),
    "torch_geometric": lambda model: torch_geometric.compile(model, fullgraph=True, backend="aot_eager"),
}


class Net(nn.Module):
    """A layer, and a core that takes its output at the input neurons."""

    def __init__(self, worm) -> None:
        super().__init__()
        self.conv = ConnectomeConv(worm, 4, 4, signs="transmitter", norm="layer", activation="silu")
        self.core = RecurrentCore(worm, 4, steps=3)

    def forward(self, x: Tensor, edge_index: Tensor | None = None) -> Tensor:
        return self.core(self.conv(x, edge_index).index_select(0, self.core.input_index), edge_index)


def shuffled(edge_index: Tensor) -> Tensor:
    return edge_index[:, torch.randperm(edge_index.shape[1], generator=torch.Generator().manual_seed(0))]


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.filterwarnings("ignore:'torch_geometric.compile' is deprecated")
def test_compiles_whole_with_the_own_edges_in_any_order(worm, x, compiler):
    torch._dynamo.reset()
    model = Net(worm)
    compiled = COMPILERS[compiler](model)
    expected = model(x)
    own = model.conv.edge_index
    for edges in (None, own, own.clone(), shuffled(own)):
        torch.testing.assert_close(compiled(x, edges), expected)
    other = own.clone()
    other[0, 0] += 1
    with pytest.raises(RuntimeError, match="edge_index must be the layer's own graph"):
        compiled(x, other)
    assert falls(model, lambda: compiled(x, own), steps=3)


def test_compiles_copies_and_another_graph_with_weights(worm, x):
    torch._dynamo.reset()
    conv = ConnectomeConv(worm, 4, 2)
    compiled = torch.compile(conv, fullgraph=True, backend="aot_eager")
    edges = shuffled(torch.cat([conv.edge_index, conv.edge_index + 279], 1))
    both = torch.cat([x, -x])
    torch.testing.assert_close(compiled(both, edges), conv(both, edges))
    weight = torch.rand(40)
    torch.testing.assert_close(compiled(x, edges[:, :40] % 279, weight), conv(x, edges[:, :40] % 279, weight))
    conv.lesion(edges=[0])
    with pytest.raises(Exception, match="while a lesion silences edges"):
        compiled(x, edges[:, :40] % 279, weight)


def test_exports(worm, x, tmp_path):
    model = Net(worm).eval()
    edges = shuffled(model.conv.edge_index)
    for arguments in ((x,), (x, edges)):
        program = torch.export.export(model, arguments)
        torch.testing.assert_close(program.module()(*arguments), model(x))
    torch.export.save(program, tmp_path / "model.pt2")
    torch.testing.assert_close(torch.export.load(tmp_path / "model.pt2").module()(x, edges), model(x))


def test_a_model_runs_in_onnxruntime(worm, tmp_path):
    runtime = pytest.importorskip("onnxruntime")
    model = ElegansClassifier(worm, image_size=8, width=8, channels=2).eval()
    images = torch.rand(3, 3, 8, 8)
    path = export_onnx(model, tmp_path / "model.onnx", images)
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    torch.testing.assert_close(torch.from_numpy(found), model(images), rtol=1e-3, atol=1e-4)


def test_functional_call_takes_other_parameters(worm, x):
    model, other = Net(worm), Net(worm)
    torch.testing.assert_close(functional_call(model, dict(other.named_parameters()), (x,)), other(x))


OPTIONS = [
    {},
    {"unit": "role", "signs": "transmitter"},
    {"edge_channels": True},
    {"gap": "diffusive", "reduce": "mean"},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_vmap_runs_and_trains_an_ensemble(worm, x, options):
    models = [ConnectomeConv(worm, 4, 3, **options).double() for _ in range(3)]
    state, x = stack_module_state(models), x.double()

    def loss(parameters: dict[str, Tensor], buffers: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        out = functional_call(models[0], (parameters, buffers), (x, models[0].edge_index))
        return out.square().sum(), out

    gradients, outs = vmap(grad(loss, has_aux=True))(*state)
    for number, model in enumerate(models):
        torch.testing.assert_close(outs[number], model(x))
        model(x).square().sum().backward()
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(gradients[name][number], parameter.grad)


def test_vmap_runs_an_ensemble_of_cores(worm):
    models = [RecurrentCore(worm, 2, steps=3) for _ in range(2)]
    signal = torch.randn(3, models[0].num_inputs, 2)
    outs = vmap(lambda *state: functional_call(models[0], state, (signal,)))(*stack_module_state(models))
    torch.testing.assert_close(outs, torch.stack([model(signal) for model in models]))


def test_trains_under_autocast(worm, x):
    model = Net(worm)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(model(x).float(), Net.forward(model.float(), x).float(), rtol=0.05, atol=0.05)
        assert falls(model, lambda: model(x, model.conv.edge_index))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
@pytest.mark.parametrize("lazy", [False, True])
def test_copies_compute_the_same_and_learn_alone(worm, x, copied, lazy):
    model = ConnectomeConv(worm, -1, 2, activation="rrelu") if lazy else Net(worm)
    model.eval()
    if not lazy:
        model(x, shuffled(model.conv.edge_index))
    twin = copied(model)
    before = model(x) if not lazy else None
    assert falls(twin, lambda: twin(x))
    assert lazy or torch.equal(model(x), before)
    assert not lazy or model.in_channels == -1


def test_lazy_layers_load_what_others_saved(worm, x):
    saved = ConnectomeConv(worm, 4, 2, edge_channels=True)
    lazy = ConnectomeConv(worm, -1, 2, edge_channels=True).to(torch.float32)
    lazy.load_state_dict(saved.state_dict())
    assert torch.equal(lazy(x), saved(x))


@pytest.mark.parametrize("way", ["ddp", "fsdp"])
def test_two_processes_train_as_one(worm, way, tmp_path):
    """Each process sees half of the batch; the averaged gradients are those of the whole batch."""
    script = Path(__file__).with_name("two_processes.py")
    port = str(29500 + os.getpid() % 2000 + (way == "fsdp"))
    environment = os.environ | {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
        "WORLD_SIZE": "2",
        "OMP_NUM_THREADS": "1",
    }
    running = [
        subprocess.Popen([sys.executable, script, way, tmp_path / "out.pt"], env=environment | {"RANK": str(rank)})
        for rank in range(2)
    ]
    assert [process.wait(300) for process in running] == [0, 0]
    assert (tmp_path / "out.pt").exists()


def test_fabric_trains(worm, x):
    fabric = Fabric(accelerator="cpu", devices=1, precision="bf16-mixed")
    fabric.launch()
    model = Net(worm)
    wrapped, optimizer = fabric.setup(model, torch.optim.Adam(model.parameters(), lr=0.02))
    losses = []
    for _ in range(6):
        optimizer.zero_grad()
        loss = (wrapped(x) - 1).float().square().mean()
        fabric.backward(loss)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
