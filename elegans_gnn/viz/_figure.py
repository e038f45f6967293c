"""Figures without global state: no pyplot, no backend chosen, nothing left open."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from elegans_gnn.errors import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 150


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, sizes in inches."""
    figure: Figure = require("matplotlib.figure").Figure(figsize=(width, height), layout="constrained", dpi=DPI)
    return figure


def label_synapses(axes: Axes, centres: Sequence[float], names: Sequence[str]) -> None:
    """Name rows (pre) and columns (post) of a matrix of weights."""
    axes.set_xticks(centres, names)
    axes.set_yticks(centres, names, rotation=90, va="center")
    axes.set(xlabel="receives (post)", ylabel="sends (pre)")
    axes.tick_params(length=0)


def finish(figure: Figure, path: str | os.PathLike[str] | None) -> Figure:
    """Write the figure if a path is given, and return it (notebooks show it)."""
    if path is not None:
        # Without matplotlib's version in the file, the same picture gives the same bytes.
        figure.savefig(path, metadata={"Software": None} if str(path).endswith(".png") else None)
    return figure
