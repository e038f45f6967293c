"""ConnectomeConv and RecurrentCore inside PyG's containers, transforms, loaders and explainers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch_geometric.data import Data, HeteroData
from torch_geometric.explain import CaptumExplainer, Explainer, GNNExplainer
from torch_geometric.loader import DataLoader
from torch_geometric.nn import HeteroConv, JumpingKnowledge, Sequential, to_hetero
from torch_geometric.testing import assert_module

from elegans_gnn import ConnectomeConv, RecurrentCore
from tests.ecosystem.training import falls


class Net(nn.Module):
    """Two layers, as PyG's tutorials write them."""

    def __init__(self, worm, **options) -> None:
        super().__init__()
        self.first = ConnectomeConv(worm, 4, 8, activation="silu", **options)
        self.second = ConnectomeConv(worm, 8, 2, **options)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.second(self.first(x, edge_index), edge_index)


class Reader(nn.Module):
    """A model around the core: features of the input neurons -> features of the output neurons."""

    def __init__(self, worm) -> None:
        super().__init__()
        self.core = RecurrentCore(worm, 4, steps=3)
        self.read = nn.Linear(4, 1)

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        return self.read(self.core(x[self.core.input_index], edge_index))


def shuffled(edge_index: Tensor) -> Tensor:
    return edge_index[:, torch.randperm(edge_index.shape[1], generator=torch.Generator().manual_seed(0))]


def test_sequential_trains(worm, x):
    model = Sequential(
        "x, edge_index",
        [
            (ConnectomeConv(worm, 4, 8), "x, edge_index -> x"),
            nn.ReLU(),
            (ConnectomeConv(worm, 8, 2), "x, edge_index -> x"),
        ],
    )
    edges = shuffled(torch.tensor(worm.edge_index))
    assert falls(model, lambda: model(x, edges))


def test_jumping_knowledge_trains(worm, x):
    class Jumping(Net):
        def __init__(self) -> None:
            super().__init__(worm)
            self.jump, self.read = JumpingKnowledge("cat"), nn.Linear(10, 2)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            first = self.first(x, edge_index)
            return self.read(self.jump([first, self.second(first, edge_index)]))

    model = Jumping()
    assert falls(model, lambda: model(x, model.first.edge_index))


def test_hetero_conv_trains_with_one_layer_per_kind(worm, x):
    parts = {kind: worm.select(kinds=kind) for kind in ("chemical", "gap")}
    model = HeteroConv({("neuron", kind, "neuron"): ConnectomeConv(part, 4, 2) for kind, part in parts.items()})
    data = HeteroData()
    data["neuron"].x = x
    for kind, part in parts.items():
        data["neuron", kind, "neuron"].edge_index = shuffled(torch.tensor(part.edge_index))
    assert falls(model, lambda: model(data.x_dict, data.edge_index_dict)["neuron"])


def test_to_hetero_trains_where_each_relation_is_the_own_graph(worm, x):
    """It copies the layer for each relation: relations of other edges need weights, as every other graph does."""
    edges = shuffled(torch.tensor(worm.edge_index))
    relation, chemical = ("neuron", "synapse", "neuron"), ("neuron", "chemical", "neuron")
    model = to_hetero(Net(worm), (["neuron"], [relation]))
    assert falls(model, lambda: model({"neuron": x}, {relation: edges})["neuron"])
    part = torch.tensor(worm.select(kinds="chemical").edge_index)
    model = to_hetero(Net(worm), (["neuron"], [relation, chemical]))
    with pytest.raises(ValueError, match="edge_index must be the layer's own graph"):
        model({"neuron": x}, {relation: edges, chemical: part})


def test_loader_of_samples_on_one_connectome_trains_as_stacked(worm):
    torch.manual_seed(0)
    edges = torch.tensor(worm.edge_index)
    samples = [Data(x=torch.randn(279, 4), edge_index=shuffled(edges) if i % 2 else edges) for i in range(7)]
    model = Net(worm)
    batches = list(DataLoader(samples, batch_size=3))
    assert [batch.num_graphs for batch in batches] == [3, 3, 1]
    whole = torch.cat([model(batch.x, batch.edge_index) for batch in batches])
    stacked = model.second(model.first(torch.stack([sample.x for sample in samples])))
    torch.testing.assert_close(whole.reshape(stacked.shape), stacked)
    assert falls(model, lambda: torch.cat([model(batch.x, batch.edge_index) for batch in batches]))


ALGORITHMS = {
    "GNNExplainer": lambda: GNNExplainer(epochs=5),
    "IntegratedGradients": lambda: CaptumExplainer("IntegratedGradients", n_steps=4),
}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("around", ["layer", "layers", "core"])
@pytest.mark.filterwarnings("ignore::UserWarning:captum")
def test_explainers_explain_edges_and_neurons(worm, x, algorithm, around):
    """The masks are in the order of the edges that the caller passes."""
    torch.manual_seed(0)
    model = {"layer": lambda: ConnectomeConv(worm, 4, 1), "layers": lambda: Net(worm), "core": lambda: Reader(worm)}[
        around
    ]()
    edges = shuffled(torch.tensor(worm.edge_index))
    explainer = Explainer(
        model,
        algorithm=ALGORITHMS[algorithm](),
        explanation_type="model",
        node_mask_type="attributes",
        edge_mask_type="object",
        model_config={"mode": "multiclass_classification" if around == "layers" else "regression", "task_level": "node",
                      "return_type": "raw"},
    )  # fmt: skip
    explanation = explainer(x, edges, index=3)
    assert explanation.edge_mask.shape == (worm.num_edges,)
    assert explanation.node_mask.shape == x.shape
    assert explanation.edge_mask.abs().sum() > 0
    found = explanation.edge_mask.abs().argsort(descending=True)
    read = 3 if around != "core" else int(model.core.output_index[3])
    if around == "layer":  # only edges into the explained neuron can matter
        assert edges[1, found[0]] == read


def test_asserts_of_pyg_pass(worm, x):
    assert_module(ConnectomeConv(worm, 4, 3), x, torch.tensor(worm.edge_index), expected_size=(279, 3), atol=1e-5)


@pytest.mark.parametrize("edge_channels", [False, True])
def test_lazy_layers_take_their_size_from_the_first_input(worm, x, edge_channels):
    model = ConnectomeConv(worm, -1, 2, edge_channels=edge_channels)
    edges = torch.tensor(worm.edge_index)
    assert model(x, edges).shape == (279, 2)
    assert model.in_channels == 4
    assert falls(model, lambda: model(x, edges))
