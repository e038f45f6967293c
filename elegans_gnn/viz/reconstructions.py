"""Originals above their reconstructions and errors."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from elegans_gnn.errors import invalid
from elegans_gnn.viz._figure import finish, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_GAP = 2
_ROWS = 3
# Sizes in inches; the pictures share the least total width if they are few.
_MIN_PICTURE, _MAX_PICTURE, _MIN_TOTAL = 0.62, 1.1, 3.0
_ROW_NAMES, _TITLE_LINE, _TITLE_WIDTH = 0.8, 0.2, 4.4


def plot_reconstructions(
    originals: NDArray[np.floating],
    reconstructions: NDArray[np.floating],
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """Draw three rows: the originals, the reconstructions, and the pixels that differ.

    Args:
        originals, reconstructions: [M, H, W] values in 0..1.
        path: file to write the picture to, if given.

    Raises:
        ValueError: the two have different shapes, or not three axes.
    """
    if originals.shape != reconstructions.shape or originals.ndim != _ROWS:
        got = f"{list(originals.shape)} and {list(reconstructions.shape)}"
        remedy = "drop the channel axis with [:, 0]"
        raise invalid("originals and reconstructions", "of one shape [M, H, W]", got, remedy)
    count, height, width = originals.shape
    missing = (originals > 0.5) & (reconstructions <= 0.5)
    added = (originals <= 0.5) & (reconstructions > 0.5)
    canvas = np.full((_ROWS * (height + _GAP) - _GAP, count * (width + _GAP) - _GAP, 3), 0.75)
    for column in range(count):
        left = column * (width + _GAP)
        wrong = np.ones((height, width, 3))
        wrong[missing[column]] = (0.84, 0.15, 0.16)
        wrong[added[column]] = (0.12, 0.47, 0.71)
        for row, image in enumerate((1 - originals[column], 1 - reconstructions[column], wrong)):
            top = row * (height + _GAP)
            canvas[top : top + height, left : left + width] = image if image.ndim == _ROWS else image[:, :, None]
    drawn = count * min(max(_MIN_TOTAL / count, _MIN_PICTURE), _MAX_PICTURE)
    # In a narrow figure the title takes two lines.
    lines = 1 if drawn >= _TITLE_WIDTH else 2
    figure = new_figure(
        max(drawn, _TITLE_WIDTH / lines) + _ROW_NAMES,
        drawn * canvas.shape[0] / canvas.shape[1] + _TITLE_LINE * lines + 0.1,
    )
    axes = figure.subplots()
    axes.imshow(canvas.clip(0, 1), interpolation="nearest")
    axes.set_anchor("W")
    centres = [row * (height + _GAP) + height / 2 for row in range(_ROWS)]
    share = 1 - (missing | added).mean()
    axes.set_yticks(centres, ["original", "redrawn", "errors"])
    axes.set_xticks([])
    of = "" if count == 1 else f" in these {count}"
    between = " " if lines == 1 else "\n"
    title = f"pixels right{of}: {100 * share:.2f} %{between}(errors: red missing, blue too much)"
    axes.set_title(title, fontsize=9, loc="left")
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)
    return finish(figure, path)
