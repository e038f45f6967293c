"""Neurons by role, name, index or mask; parts and rearrangements of a connectome: subset, select, merge, relabel."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elegans_gnn.connectome._columns import (
    Columns,
    Graph,
    entry_columns,
    in_order,
    named_rows,
    neuron_columns,
    summed,
    take,
)
from elegans_gnn.connectome._values import GAP, MERGED, ROLES, plain_name
from elegans_gnn.errors import invalid, unknown_name

Neurons = str | Iterable[str] | Iterable[int] | NDArray[Any]
SELECTORS = ("all", "sources", "sinks")
_COMPONENTS = ("weak", "strong")


def select_neurons(connectome: Columns, neurons: Neurons, argument: str) -> NDArray[np.int64]:
    """Indices of the neurons that an argument such as ``inputs=`` selects.

    Args:
        connectome: the graph.
        neurons: a role (``"sensory"``), ``"all"``, ``"sources"`` (no edge from another neuron), ``"sinks"`` (no edge to
            another), a name (``"DD6"``, or ``"DD06"`` where no neuron has that very name), several names as a list or
            separated by commas (``"AVAL,AVAR"``), indices, or a mask [N]. The first of these that fits is meant.
        argument: the name of the argument in error messages.

    Returns:
        The indices: of names and indices in the order given, otherwise ascending.

    Raises:
        ValueError: no neuron, a neuron twice, an unknown name, or an index out of range.
    """
    if isinstance(neurons, str):
        index = _rows_of_text(connectome, neurons, argument)
    else:
        listed = isinstance(neurons, Iterable) and not hasattr(neurons, "__array__")
        given = np.asarray(list(neurons) if listed else neurons)
        if given.ndim != 1:
            remedy = "pass several neurons as one list"
            raise invalid(argument, "a role, a name, names, indices or a mask", f"{neurons!r:.80}", remedy)
        if given.dtype.kind == "U":
            index = named_rows(connectome, given.tolist(), argument)
        else:
            index = _rows(connectome, given, argument, "names, indices or a mask", "pass one of these")
    if not len(index):
        shown = f"{neurons!r}: none" if isinstance(neurons, str | list | tuple) else "none"
        present = ", ".join(_present_roles(connectome)) or "none"
        ways = f"{argument}='A,B' names neurons, a list of indices or a mask works too, and so do"
        remedy = f"the roles present are {present}; {ways} {', '.join(map(repr, SELECTORS))}"
        raise invalid(argument, "at least one neuron", shown, remedy)
    unique, times = np.unique(index, return_counts=True)
    if len(unique) != len(index):
        twice = connectome.names[unique[times > 1][0]]
        raise invalid(argument, "each neuron once", f"{twice} {times.max()} times", "drop the repetition")
    return index


def _rows_of_text(connectome: Columns, text: str, argument: str) -> NDArray[np.int64]:
    if text in ROLES:
        return connectome.role_index(text)
    if text in SELECTORS:
        between = connectome.pre != connectome.post
        ends = {"sources": connectome.post[between], "sinks": connectome.pre[between]}
        return np.setdiff1d(np.arange(connectome.num_neurons), ends.get(text, []))
    names = set(connectome.names.tolist())
    if text in names or plain_name(text) in names:
        return named_rows(connectome, text, argument)
    if "," in text:
        parts = [part.strip() for part in text.split(",")]
        for part in parts:
            if part not in names and plain_name(part) not in names:
                near = difflib.get_close_matches(part, names, n=1)
                remedy = (
                    f"did you mean {near[0]!r}?" if near else f"see the names of {connectome.name}, or choose a role"
                )
                expected = f"names of neurons, one role, or one of {', '.join(SELECTORS)}"
                raise invalid(argument, expected, repr(part), remedy)
        return named_rows(connectome, parts, argument)
    raise unknown_name(argument, text, (*_present_roles(connectome), *SELECTORS, "the name of a neuron"))


def _present_roles(connectome: Columns) -> list[str]:
    return [role for role in ROLES if (connectome.roles == role).any()]


def _rows(connectome: Columns, neurons: NDArray[Any], argument: str, expected: str, remedy: str) -> NDArray[np.int64]:
    """Indices from indices or a mask."""
    size = connectome.num_neurons
    if not neurons.size and neurons.dtype != bool:
        return np.empty(0, dtype=np.int64)
    if neurons.dtype.kind not in "biu":
        raise invalid(argument, expected, f"dtype {neurons.dtype}", remedy)
    if neurons.dtype == bool:
        if neurons.shape != (size,):
            raise invalid(argument, f"a mask of shape [{size}]", list(neurons.shape), "give one value per neuron")
        return np.flatnonzero(neurons)
    if neurons.min() < 0 or neurons.max() >= size:
        outside = neurons[(neurons < 0) | (neurons >= size)].tolist()
        raise invalid(argument, f"indices in 0..{size - 1}", outside[:5], "use connectome.index(names)")
    return neurons.reshape(-1).astype(np.int64)


def subset(graph: Graph, neurons: ArrayLike) -> Graph:
    """The induced graph on some neurons (indices or a mask [N]); neurons and visit ranks keep their order."""
    remedy = "use connectome.index(names) or select(names=...)"
    keep = np.zeros(graph.num_neurons, dtype=bool)
    keep[_rows(graph, np.asarray(neurons), "neurons", "indices or a mask", remedy)] = True
    new_index = np.cumsum(keep) - 1
    entries = take(entry_columns(graph), keep[graph.pre] & keep[graph.post])
    entries |= {"pre": new_index[entries["pre"]], "post": new_index[entries["post"]]}
    # A rank among the kept ones: argsort of argsort closes the gaps and keeps the order.
    rank = np.argsort(np.argsort(graph.visit_rank[keep], kind="stable"), kind="stable")
    return replace(graph, **take(neuron_columns(graph), keep) | {"visit_rank": rank} | entries)


def select(
    graph: Graph,
    *,
    roles: str | Iterable[str] | None = None,
    kinds: str | Iterable[str] | None = None,
    names: Iterable[str] | None = None,
    component: str | None = None,
) -> Graph:
    """The part of the graph that meets all given conditions.

    Args:
        graph: the graph.
        roles: keep the neurons of these roles.
        kinds: keep the entries of these kinds (and all neurons).
        names: keep these neurons.
        component: after the other conditions, keep the largest ``"weak"`` or ``"strong"`` component.
    """
    keep = np.ones(graph.num_neurons, dtype=bool)
    if roles is not None:
        keep &= np.isin(graph.roles, _known("roles", roles, ROLES))
    if names is not None:
        keep &= np.isin(np.arange(graph.num_neurons), graph.index(names))
    part = graph if keep.all() else subset(graph, keep)
    if kinds is not None:
        entries = np.isin(part.kinds, _known("kinds", kinds, graph.kind_names))
        part = replace(part, **take(entry_columns(part), entries))
    return part if component is None else _largest_component(part, component)


def _largest_component(graph: Graph, connection: str) -> Graph:
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if connection not in _COMPONENTS:
        raise unknown_name("component", connection, _COMPONENTS)
    if graph.num_neurons == 0:
        return graph
    shape = (graph.num_neurons, graph.num_neurons)
    matrix = coo_array((np.ones(graph.num_edges), (graph.pre, graph.post)), shape=shape)
    _, label = connected_components(matrix, directed=True, connection=connection)
    return subset(graph, label == np.bincount(label).argmax())


def merged(graph: Graph) -> Graph:
    """One entry per ordered pair of neurons: counts and weights of all kinds added up, kind ``merged``."""
    total = summed(entry_columns(graph) | {"kinds": np.zeros(graph.num_edges, dtype=np.int64)})  # one kind for all
    return replace(graph, **total | {"kinds": np.full(len(total["pre"]), MERGED)})


def reverse(graph: Graph) -> Graph:
    """Every entry turned round, from its target to its source; gap junctions, given in both directions, stay."""
    return replace(graph, **in_order(entry_columns(graph) | {"pre": graph.post, "post": graph.pre}))


def relabel(graph: Graph, order: ArrayLike) -> Graph:
    """The same graph with its neuron axis permuted: neuron i of the result is neuron ``order[i]`` of this one.

    Each neuron keeps its visit rank, so the visiting order does not change.
    """
    size, order = graph.num_neurons, np.asarray(order)
    if not np.array_equal(np.sort(order), np.arange(size)):
        remedy = "list each neuron's present index once"
        raise invalid("order", f"a permutation of 0..{size - 1}", order.tolist(), remedy)
    new_index = np.empty(size, dtype=np.int64)
    new_index[order] = np.arange(size)
    entries = entry_columns(graph) | {"pre": new_index[graph.pre], "post": new_index[graph.post]}
    return replace(graph, **take(neuron_columns(graph), order) | in_order(entries))


def check_simple(graph: Columns, *, parallel: bool, directed: bool) -> None:
    """Refuse what a graph type cannot hold: several kinds between two neurons, or a direction."""
    if not directed and not (graph.kinds == GAP).all():
        got = ", ".join(kind for kind in dict.fromkeys(graph.kinds.tolist()) if kind != GAP)
        remedy = "select(kinds='gap'), or use a directed graph"
        raise invalid("an undirected graph", "made of gap junctions", got, remedy)
    same_pair = (np.diff(graph.pre) == 0) & (np.diff(graph.post) == 0)
    if not parallel and same_pair.any():
        got = f"{int(same_pair.sum())} with several kinds"
        remedy = "use a multigraph, connectome.merged() or connectome.select(kinds=...)"
        raise invalid("ordered pairs", "of one kind each in a simple graph", got, remedy)


def _known(argument: str, wanted: str | Iterable[str], known: Iterable[str]) -> list[str]:
    chosen = [wanted] if isinstance(wanted, str) else list(wanted)
    for item in chosen:
        if item not in known:
            raise unknown_name(argument, item, known)
    return chosen
