"""The two sorted forms of a graph, and what it refuses."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import jaxtyping
import pytest
import torch

from elegans_gnn.sparse import SparseAdjacency, to_adjacency

EDGES = torch.tensor([[3, 0, 2, 0, 0], [1, 1, 0, 1, 0]])


def test_compressed_forms_lead_back_to_the_callers_order() -> None:
    graph = SparseAdjacency(EDGES, 5)
    assert torch.equal(graph.edge_index, EDGES)
    source, target = EDGES
    assert torch.equal(source[graph.perm], graph.col)
    assert torch.equal(target[graph.csc_perm], graph.row)
    targets = torch.arange(5).repeat_interleave(graph.rowptr.diff())
    sources = torch.arange(5).repeat_interleave(graph.colptr.diff())
    assert torch.equal(target[graph.perm], targets)
    assert torch.equal(source[graph.csc_perm], sources)
    assert graph.in_degree.tolist() == [2, 3, 0, 0, 0]
    assert {t.dtype for t in (graph.rowptr, graph.col, graph.perm, graph.colptr, graph.row)} == {torch.int32}


def test_sorting_is_stable() -> None:
    graph = SparseAdjacency(EDGES, 5)
    assert graph.perm.tolist() == [2, 4, 0, 1, 3]
    assert graph.csc_perm.tolist() == [1, 3, 4, 2, 0]


def test_a_graph_without_edges() -> None:
    graph = SparseAdjacency(torch.empty(2, 0, dtype=torch.int64), 3)
    assert graph.num_edges == 0
    assert graph.rowptr.tolist() == [0, 0, 0, 0]
    assert graph.in_degree.tolist() == [0, 0, 0]


def test_later_writes_into_the_callers_tensor_change_nothing() -> None:
    edges = EDGES.clone()
    graph = SparseAdjacency(edges, 5)
    edges.fill_(99)
    assert torch.equal(graph.edge_index, EDGES)


def test_copies_and_moves() -> None:
    graph = SparseAdjacency(EDGES, 5)
    assert graph.to("cpu") is graph
    meta = graph.to("meta")
    assert meta.device.type == "meta"
    assert meta.num_edges == 5
    assert meta.colptr.shape == (6,)
    for other in (copy.deepcopy(graph), pickle.loads(pickle.dumps(graph))):
        assert torch.equal(other.csc_perm, graph.csc_perm)
        assert other.num_neurons == 5
    assert repr(graph) == "SparseAdjacency(num_neurons=5, num_edges=5, device='cpu')"


@pytest.mark.parametrize(
    ("edges", "neurons", "message"),
    [
        (EDGES.T, 5, r"edge_index must be of shape \[2, E\], got \[5, 2\]; .*needs .T"),
        (EDGES.float(), 5, "edge_index must be an int64 tensor, got torch.float32"),
        ([[0], [1]], 2, "edge_index must be an int64 tensor, got list"),
        (EDGES, 3, r"edge_index must be made of values in 0 .. 2, got values in 0 .. 3; check num_neurons"),
        (EDGES - 1, 5, r"got values in -1 .. 2"),
        (EDGES, 0, "num_neurons must be a positive integer, got 0"),
        (EDGES, 5.0, "num_neurons must be a positive integer, got 5.0"),
        (EDGES, True, "num_neurons must be a positive integer, got True"),
    ],
)
@pytest.mark.usefixtures("unchecked_shapes")
def test_refusals(edges: torch.Tensor, neurons: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SparseAdjacency(edges, neurons)


def test_shapes_in_annotations_are_executed() -> None:
    with pytest.raises(jaxtyping.TypeCheckError):
        SparseAdjacency(EDGES.T, 5)


FORMS = {
    "int64": lambda: EDGES.clone(),
    "int32": lambda: EDGES.int(),
    "dense": lambda: torch.eye(5).roll(1, 0),
    "csr": lambda: torch.eye(5).roll(1, 0).to_sparse_csr(),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_adjacency_of_a_tensor_is_built_once_and_goes_with_it(form: str) -> None:
    graph = FORMS[form]()
    adjacency, _ = to_adjacency(graph, 5)
    assert to_adjacency(graph, 5)[0] is adjacency
    assert to_adjacency(FORMS[form](), 5)[0] is not adjacency
    gone = weakref.ref(adjacency)
    del adjacency, graph
    gc.collect()
    assert gone() is None


def test_an_adjacency_is_built_again_when_its_tensor_changed() -> None:
    edges = EDGES.clone()
    before, _ = to_adjacency(edges, 5)
    for write in (lambda: edges.copy_(EDGES.flip(0)), lambda: edges.numpy().fill(2)):
        write()
        after, _ = to_adjacency(edges, 5)
        assert torch.equal(after.edge_index, edges)
    assert torch.equal(before.edge_index, EDGES)
    assert to_adjacency(edges, 6)[0].num_neurons == 6
    edges.fill_(7)
    with pytest.raises(ValueError, match="edge_index must be made of values in 0 .. 4"):
        to_adjacency(edges, 5)
    matrix = torch.eye(3)
    to_adjacency(matrix, 3)
    matrix[0, 2] = 4.0
    adjacency, weight = to_adjacency(matrix, 3)
    assert adjacency.edge_index.tolist() == [[0, 2, 1, 2], [0, 0, 1, 2]]
    assert weight.tolist() == [1.0, 4.0, 1.0, 1.0]


def test_weights_of_a_matrix_change_without_its_edges_and_carry_gradients() -> None:
    matrix = torch.eye(3, requires_grad=True)
    adjacency, _ = to_adjacency(matrix, 3)
    with torch.no_grad():
        matrix.mul_(2)
    again, weight = to_adjacency(matrix, 3)
    assert again is adjacency
    assert weight.tolist() == [2.0, 2.0, 2.0]
    weight.sum().backward()
    assert torch.equal(matrix.grad, torch.eye(3))
