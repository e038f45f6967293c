"""Neuron units: the learnable map each neuron applies to what it receives."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parameter import is_lazy

from elegans_gnn._shapes import Float
from elegans_gnn.connectome import ROLES
from elegans_gnn.errors import invalid, unknown_name
from elegans_gnn.nn._edge_weights import check_kernel_size

if TYPE_CHECKING:
    from elegans_gnn.connectome import Connectome

UNITS = ("shared", "role", "neuron")


def unit_of_neuron(connectome: Connectome, unit: str) -> Tensor:
    """[N]: the unit of each neuron: 0 for all, the number of its role, or its own number."""
    if unit == "shared":
        return torch.zeros(connectome.num_neurons, dtype=torch.int64)
    if unit == "neuron":
        return torch.arange(connectome.num_neurons)
    present = [role for role in ROLES if (connectome.roles == role).any()]
    return torch.from_numpy(np.array([present.index(role) for role in connectome.roles.tolist()], dtype=np.int64))


class NeuronUnit(nn.Module):
    r"""The linear map (vectors) or convolution (feature maps) of each neuron, without bias.

    .. math:: y_v = U_{g(v)} \, x_v

    with one U for all neurons (``shared``), one for each role (``role``), or one for each neuron (``neuron``).

    Args:
        connectome: the graph, for its neurons and roles.
        in_channels, out_channels: channels C of maps before and after; for vectors the number of features F;
            in_channels=-1 leaves the weight open until :meth:`materialize`.
        unit: ``"shared"``, ``"role"`` or ``"neuron"``.
        kernel_size: None for vectors [B, N, F], an odd integer for maps [B, N, C, H, W] (padding keeps H and W).

    Shapes:
        x: [B, N, F] or [B, N, C, H, W]; output: the same with out_channels.

    Raises:
        ValueError: an unknown unit, fewer than 1 channel, or a kernel_size that is not odd.
    """

    group: Tensor

    def __init__(
        self,
        connectome: Connectome,
        in_channels: int,
        out_channels: int,
        *,
        unit: str = "shared",
        kernel_size: int | None = None,
    ) -> None:
        super().__init__()
        if unit not in UNITS:
            raise unknown_name("unit", unit, UNITS)
        for argument, value in (("in_channels", in_channels), ("out_channels", out_channels)):
            if not isinstance(value, int) or isinstance(value, bool):
                remedy = "a connectome has one set of neurons" if isinstance(value, tuple) else "pass a whole number"
                raise invalid(argument, "an int", repr(value), remedy)
            if value < 1 and (argument, value) != ("in_channels", -1):
                raise invalid(argument, ">= 1", value, "use at least one channel per neuron")
        check_kernel_size(kernel_size)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.unit, self.kernel_size = unit, kernel_size
        group = unit_of_neuron(connectome, unit)
        self.num_units = int(group.max()) + 1
        self.register_buffer("group", group, persistent=False)
        self.weight = nn.UninitializedParameter()
        if in_channels != -1:
            self.materialize(in_channels)

    def materialize(self, in_channels: int) -> None:
        """Create and draw the weight, whose size in_channels=-1 left open."""
        self.in_channels = in_channels
        window = () if self.kernel_size is None else (self.kernel_size, self.kernel_size)
        shape = (self.num_units, self.out_channels, in_channels, *window)
        self.weight.materialize(shape)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw each unit orthogonal, scaled so that white input of unit variance gives output of unit variance."""
        if is_lazy(self.weight):
            return
        fan_in = self.weight[0, 0].numel()
        for unit in self.weight:
            nn.init.orthogonal_(unit, gain=max(1.0, math.sqrt(self.out_channels / fan_in)))

    def forward(self, x: Float[Tensor, "batch neuron *feature"]) -> Float[Tensor, "batch neuron *feature_out"]:
        """Apply each neuron's unit."""
        if self.kernel_size is None:
            return self._linear(x)
        return self._convolve(x)

    def _linear(self, x: Tensor) -> Tensor:
        if self.unit == "shared":
            return F.linear(x, self.weight[0])
        per_neuron = self.weight.index_select(0, self.group)
        return torch.einsum("bnf,ngf->bng", x, per_neuron)

    def _convolve(self, x: Tensor) -> Tensor:
        batch, neurons, channels, height, width = x.shape
        assert self.kernel_size is not None
        padding = self.kernel_size // 2
        if self.unit == "shared":
            y = F.conv2d(x.reshape(batch * neurons, channels, height, width), self.weight[0], padding=padding)
            return y.reshape(batch, neurons, self.out_channels, height, width)
        kernels = self.weight.index_select(0, self.group).flatten(0, 1)
        y = F.conv2d(x.reshape(batch, neurons * channels, height, width), kernels, padding=padding, groups=neurons)
        return y.reshape(batch, neurons, self.out_channels, height, width)

    def extra_repr(self) -> str:
        window = "" if self.kernel_size is None else f", kernel_size={self.kernel_size}"
        return f"{self.in_channels}, {self.out_channels}, unit={self.unit} ({self.num_units}){window}"
