"""The filters of the synapses: a convolution kernel for each ordered pair of neurons that a connectome links."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elegans_gnn._shapes import Float
from elegans_gnn.errors import unknown_name
from elegans_gnn.nn._edge_weights import EdgeWeights
from elegans_gnn.nn._filter_bank import FILTERS, FilterBank
from elegans_gnn.nn._lesions import spread

if TYPE_CHECKING:
    from elegans_gnn.connectome import Connectome

CHANNEL_FILTERS = ("shared", "own", "mixed")


class SynapticFilters(nn.Module):
    r"""One convolution kernel for each ordered pair of neurons (u, v) with a synapse, the sum of those of its edges.

    .. math:: F_{(u, v)} = \sum_{e = (u \to v)} F_e, \qquad F_e = \theta_{p(e)} \;\text{ or }\; w_e \, F_{g(v)}

    Each edge has its own filter (``filters="synapse"``), or one weight in front of the filter of its target, of its
    target's role, or of all neurons. Chemical synapses and gap junctions between two neurons are parallel edges with
    filters of their own. A convolution is linear, so their filters are added before it.

    Args:
        connectome: the graph.
        channels: maps C per neuron.
        filters: ``"synapse"``, ``"neuron"``, ``"role"`` or ``"shared"``.
        channel_filters: ``"shared"`` (one filter for all channels), ``"own"`` (one per channel), or ``"mixed"`` (one
            for each pair of channels, source and target).
        kernel_size: k, odd.
        signs: see :class:`EdgeWeights`.

    Attributes:
        pairs: [2, P], the ordered pairs, sources in row 0.

    Shapes:
        edge_mask: [E], factors of the edges; output: [P, k, k], [P, C, k, k] or [P, C, C, k, k] (target, source).
    """

    pairs: Tensor
    pair_of_edge: Tensor
    post: Tensor

    def __init__(
        self,
        connectome: Connectome,
        channels: int,
        *,
        filters: str = "synapse",
        channel_filters: str = "own",
        kernel_size: int = 3,
        signs: str | NDArray[np.int64] | None = None,
    ) -> None:
        super().__init__()
        for argument, value, known in (
            ("filters", filters, FILTERS),
            ("channel_filters", channel_filters, CHANNEL_FILTERS),
        ):
            if value not in known:
                raise unknown_name(argument, value, known)
        self.channels = {"shared": (), "own": (channels,), "mixed": (channels, channels)}[channel_filters]
        sources = channels if channel_filters == "mixed" else 1
        of_synapse = filters == "synapse"
        self.weights = EdgeWeights(
            connectome,
            math.prod(self.channels) if self.channels else None,
            kernel_size=kernel_size if of_synapse else None,
            signs=signs,
            gain=1 / math.sqrt(sources),
        )
        own = None if channel_filters == "shared" else channels
        self.bank = None if of_synapse else FilterBank(connectome, own, kernel_size, filters)
        pairs, pair_of_edge = np.unique(connectome.edge_index, axis=1, return_inverse=True)
        self.register_buffer("pairs", torch.from_numpy(pairs.astype(np.int64)), persistent=False)
        self.register_buffer("pair_of_edge", torch.from_numpy(pair_of_edge.reshape(-1)), persistent=False)
        self.register_buffer("post", torch.from_numpy(connectome.post.astype(np.int64)), persistent=False)

    def reset_parameters(self) -> None:
        """Draw all filters again from torch's generator."""
        self.weights.reset_parameters()
        if self.bank is not None:
            self.bank.reset_parameters()

    def of_edges(self, edge_mask: Float[Tensor, "edge"] | None = None) -> Float[Tensor, "edge *channel_and_tap"]:
        """The filter of each edge, in edge order."""
        weight = self.weights()
        if self.channels:
            weight = weight.unflatten(1, self.channels)
        if self.bank is not None:
            bank = self.bank().index_select(0, self.post)
            # "mixed": the filter belongs to the channel of the target.
            bank = bank.unsqueeze(2) if len(self.channels) == 2 else bank
            weight = weight[..., None, None] * bank
        return weight if edge_mask is None else weight * spread(edge_mask, weight.dim()).to(weight.dtype)

    def forward(self, edge_mask: Float[Tensor, "edge"] | None = None) -> Float[Tensor, "pair *channel_and_tap"]:
        """The filter of each ordered pair."""
        weight = self.of_edges(edge_mask)
        if self.pairs.shape[1] == len(weight):
            return weight
        return weight.new_zeros(self.pairs.shape[1], *weight.shape[1:]).index_add(0, self.pair_of_edge, weight)
