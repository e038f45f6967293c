"""Lesions: neurons and edges silenced for an experiment, by masks on the weights that leave the parameters alone."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from elegans_gnn.connectome import Connectome
from elegans_gnn.nn._edge_weights import edge_numbers


class Lesioned:
    """Lesions for a module with a connectome. A lesion is an experiment on a trained network: no mask is saved.

    Attributes:
        edge_mask, neuron_mask: buffers [E] and [N], 1 intact and 0 silenced; None while nothing is silenced.
    """

    connectome: Connectome
    edge_mask: Tensor | None
    neuron_mask: Tensor | None

    @property
    def edge_index(self) -> Tensor:
        """[2, E]: the edges of the connectome."""
        raise NotImplementedError

    def lesion(self, *, neurons: Iterable[str] = (), edges: Iterable[int] = ()) -> None:
        """Silence neurons and edges until :meth:`heal`; repeated lesions add up, the learned weights do not change.

        Args:
            neurons: names; these neurons receive and send nothing, and their output is zero.
            edges: numbers in the order of ``edge_index``, or a boolean mask [E].

        Raises:
            ValueError: an unknown name or edge number.
        """
        silent = torch.from_numpy(self.connectome.index(neurons))
        cut = edge_numbers(edges, self.connectome.num_edges)
        device = self.edge_index.device
        self.neuron_mask = _silenced(self.neuron_mask, self.connectome.num_neurons, silent.to(device))
        self.edge_mask = _silenced(self.edge_mask, self.connectome.num_edges, cut.to(device))

    def heal(self) -> None:
        """Undo all lesions."""
        self.edge_mask = self.neuron_mask = None


def _silenced(mask: Tensor | None, length: int, index: Tensor) -> Tensor | None:
    """The mask with zeros at `index` too; None while nothing is silenced."""
    if not index.numel():
        return mask
    whole = torch.ones(length, device=index.device) if mask is None else mask
    return whole.index_fill(0, index, 0.0)


def spread(values: Tensor, axes: int) -> Tensor:
    """The values with trailing axes of length 1, so that they broadcast against a tensor of so many axes."""
    return values.reshape(*values.shape, *[1] * (axes - values.dim()))
