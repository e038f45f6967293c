"""Learned weights as a picture of the nervous system: one dot for each connected pair of neurons."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from elegans_gnn.connectome import ROLES
from elegans_gnn.errors import invalid
from elegans_gnn.viz._figure import finish, label_synapses, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from elegans_gnn.connectome import Connectome


def per_edge(connectome: Connectome, weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """One number per edge, [E]: the weight itself, or the root mean square over its channels.

    Args:
        connectome: the graph.
        weights: [E] or [E, C] in its edge order, such as `conv.edge_weight()`.

    Raises:
        ValueError: the weights have another shape.
    """
    values = np.asarray(weights, dtype=np.float64)
    if values.ndim not in (1, 2) or len(values) != connectome.num_edges:
        expected = f"of shape [{connectome.num_edges}] or [{connectome.num_edges}, C] (one per edge)"
        raise invalid("weights", expected, list(values.shape), "take the order from connectome.edge_index")
    return values if values.ndim == 1 else np.sqrt(np.square(values).mean(axis=1))


def weight_matrix(connectome: Connectome, weights: NDArray[np.floating]) -> NDArray[np.float64]:
    """The weight from neuron u (row) to neuron v (column), [N, N]: the sum of parallel edges, NaN without a synapse.

    Arguments are those of :func:`per_edge`.
    """
    values = per_edge(connectome, weights)
    matrix = np.full((connectome.num_neurons, connectome.num_neurons), np.nan)
    matrix[connectome.pre, connectome.post] = 0.0
    np.add.at(matrix, (connectome.pre, connectome.post), values)
    return matrix


def plot_edge_weights(
    connectome: Connectome, weights: NDArray[np.floating], path: str | os.PathLike[str] | None = None
) -> Figure:
    """Draw the learned weight of every connected pair, with the neurons ordered by role, then by name.

    Args:
        connectome: the graph.
        weights: [E] or [E, C] in its edge order, such as `conv.edge_weight()`.
        path: file to write the picture to, if given.
    """
    roles = [str(role) for role in connectome.roles]
    order = sorted(range(connectome.num_neurons), key=lambda neuron: (ROLES.index(roles[neuron]), neuron))
    matrix = weight_matrix(connectome, weights)[np.ix_(order, order)]
    present = matrix[~np.isnan(matrix)]
    limit = float(np.quantile(np.abs(present), 0.98)) if present.size else 1.0
    figure = new_figure(8.0, 7.2)
    axes = figure.subplots()
    axes.set_facecolor("white")
    rows, columns = np.nonzero(~np.isnan(matrix))
    # Dots, not an image: a cell of a 279 x 279 image would be smaller than a pixel of a printed figure.
    dots = axes.scatter(
        columns, rows, c=matrix[rows, columns], s=5, marker="s", linewidths=0, cmap="RdBu_r", vmin=-limit, vmax=limit
    )
    borders = np.flatnonzero([roles[a] != roles[b] for a, b in pairwise(order)]) + 0.5
    for border in borders:
        axes.axhline(border, color="0.6", linewidth=0.6)
        axes.axvline(border, color="0.6", linewidth=0.6)
    edges = [-0.5, *borders, connectome.num_neurons - 0.5]
    centres = [(low + high) / 2 for low, high in pairwise(edges)]
    names = [f"{role} ({roles.count(role)})" for role in ROLES if role in roles]
    label_synapses(axes, centres, names)
    axes.set(xlim=(-0.5, connectome.num_neurons - 0.5), ylim=(connectome.num_neurons - 0.5, -0.5), aspect="equal")
    axes.set_title(f"{connectome.name}: weight of each of {len(present)} connected pairs", loc="left", fontsize=10)
    figure.colorbar(dots, ax=axes, shrink=0.8, extend="both", label="learned weight (colours end at the 98 % quantile)")
    return finish(figure, path)
