"""Learned weights between the roles of neurons."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from elegans_gnn.connectome import ROLES
from elegans_gnn.viz._figure import finish, label_synapses, new_figure
from elegans_gnn.viz.edge_weights import per_edge

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from elegans_gnn.connectome import Connectome


def role_blocks(connectome: Connectome, weights: NDArray[np.floating]) -> tuple[list[str], NDArray[np.float64]]:
    """The R roles present, and the root mean square weight [R, R] from each (row) to each (column); NaN: no synapse.

    Arguments are those of :func:`elegans_gnn.viz.per_edge`.
    """
    values = per_edge(connectome, weights)
    present = [role for role in ROLES if (connectome.roles == role).any()]
    number = np.array([present.index(role) for role in connectome.roles.tolist()])
    block = number[connectome.pre] * len(present) + number[connectome.post]
    size = len(present) ** 2
    edges = np.bincount(block, minlength=size)
    total = np.bincount(block, values**2, minlength=size)
    square = np.divide(total, edges, out=np.full(size, np.nan), where=edges > 0)
    return present, np.sqrt(square).reshape(len(present), len(present))


def plot_role_blocks(
    connectome: Connectome,
    weights: NDArray[np.floating],
    initial: NDArray[np.floating],
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw the root mean square weight between roles before and after training, and their ratio.

    Args:
        connectome: the graph.
        weights, initial: [E] or [E, C] after and before training, in the connectome's edge order.
        path: file to write the picture to, if given.
    """
    roles, before = role_blocks(connectome, initial)
    after = role_blocks(connectome, weights)[1]
    change = np.divide(after, before, out=np.full_like(after, np.nan), where=before > 0)
    doublings = np.log2(change, out=np.full_like(change, np.nan), where=change > 0)
    strongest = float(np.nanmax([before, after], initial=1e-9))
    farthest = float(np.nanmax(np.abs(doublings), initial=0.1))
    figure = new_figure(11.0, 3.6)
    panels = (
        ("before: rms weight", before, "Greys", 0.0, strongest, before),
        ("after: rms weight", after, "Greys", 0.0, strongest, after),
        ("after / before", doublings, "RdBu_r", -farthest, farthest, change),
    )
    for axes, (title, colour, scale, low, high, shown) in zip(figure.subplots(1, 3), panels, strict=True):
        axes.imshow(colour, cmap=scale, vmin=low, vmax=high)
        for row, column in np.ndindex(shown.shape):
            strong = abs(colour[row, column]) > 0.6 * high
            text = "none" if np.isnan(shown[row, column]) else f"{shown[row, column]:.3f}"
            axes.text(column, row, text, ha="center", va="center", color="white" if strong else "black", fontsize=9)
        label_synapses(axes, range(len(roles)), roles)
        axes.set_title(title, loc="left", fontsize=10)
    return finish(figure, path)
