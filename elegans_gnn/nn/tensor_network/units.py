"""The tensor units of the neurons: linear maps of vectors, or convolutions of feature maps, many at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from elegans_gnn._shapes import Float
from elegans_gnn.connectome import Connectome
from elegans_gnn.errors import invalid, unknown_name
from elegans_gnn.nn.tensor_network.rules import LETTERS, role_letters

UNITS = ("dense", "diagonal", "shared-by-role", "shared-by-class")


def first_use(groups: NDArray[np.int64], used: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """[N] rows for the groups of the used neurons, numbered in order of first use; -1 for neurons of unused groups.

    In this order the units of a stage are neighbours, so that their parameters need not be gathered.
    """
    order = dict.fromkeys(groups[np.concatenate(used)].tolist())
    rows = {group: row for row, group in enumerate(order)}
    return np.array([rows.get(group, -1) for group in groups.tolist()], dtype=np.int64)


def unit_groups(connectome: Connectome, units: str) -> NDArray[np.int64]:
    """[N] which neurons share a unit (equal numbers); neurons without a known class have one of their own."""
    if units in ("dense", "diagonal"):
        return np.arange(connectome.num_neurons)
    if units == "shared-by-role":
        letters = role_letters(connectome.roles)
        present = [letter for letter in LETTERS if letter in letters]
        return np.array([present.index(letter) for letter in letters.tolist()], dtype=np.int64)
    if units == "shared-by-class":
        if not (connectome.classes != "").any():
            remedy = "fill in connectome.classes, or use units='shared-by-role'"
            raise invalid("connectome", "one with neuron classes", "none", remedy)
        labels = np.where(connectome.classes == "", np.char.add("\0", connectome.names), connectome.classes)
        return np.unique(labels, return_inverse=True)[1].astype(np.int64)
    raise unknown_name("units", units, UNITS)


class NeuronUnits(nn.Module):
    r"""One linear unit per neuron (or per group of neurons), applied to many neurons' inputs at once.

    .. math:: U_v(s) = W_{r(v)} s + b_{r(v)} \quad\text{(dense)},\qquad
        U_v(s) = w_{r(v)} \odot s + b_{r(v)} \quad\text{(diagonal)}

    With a kernel size, the products are convolutions with "same" padding, depthwise for diagonal units.

    Args:
        row_of: [N] the row of the parameters that each neuron uses, or -1 for neurons whose unit no output depends on:
            they have no parameters.
        dim: F, or channels C.
        diagonal: whether features stay apart.
        shared: whether several neurons may use one row.
        kernel_size: odd, for feature maps; None for vectors.

    Shapes:
        weight: [U, F, F] or [U, F], with [k, k] appended for maps. bias: [U, F].
    """

    def __init__(
        self, row_of: NDArray[np.int64], dim: int, *, diagonal: bool, shared: bool, kernel_size: int | None
    ) -> None:
        super().__init__()
        self.row_of = row_of
        self.dim, self.diagonal, self.shared, self.kernel_size = dim, diagonal, shared, kernel_size
        self.num_units = int(row_of.max()) + 1
        kernel = () if kernel_size is None else (kernel_size, kernel_size)
        self.weight = nn.Parameter(torch.empty(self.num_units, dim, *([] if diagonal else [dim]), *kernel))
        self.bias = nn.Parameter(torch.empty(self.num_units, dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Uniform in +-1/sqrt(fan-in), as torch's own linear and convolution layers."""
        bound = 1 / math.sqrt(self.weight[0, 0].numel())
        nn.init.uniform_(self.weight, -bound, bound)
        nn.init.uniform_(self.bias, -bound, bound)

    def get_extra_state(self) -> Tensor:
        """Which row is whose: saved with the parameters."""
        return torch.from_numpy(self.row_of)

    def set_extra_state(self, state: Tensor) -> None:
        """Refuse parameters that were saved for other neurons."""
        if not np.array_equal(state.cpu().numpy(), self.row_of):
            remedy = "build the network with the graph and the order, relations and units it was trained with"
            raise invalid("state_dict", "of a network whose units belong to the same neurons", "another one", remedy)

    def select(self, rows: Tensor | None, sizes: list[int]) -> list[tuple[Any, Any]]:
        """Parameters for the unit applications of each stage.

        Args:
            rows: the rows used, stage after stage, or None if that is every row once, in order.
            sizes: number of unit applications of each stage.
        """
        if self.shared:
            return [(self.weight.unbind(0), self.bias.unbind(0))] * len(sizes)
        parts = [part if rows is None else part.index_select(0, rows) for part in (self.weight, self.bias)]
        return list(zip(*[part.split(sizes) for part in parts], strict=True))

    def products(
        self,
        inputs: Float[Tensor, "row _ feature"],
        weight: Any,
        bias: Any,
        runs: tuple[tuple[int, int, int], ...],
        size: tuple[int, int] | None,
    ) -> Float[Tensor, "row unit feature"]:
        """Apply the units of one stage.

        Args:
            inputs: [R, n, F], or [R, 1, F] where all units have the same input.
            weight, bias: from :meth:`select`.
            runs: (row, first, last) of each run of equal units, for shared units.
            size: (H, W) where rows are the pixels of maps.
        """
        if self.shared:
            pieces = []
            for row, first, last in runs:
                given = inputs if inputs.shape[1] == 1 else inputs[:, first:last]
                made = self._run(given, weight[row], bias[row], size)
                pieces.append(made.expand(-1, last - first, -1) if made.shape[1] == 1 else made)
            return torch.cat(pieces, 1)
        if size is not None:
            return self._convolve(inputs, weight, bias, size)
        if self.diagonal:
            return inputs * weight + bias
        if inputs.shape[1] == 1:
            made = F.linear(inputs[:, 0], weight.flatten(0, 1), bias.flatten())
            return made.unflatten(1, (weight.shape[0], self.dim))
        return torch.baddbmm(bias.unsqueeze(1), inputs.transpose(0, 1), weight.transpose(1, 2)).transpose(0, 1)

    def _run(self, inputs: Tensor, weight: Tensor, bias: Tensor, size: tuple[int, int] | None) -> Tensor:
        """One unit on several inputs [R, m, F]."""
        if size is None:
            return F.linear(inputs, weight, bias)
        count = inputs.shape[1]
        maps = inputs.unflatten(0, (-1, *size)).permute(0, 3, 4, 1, 2).flatten(0, 1)
        made = F.conv2d(maps, weight, bias, padding="same")
        return made.unflatten(0, (-1, count)).permute(0, 3, 4, 1, 2).flatten(0, 2)

    def _convolve(self, inputs: Tensor, weight: Tensor, bias: Tensor, size: tuple[int, int]) -> Tensor:
        """All units of a stage as one grouped convolution over channels-last maps [B, n C, H, W]."""
        count = weight.shape[0]
        if inputs.shape[1] == 1 and self.diagonal:
            inputs = inputs.expand(-1, count, -1)
        groups = count if inputs.shape[1] > 1 else 1
        maps = inputs.flatten(1).unflatten(0, (-1, *size)).permute(0, 3, 1, 2)
        kernel = weight.flatten(0, 1).unsqueeze(1) if self.diagonal else weight.flatten(0, 1)
        made = F.conv2d(
            maps, kernel, bias.flatten(), padding="same", groups=count * self.dim if self.diagonal else groups
        )
        return made.permute(0, 2, 3, 1).flatten(0, 2).unflatten(1, (count, self.dim))

    def one_by_one(self) -> dict[int, Callable[[Tensor], Tensor]]:
        """Each neuron's unit as a function of one state [B, F] or [B, C, H, W], for the reference."""
        weights, biases = self.weight.unbind(0), self.bias.unbind(0)
        return {
            neuron: partial(self._single, weights[row], biases[row])
            for neuron, row in enumerate(self.row_of.tolist())
            if row >= 0
        }

    def _single(self, weight: Tensor, bias: Tensor, state: Tensor) -> Tensor:
        if self.kernel_size is not None:
            kernel = weight.unsqueeze(1) if self.diagonal else weight
            return F.conv2d(state, kernel, bias, padding="same", groups=self.dim if self.diagonal else 1)
        return state * weight + bias if self.diagonal else F.linear(state, weight, bias)

    def extra_repr(self) -> str:
        kind = "diagonal" if self.diagonal else "dense"
        kernel = "" if self.kernel_size is None else f", kernel_size={self.kernel_size}"
        return f"units={self.num_units}, dim={self.dim}, {kind}{kernel}"
