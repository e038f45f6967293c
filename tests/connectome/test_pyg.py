"""PyG Data and HeteroData: exact round trips, data made by others, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch_geometric.data import Data, HeteroData

from elegans_gnn.connectome import Connectome, from_pyg, load_connectome, to_pyg, to_pyg_hetero
from tests.connectome.strategies import connectomes, same

EXAMPLES = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def worm() -> Connectome:
    return load_connectome("varshney2011")


@EXAMPLES
@given(connectomes())
def test_pyg_round_trips_are_exact(graph: Connectome) -> None:
    data, hetero = to_pyg(graph), to_pyg_hetero(graph)
    assert data.validate()
    if graph.num_edges:  # PyG warns of a node type without edges
        assert hetero.validate()
    assert same(from_pyg(data), graph)
    assert same(from_pyg(hetero), graph)


def test_pyg_edges_are_in_the_connectomes_order(worm: Connectome) -> None:
    data = to_pyg(worm)
    assert torch.equal(data.edge_index, torch.from_numpy(worm.edge_index))
    assert data.num_nodes == 279
    assert data.edge_index.dtype == torch.int64


def test_pyg_hetero_has_one_edge_type_per_kind(worm: Connectome) -> None:
    hetero = to_pyg_hetero(worm)
    assert hetero.edge_types == [("neuron", "chemical", "neuron"), ("neuron", "gap", "neuron")]
    assert hetero["neuron", "chemical", "neuron"].num_edges == 2194
    assert hetero["neuron", "gap", "neuron"].num_edges == 1031
    gap = worm.select(kinds="gap")
    assert torch.equal(hetero["neuron", "gap", "neuron"].edge_index, torch.from_numpy(gap.edge_index))


def test_pyg_weights_take_the_dtype_asked_for() -> None:
    graph = Connectome.from_edges("g", ["a", "b"], ["a"], ["b"], weights=[0.1])
    assert to_pyg(graph).edge_weight.dtype == torch.float64
    assert to_pyg_hetero(graph, dtype=torch.float32)["neuron", "chemical", "neuron"].edge_weight.dtype == torch.float32


def test_pyg_data_runs_through_a_layer_and_a_transform(worm: Connectome) -> None:
    from torch_geometric.nn import GCNConv

    data = to_pyg(worm)
    out = GCNConv(3, 2)(torch.randn(data.num_nodes, 3), data.edge_index)
    assert out.shape == (279, 2)
    part = data.subgraph(torch.arange(5))
    assert from_pyg(part).names.tolist() == worm.names[:5].tolist()
    assert from_pyg(part).num_edges == worm.subset(np.arange(5)).num_edges


def test_pyg_data_of_others() -> None:
    edge_index = torch.tensor([[0, 1, 1], [1, 0, 2]])
    plain = from_pyg(Data(edge_index=edge_index, num_nodes=4))
    assert plain.names.tolist() == ["0", "1", "2", "3"]
    assert (plain.kind_names, plain.counts.tolist(), plain.weights) == (("chemical",), [1, 1, 1], None)
    weighted = from_pyg(Data(edge_index=edge_index, edge_attr=torch.tensor([[0.5], [1.5], [2.5]]), num_nodes=3))
    assert weighted.weights is not None
    assert weighted.weights.tolist() == [0.5, 1.5, 2.5]
    lone = from_pyg(Data(edge_index=torch.empty(2, 0, dtype=torch.long), num_nodes=1))
    assert (lone.num_neurons, lone.num_edges) == (1, 0)


def test_pyg_refusals() -> None:
    two_types = HeteroData()
    two_types["neuron"].num_nodes = 1
    two_types["muscle"].num_nodes = 1
    with pytest.raises(ValueError, match="data must be of one node type, got neuron, muscle"):
        from_pyg(two_types)
    with pytest.raises(ValueError, match="data must be a PyG Data or HeteroData, got str"):
        from_pyg("worm")
    repeated = Data(edge_index=torch.tensor([[0, 0], [1, 1]]), num_nodes=2)
    with pytest.raises(ValueError, match=r"0 -> 1 \(chemical\) twice; add up its counts"):
        from_pyg(repeated)
    with pytest.raises(ValueError, match="convert adj_t to edge_index"):
        from_pyg(Data(num_nodes=2))
