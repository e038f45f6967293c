"""Filters that belong to neurons instead of synapses, and the depthwise convolution that applies them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parameter import is_lazy

from elegans_gnn._shapes import Float
from elegans_gnn.errors import invalid
from elegans_gnn.nn._lesions import spread
from elegans_gnn.nn._units import unit_of_neuron

if TYPE_CHECKING:
    from elegans_gnn.connectome import Connectome

FILTERS = ("synapse", "neuron", "role", "shared")


class FilterBank(nn.Module):
    """One k x k filter for each neuron, for each role, or for all neurons, with or without own ones per channel.

    Args:
        connectome: the graph, for its neurons and roles.
        channels: None for a filter that all channels share, or C; -1 leaves C open until :meth:`materialize`.
        kernel_size: k, odd.
        filters: ``"neuron"``, ``"role"`` or ``"shared"``.

    Shapes:
        output: [N, k, k] or [N, C, k, k].
    """

    group: Tensor

    def __init__(self, connectome: Connectome, channels: int | None, kernel_size: int, filters: str) -> None:
        super().__init__()
        self.register_buffer("group", unit_of_neuron(connectome, filters), persistent=False)
        self.num_filters, self.kernel_size = int(self.group.max()) + 1, kernel_size
        self.weight = nn.UninitializedParameter()
        if channels != -1:
            self.materialize(channels)

    def materialize(self, channels: int | None) -> None:
        """Create and draw the filters, whose number of channels -1 left open."""
        axes = () if channels is None else (channels,)
        self.weight.materialize((self.num_filters, *axes, self.kernel_size, self.kernel_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the filters so that white maps of unit variance keep it."""
        if not is_lazy(self.weight):
            nn.init.normal_(self.weight, std=1 / self.kernel_size)

    def forward(self, neurons: int | None = None) -> Float[Tensor, "neuron *channel height width"]:
        """The filter of each neuron; with one for all, of any number of neurons."""
        if self.num_filters == 1:
            return self.weight.expand(len(self.group) if neurons is None else neurons, *self.weight.shape[1:])
        return self.weight.index_select(0, self.group)


def depthwise(x: Tensor, filters: Tensor) -> Tensor:
    """Each node's own filter on its maps, zeros around them: x [B, n, C, H, W], filters [n, k, k] or [n, C, k, k]."""
    nodes, channels = x.shape[1:3]
    kernels = filters.to(x.dtype) if filters.dim() == 4 else filters.to(x.dtype)[:, None].expand(-1, channels, -1, -1)
    maps = F.conv2d(x.flatten(1, 2), kernels.flatten(0, 1)[:, None], padding="same", groups=nodes * channels)
    return maps.view_as(x)


def weighted(weight: Tensor, x: Tensor) -> Tensor:
    """What the weights [n] or [n, C], or the filters [n, k, k] or [n, C, k, k], make of x [B, n, ...]."""
    if weight.dim() > 2:
        return depthwise(x, weight)
    return spread(weight, x.dim() - 1) * x


def check_filters(weight: Tensor, channels: int, window: tuple[int, ...]) -> None:
    """Refuse given weights that are no filters."""
    if weight.shape[1:] not in (window, (channels, *window)):
        own = ", ".join(map(str, window))
        expected = f"of shape [E, {own}] or [E, {channels}, {own}] (a filter per edge)"
        remedy = 'pass filters, or use a layer with filters="neuron", "role" or "shared", which takes weights'
        raise invalid("edge_weight", expected, list(weight.shape), remedy)
