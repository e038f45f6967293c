"""What the aggregation is compared with: the ways a PyTorch user has of doing the same, each in its own best layout.

Every peer takes states in the layout that suits it (made outside the timed part) and gives output and both gradients.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from elegans_gnn import ops
from elegans_gnn.sparse import SparseAdjacency


@dataclass(frozen=True)
class Candidate:
    """A way to aggregate: `call(x, weight)` with x in its own layout."""

    name: str
    call: Callable[[Tensor, Tensor], Tensor]
    to_layout: Callable[[Tensor], Tensor] = torch.clone
    from_layout: Callable[[Tensor, torch.Size], Tensor] = lambda y, shape: y
    sparse: bool = True


def candidates(adjacency: SparseAdjacency, *, dense: bool, pyg: bool) -> list[Candidate]:
    """Our backends that run here, then the peers."""
    found = [Candidate(name, _backend(name, adjacency)) for name in ops.available_backends() if name != "reference"]
    found.append(Candidate("torch.sparse CSR, [N, B*F]", _csr(adjacency), _neurons_first, _batch_first))
    if pyg:
        found.append(Candidate("PyG MessagePassing", _pyg(adjacency)))
    if dense:
        found.append(Candidate("dense, broadcast", _dense(adjacency), sparse=False))
        found.append(Candidate("dense, [N, B*F]", _dense(adjacency), _neurons_first, _batch_first, sparse=False))
    return found


def _backend(name: str, adjacency: SparseAdjacency) -> Callable[[Tensor, Tensor], Tensor]:
    def call(x: Tensor, weight: Tensor) -> Tensor:
        with ops.backend(name):
            return ops.aggregate(x, weight, adjacency)

    return call


def _neurons_first(x: Tensor) -> Tensor:
    return x.transpose(0, 1).reshape(x.shape[1], -1).clone()


def _batch_first(y: Tensor, shape: torch.Size) -> Tensor:
    return y.view(shape[1], shape[0], -1).transpose(0, 1)


def _dense(adjacency: SparseAdjacency) -> Callable[[Tensor, Tensor], Tensor]:
    source, target = adjacency.edge_index
    neurons = adjacency.num_neurons

    def call(x: Tensor, weight: Tensor) -> Tensor:
        matrix = torch.zeros(neurons, neurons, dtype=x.dtype, device=x.device)
        return torch.matmul(matrix.index_put((target, source), weight, accumulate=True), x)

    return call


class _CsrProduct(torch.autograd.Function):
    """torch.sparse at its best: CSR for y, the transposed CSR for grad_x, a sampled product for grad_weight."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, adjacency: SparseAdjacency) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.adjacency = adjacency
        shape = (adjacency.num_neurons,) * 2
        return torch.sparse_csr_tensor(adjacency.rowptr, adjacency.col, weight[adjacency.perm], shape) @ x

    @staticmethod
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor, Tensor, None]:
        x, weight = ctx.saved_tensors
        graph = ctx.adjacency
        shape = (graph.num_neurons,) * 2
        transposed = torch.sparse_csr_tensor(graph.colptr, graph.row, weight[graph.csc_perm], shape)
        pattern = torch.sparse_csr_tensor(graph.rowptr, graph.col, torch.zeros_like(weight), shape)
        grad_weight = torch.empty_like(weight)
        grad_weight[graph.perm] = torch.sparse.sampled_addmm(pattern, grad_y, x.t(), beta=0.0).values()
        return transposed @ grad_y, grad_weight, None


def _csr(adjacency: SparseAdjacency) -> Callable[[Tensor, Tensor], Tensor]:
    warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta")
    return lambda x, weight: _CsrProduct.apply(x, weight, adjacency)


def _pyg(adjacency: SparseAdjacency) -> Callable[[Tensor, Tensor], Tensor]:
    with warnings.catch_warnings():
        # Said of PyG's own code while it is imported.
        warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated")
        from torch_geometric.nn import MessagePassing

    class Weighted(MessagePassing):
        def forward(self, x: Tensor, edge_index: Tensor, weight: Tensor) -> Tensor:
            return self.propagate(edge_index, x=x, weight=weight)

        def message(self, x_j: Tensor, weight: Tensor) -> Tensor:
            return weight[:, None] * x_j

    layer = Weighted(aggr="sum", node_dim=1)
    return lambda x, weight: layer(x, adjacency.edge_index, weight)
