"""Label slips: a run of names that is shifted by a few rows against the wiring, as after a row lost in a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from elegans_gnn.connectome._columns import Columns, Graph, entry_columns, in_order

Present = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.bool_]]
_SHIFTS = (1, -1, 2, -2, 3, -3)
_MOST_NEURONS = 2000  # the search looks at every run of rows, N^2 of them
_LEAST_GAIN = 5


def find_slip(
    graph: Columns, to_other: NDArray[np.int64], present: Present
) -> tuple[NDArray[np.int64], int, int, int] | None:
    """The run of rows and the shift that explain most of the entries missing from the other graph.

    All runs [start, stop) are scored at once. The ends of an entry that lie in the run are shifted, and the entry
    counts if the other graph then has it. In the plane of (start, stop) each case is a rectangle, so the scores of all
    runs are a 2-D cumulative sum.

    Args:
        graph: the graph that may have slipped, N neurons and E entries.
        to_other: [N] each neuron's index in the other graph, -1 where it has none.
        present: [E] whether the other graph has each entry, from the ends [E] in its indices.

    Returns:
        The row whose name belongs to each row's wiring [N], the start and stop of the run, and the shift. None if no
        shift explains at least half of what is missing.
    """
    size = graph.num_neurons
    if not 2 <= size <= _MOST_NEURONS:
        return None

    def common(rows: NDArray[np.int64]) -> int:
        ends = to_other[rows]
        return int(present(ends[graph.pre], ends[graph.post]).sum())

    rows = np.arange(size)
    before = common(rows)
    promising = []
    for shift in _SHIFTS:
        scores = _run_scores(graph, to_other, present, shift)
        start, stop = (int(at) for at in np.unravel_index(scores.argmax(), scores.shape))
        promising.append((int(scores.max()), shift, start, stop))
    best: tuple[int, int, int, int, int] | None = None
    for _, shift, start, stop in sorted(promising, reverse=True)[:2]:
        # The scores leave out the rows that wrap around, so the exact ends are found by trial.
        slack = abs(shift) + 1
        for first in range(max(0, start - slack), min(size, start + slack + 1)):
            for last in range(max(first + 2, stop - slack), min(size, stop + slack) + 1):
                candidate = (common(_ring(size, first, last, shift)), first - last, -abs(shift), first, shift)
                best = max(best, candidate) if best else candidate
    if best is None:
        return None
    after, length, _, first, shift = best
    missing_before, missing_after = graph.num_edges - before, graph.num_edges - after
    if after - before < _LEAST_GAIN or 2 * missing_after > missing_before:
        return None
    return _ring(size, first, first - length, shift), first, first - length, shift


def undo(graph: Graph, rows: NDArray[np.int64]) -> Graph:
    """The graph whose row i is wired as the name of row ``rows[i]``; names and annotations stay in their order."""
    return replace(graph, **in_order(entry_columns(graph) | {"pre": rows[graph.pre], "post": rows[graph.post]}))


def _ring(size: int, start: int, stop: int, shift: int) -> NDArray[np.int64]:
    rows = np.arange(size)
    rows[start:stop] = start + (np.arange(stop - start) + shift) % (stop - start)
    return rows


def _run_scores(graph: Columns, to_other: NDArray[np.int64], present: Present, shift: int) -> NDArray[np.int64]:
    """[N + 1, N + 1] entries in common for each (start, stop), without rows that wrap around."""
    size = graph.num_neurons
    shifted = np.full(size, -1)
    rows = np.arange(max(0, -shift), min(size, size - shift))
    shifted[rows] = to_other[rows + shift]
    low, high = np.minimum(graph.pre, graph.post), np.maximum(graph.pre, graph.post)
    forward = graph.pre <= graph.post

    neither, shifted_pre, shifted_post, both = (
        present(pre[graph.pre], post[graph.post]).astype(np.int64)
        for pre, post in ((to_other, to_other), (shifted, to_other), (to_other, shifted), (shifted, shifted))
    )
    low_only, high_only = np.where(forward, shifted_pre, shifted_post), np.where(forward, shifted_post, shifted_pre)
    plane = np.zeros((size + 2, size + 2), dtype=np.int64)
    zero, end = np.zeros_like(low), np.full_like(low, size + 1)
    for gain, starts, stops in (
        (both - neither, (zero, low + 1), (high + 1, end)),
        (low_only - neither, (zero, low + 1), (low + 1, high + 1)),
        (high_only - neither, (low + 1, high + 1), (high + 1, end)),
    ):
        for sign, at in ((1, (0, 0)), (-1, (0, 1)), (-1, (1, 0)), (1, (1, 1))):
            np.add.at(plane, (starts[at[0]], stops[at[1]]), sign * gain)
    return int(neither.sum()) + plane.cumsum(axis=0).cumsum(axis=1)[: size + 1, : size + 1]
