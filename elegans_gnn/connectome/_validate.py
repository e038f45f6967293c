"""Checks of a connectome's columns: each refuses with the argument, what was expected, what came, and the remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elegans_gnn.errors import invalid, unknown_name

if TYPE_CHECKING:
    from elegans_gnn.connectome._core import Connectome

ROLES = ("sensory", "inter", "motor", "polymodal", "unknown")
GAP = "gap"


def text_column(argument: str, values: ArrayLike, length: int) -> NDArray[np.str_]:
    array = np.array(values, dtype=np.str_)
    _check_length(argument, array, length)
    return array


def integer_column(argument: str, values: ArrayLike, length: int) -> NDArray[np.int64]:
    array = np.asarray(values)
    _check_length(argument, array, length)
    whole = array.dtype.kind in "iu" or (array.dtype.kind == "f" and np.array_equal(array, np.trunc(array)))
    if array.size and not whole:
        raise invalid(argument, "integers", f"dtype {array.dtype}", "put measured strengths into weights instead")
    if array.size and max(abs(int(array.max())), abs(int(array.min()))) >= 2**63:
        raise invalid(argument, "64-bit integers", array[np.abs(array).argmax()], "put measured strengths into weights")
    return np.array(array, dtype=np.int64)


def float_column(argument: str, values: ArrayLike, length: int) -> NDArray[np.float64]:
    array = np.array(values, dtype=np.float64)
    _check_length(argument, array, length)
    if not np.isfinite(array).all():
        raise invalid(argument, "finite", f"{array[~np.isfinite(array)][0]}", "replace or drop those entries")
    return array


def _check_length(argument: str, array: NDArray[Any], length: int) -> None:
    if array.shape != (length,):
        raise invalid(argument, f"of shape [{length}]", list(array.shape), "give one value per row of the table")


def full_column(argument: str, values: ArrayLike, length: int, dtype: Any = None) -> NDArray[Any]:
    """A column of its own out of a scalar or one value per row."""
    array = np.asarray(values, dtype=dtype)
    if array.ndim:
        _check_length(argument, array, length)
    return np.array(np.broadcast_to(array, (length,)))


def as_index(argument: str, values: ArrayLike, labels: NDArray[np.str_]) -> NDArray[np.int64]:
    array = np.asarray(values)
    if array.dtype.kind in "US":
        position = {str(label): place for place, label in enumerate(labels)}
        unknown = [str(value) for value in array.tolist() if str(value) not in position]
        if unknown:
            raise unknown_name(argument, unknown[0], position)
        return np.array([position[str(value)] for value in array.tolist()], dtype=np.int64)
    return integer_column(argument, array, len(array))


def check_neurons(graph: Connectome) -> None:
    names = graph.names
    if (names == "").any():
        raise invalid("names", "non-empty", f"'' at row {int(np.flatnonzero(names == '')[0])}", "name every neuron")
    unique, occurrences = np.unique(names, return_counts=True)
    if len(unique) != len(names):
        twice = str(unique[occurrences > 1][0])
        raise invalid("names", "unique", f"{twice!r} {int(occurrences.max())} times", "drop or rename the duplicates")
    stray = ~np.isin(graph.roles, ROLES)
    if stray.any():
        raise unknown_name("roles", str(graph.roles[stray][0]), ROLES)
    if not np.array_equal(np.sort(graph.visit_rank), np.arange(graph.num_neurons)):
        raise invalid("visit_rank", f"a permutation of 0..{graph.num_neurons - 1}", "another", "rank each neuron once")


def check_edges(graph: Connectome) -> None:
    size = graph.num_neurons
    for argument, ends in (("pre", graph.pre), ("post", graph.post)):
        outside = (ends < 0) | (ends >= size)
        if outside.any():
            raise invalid(argument, f"indices in 0..{size - 1}", int(ends[outside][0]), "check the neuron table")
    if (graph.kinds == "").any():
        raise invalid("kinds", "non-empty", "''", "say chemical or gap for each entry")
    if (graph.counts < 0).any():
        raise invalid("counts", ">= 0", int(graph.counts.min()), "drop the entry or put its sign into weights")
    pair = graph.pre * size + graph.post
    step, same_pair = np.diff(pair), np.diff(pair) == 0
    kind_grows = graph.kinds[1:] > graph.kinds[:-1]
    if not ((step > 0) | (same_pair & kind_grows)).all():
        at = int(np.flatnonzero(~((step > 0) | (same_pair & kind_grows)))[0])
        entry = f"{_label(graph, at + 1)} ({graph.kinds[at + 1]})"
        repeated = bool(same_pair[at] and graph.kinds[at] == graph.kinds[at + 1])
        got, remedy = (f"{entry} twice", "add up its counts") if repeated else (f"{entry} late", "use from_edges")
        raise invalid("edges", "sorted by (pre, post, kind) without repeats", got, remedy)
    _check_gap_pairs(graph, pair)


def _check_gap_pairs(graph: Connectome, pair: NDArray[np.int64]) -> None:
    gap = np.flatnonzero(graph.kinds == GAP)
    reverse = graph.post[gap] * graph.num_neurons + graph.pre[gap]
    order = np.argsort(reverse, kind="stable")
    mirrored = gap[order]
    lacking = ~np.isin(reverse, pair[gap])
    if lacking.any():
        entry = gap[lacking][0]
        got, remedy = f"{_label(graph, entry)} alone", "add its other direction"
    else:
        differs = graph.counts[gap] != graph.counts[mirrored]
        if graph.weights is not None:
            differs |= graph.weights[gap] != graph.weights[mirrored]
        if not differs.any():
            return
        entry = gap[differs][0]
        got, remedy = f"{_label(graph, entry)} unlike its other direction", "give both the same count and weight"
    raise invalid("gap edges", "present in both directions with equal counts and weights", got, remedy)


def _label(graph: Connectome, entry: int) -> str:
    return f"{graph.names[graph.pre[entry]]} -> {graph.names[graph.post[entry]]}"
