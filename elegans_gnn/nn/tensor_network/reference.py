"""The rules of the tensor network as a loop over synapses: slow, short, and the ground truth for the fast execution.

Nothing here uses the schedule. States are [B, F], or [B, C, H, W] where the units are convolutions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from elegans_gnn.connectome import Connectome
from elegans_gnn.nn.tensor_network.readout import Readout
from elegans_gnn.nn.tensor_network.rules import parse_order, role_letters
from elegans_gnn.nn.tensor_network.units import NeuronUnits
from elegans_gnn.ops.visits import ACTIVATIONS, EPS, Plan


@runtime_checkable
class Network(Protocol):
    """What the loop needs of a tensor network: its graph, rules and parameters (see :class:`TensorNetwork`)."""

    connectome: Connectome
    rules: dict[str, Any]
    dim: int
    fuse: str
    unit_norm: bool
    activation: str | Callable[[Tensor], Tensor]
    outputs: NDArray[np.int64]
    units: NeuronUnits
    readout: Readout

    @property
    def edge_weight(self) -> Tensor | None: ...

    def unfold(self, rows: Tensor, x: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class ReferenceRun:
    """What the loop leaves behind: states by neuron, and the visits without a source state, by relation."""

    states: dict[int, Tensor]
    silent: Counter[str]


def reference_states(network: Network, x: Tensor, carried: dict[int, Tensor] | None = None) -> ReferenceRun:
    """Visit every synapse in order; see :class:`TensorNetwork` for the rules.

    Args:
        network: whose graph, rules and parameters to use.
        x: [B, F] or [B, C, H, W].
        carried: states from before; the first arrival at such a neuron re-applies its unit.
    """
    graph, rules = network.connectome, network.rules
    letters = role_letters(graph.roles)
    rank = np.asarray(rules["visit_rank"])
    edges = sorted(range(graph.num_edges), key=lambda e: (rank[graph.pre[e]], rank[graph.post[e]]))
    states: dict[int, Tensor] = {int(v): x for v in np.flatnonzero(letters == "S")}
    fresh, due = set(states), set()
    for v, state in (carried or {}).items():
        if v not in states:
            states[v] = state
            due.add(v)
    units = network.units.one_by_one()
    named = network.activation
    activate = ACTIVATIONS[named].apply if isinstance(named, str) else named
    silent: Counter[str] = Counter()
    for phase in parse_order(rules["order"]):
        for e in edges:
            u, v = int(graph.pre[e]), int(graph.post[e])
            relation = str(letters[u] + letters[v])
            if relation not in phase.relations or relation in rules["ignored_relations"]:
                continue
            # Neurons that no output depends on have no parameters; what their states are makes no difference.
            unit = units.get(v, torch.zeros_like)
            if u not in states:
                silent[relation] += 1
            elif v not in states or v in fresh:
                states[v] = activate(_norm(network, unit(states[u])))
                fresh.discard(v)
            elif relation in rules["reapply"] or v in due:
                states[v] = _norm(network, activate(unit(states[u])) + states[v])
                due.discard(v)
            else:
                weight = None if network.edge_weight is None else network.edge_weight[e]
                states[v] = _fuse(network, states[u], states[v], weight)
    return ReferenceRun(states, silent)


def reference_forward(network: Network, x: Tensor) -> Tensor:
    """The network's output by way of the loop; takes what the network takes."""
    tokens = x.flatten(0, 1) if x.dim() == 3 else x
    states = reference_states(network, tokens).states
    stacked = torch.stack([_rows(states[v]) for v in network.outputs.tolist()], 1)
    return network.unfold(network.readout(_rows(tokens), stacked), x)


def reference_outputs(
    network: Network, plan: Plan, rows: Tensor, size: tuple[int, int] | None, carried: Tensor | None
) -> Tensor:
    """What running the plan gives, [R, M, F], by way of the loop; arguments as in :meth:`TensorNetwork.run`."""

    def laid(state: Tensor) -> Tensor:
        return state if size is None else state.unflatten(0, (-1, *size)).permute(0, 3, 1, 2)

    before = None if carried is None else {v: laid(carried[:, v]) for v in plan.carried.tolist()}
    states = reference_states(network, laid(rows), before).states
    return torch.stack([_rows(states[v]) for v in plan.outputs.tolist()], 1)


def _rows(state: Tensor) -> Tensor:
    return state if state.dim() == 2 else state.permute(0, 2, 3, 1).reshape(-1, state.shape[1])


def _fuse(network: Network, s_u: Tensor, s_v: Tensor, weight: Tensor | None) -> Tensor:
    if network.fuse == "add":
        return _norm(network, (s_u if weight is None else weight * s_u) + s_v)
    product = s_u * s_v if weight is None else (1 + weight * (s_u - 1)) * s_v
    if network.fuse == "normalized-mul":
        return product * torch.rsqrt(product.square().mean(1, keepdim=True) + EPS)
    return _norm(network, product)


def _norm(network: Network, state: Tensor) -> Tensor:
    """Over features: axis 1 of vectors and of maps."""
    if not network.unit_norm:
        return state
    return F.layer_norm(state.movedim(1, -1), (network.dim,), eps=EPS).movedim(-1, 1)
