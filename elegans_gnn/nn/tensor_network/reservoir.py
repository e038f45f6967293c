"""The tensor network as an echo state network: a core that is never trained."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from elegans_gnn._shapes import Float
from elegans_gnn.connectome import Connectome
from elegans_gnn.errors import Range, invalid
from elegans_gnn.nn.tensor_network.layer import TensorNetwork
from elegans_gnn.nn.tensor_network.runner import PlanRunner


class Reservoir(TensorNetwork):
    r"""A :class:`TensorNetwork` whose units (and edge weights) stay as they were drawn; only the readout trains.

    The core runs without a gradient graph, so its memory is that of inference. The input still gets a gradient where
    the readout uses it as its query, and none through the core.

    Args:
        connectome, dim: as for :class:`TensorNetwork`.
        spectral_radius: scales each unit's matrix (or diagonal) to this largest absolute eigenvalue; with None it
            stays as drawn.
        options: as for :class:`TensorNetwork`.

    Raises:
        ValueError: as for :class:`TensorNetwork`, or spectral_radius is not positive or used with convolutions.

    Source: Jaeger, "The echo state approach to analysing and training recurrent neural networks" (2001).
    """

    ranges: ClassVar = {
        **TensorNetwork.ranges,
        "spectral_radius": Range(above=0, remedy="use 0.9, or None to leave the units as drawn"),
    }

    def __init__(
        self, connectome: Connectome, dim: int, *, spectral_radius: float | None = None, **options: Any
    ) -> None:
        Reservoir.ranges["spectral_radius"].check("spectral_radius", spectral_radius)
        super().__init__(connectome, dim, **options)
        if spectral_radius is not None and self.kernel_size is not None:
            raise invalid("spectral_radius", "None with kernel_size", spectral_radius, "omit one of the two")
        self.spectral_radius = spectral_radius
        self.units.requires_grad_(False)
        if self.edge_weight is not None:
            self.edge_weight.requires_grad_(False)
        self._scale()

    def reset_parameters(self) -> None:
        """Draw new values for all parameters, the frozen ones too."""
        super().reset_parameters()
        self._scale()

    @torch.no_grad()
    def _scale(self) -> None:
        if self.spectral_radius is None:
            return
        weight = self.units.weight
        size = weight.abs().amax(1) if self.units.diagonal else torch.linalg.eigvals(weight).abs().amax(1)
        weight.mul_((self.spectral_radius / size).reshape(-1, *[1] * (weight.dim() - 1)))

    def run(
        self, runner: PlanRunner, rows: Tensor, size: tuple[int, int] | None, carried: Tensor | None = None
    ) -> Float[Tensor, "row neuron feature"]:
        """See :meth:`TensorNetwork.run`; without a gradient graph."""
        with torch.no_grad():
            return super().run(runner, rows, size, carried)
