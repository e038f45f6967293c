"""How much of a tensor network's work can happen at once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from elegans_gnn.errors import invalid
from elegans_gnn.viz._figure import finish, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def wavefront_widths(wavefront: NDArray[np.integer], phase: NDArray[np.integer], phases: int) -> NDArray[np.int64]:
    """[P, W] visits of each phase in each wavefront.

    Args:
        wavefront: [V] depth of each visit, from 1.
        phase: [V] number of the phase of each visit.
        phases: P.
    """
    if wavefront.shape != phase.shape or wavefront.ndim != 1:
        got = f"shapes {list(wavefront.shape)} and {list(phase.shape)}"
        raise invalid("wavefront and phase", "of one length [V]", got, "pass schedule.wavefront and schedule.phase")
    deepest = int(wavefront.max(initial=0))
    cell = phase.astype(np.int64) * deepest + wavefront - 1
    return np.bincount(cell, minlength=phases * deepest).reshape(phases, deepest)


def plot_schedule(
    wavefront: NDArray[np.integer],
    phase: NDArray[np.integer],
    phase_names: Sequence[str],
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw the visits in each wavefront, by phase: what the order of a tensor network leaves to do one after the other.

    Args:
        wavefront: [V] depth of each visit (``schedule.wavefront``).
        phase: [V] its phase (``schedule.phase``).
        phase_names: [P] (``[phase.name for phase in schedule.phases]``).
        path: where to write the picture.
    """
    widths = wavefront_widths(wavefront, phase, len(phase_names))
    figure = new_figure(8.0, 3.6)
    axes = figure.subplots()
    position, below = np.arange(1, widths.shape[1] + 1), np.zeros(widths.shape[1])
    for name, width in zip(phase_names, widths, strict=True):
        if width.any():
            axes.bar(position, width, bottom=below, width=1.0, label=f"{name} ({width.sum()})")
        below += width
    axes.set_xlabel("wavefront")
    axes.set_ylabel("visits at once")
    axes.set_title(f"{len(wavefront)} visits in {widths.shape[1]} wavefronts")
    axes.legend(frameon=False)
    return finish(figure, path)
