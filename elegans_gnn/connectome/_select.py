"""Parts and rearrangements of a connectome: subset, select, merge, relabel."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elegans_gnn.connectome._validate import GAP, ROLES
from elegans_gnn.errors import invalid, unknown_name

if TYPE_CHECKING:
    from elegans_gnn.connectome._core import Connectome

MERGED = "merged"
NEURON_COLUMNS = ("names", "roles", "classes", "sides", "transmitters", "sexes")
_COMPONENTS = ("weak", "strong")


def subset(graph: Connectome, neurons: NDArray[Any]) -> Connectome:
    keep = np.zeros(graph.num_neurons, dtype=bool)
    if neurons.size and neurons.dtype.kind not in "biu":
        got = f"dtype {neurons.dtype}"
        raise invalid("neurons", "indices or a mask", got, "use connectome.index(names) or select(names=...)")
    if neurons.dtype == bool and neurons.shape != keep.shape:
        raise invalid(
            "neurons", f"a mask of shape {list(keep.shape)}", list(neurons.shape), "give one value per neuron"
        )
    if neurons.dtype != bool and neurons.size and not (neurons.min() >= 0 and neurons.max() < graph.num_neurons):
        raise invalid(
            "neurons", f"indices in 0..{graph.num_neurons - 1}", neurons.tolist(), "use connectome.index(names)"
        )
    keep[neurons if neurons.size else np.empty(0, dtype=np.int64)] = True
    new_index = np.cumsum(keep) - 1
    entries = keep[graph.pre] & keep[graph.post]
    # A rank among the kept ones: argsort of argsort closes the gaps and keeps the order.
    rank = np.argsort(np.argsort(graph.visit_rank[keep], kind="stable"), kind="stable")
    return replace(
        graph,
        pre=new_index[graph.pre[entries]],
        post=new_index[graph.post[entries]],
        visit_rank=rank,
        **{column: getattr(graph, column)[keep] for column in NEURON_COLUMNS},
        **_entry_columns(graph, entries),
    )


def select(
    graph: Connectome,
    *,
    roles: str | Iterable[str] | None,
    kinds: str | Iterable[str] | None,
    names: Iterable[str] | None,
    component: str | None,
) -> Connectome:
    keep = np.ones(graph.num_neurons, dtype=bool)
    if roles is not None:
        keep &= np.isin(graph.roles, _known("roles", roles, ROLES))
    if names is not None:
        keep &= np.isin(np.arange(graph.num_neurons), graph.index(names))
    part = graph if keep.all() else subset(graph, keep)
    if kinds is not None:
        entries = np.isin(part.kinds, _known("kinds", kinds, graph.kind_names))
        part = replace(part, pre=part.pre[entries], post=part.post[entries], **_entry_columns(part, entries))
    return part if component is None else _largest_component(part, component)


def _largest_component(graph: Connectome, connection: str) -> Connectome:
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


def merged(graph: Connectome) -> Connectome:
    size = graph.num_neurons
    pair, group = np.unique(graph.pre * size + graph.post, return_inverse=True)
    counts = np.zeros(len(pair), dtype=np.int64)
    np.add.at(counts, group, graph.counts)
    weights = None
    if graph.weights is not None:
        weights = np.zeros(len(pair))
        np.add.at(weights, group, graph.weights)
    kinds = np.full(len(pair), MERGED)
    return replace(graph, pre=pair // size, post=pair % size, kinds=kinds, counts=counts, weights=weights)


def relabel(graph: Connectome, order: NDArray[Any]) -> Connectome:
    size = graph.num_neurons
    if not np.array_equal(np.sort(order), np.arange(size)):
        raise invalid(
            "order", f"a permutation of 0..{size - 1}", order.tolist(), "list each neuron's present index once"
        )
    new_index = np.empty(size, dtype=np.int64)
    new_index[order] = np.arange(size)
    pre, post = new_index[graph.pre], new_index[graph.post]
    entries = np.lexsort((graph.kinds, post, pre))
    return replace(
        graph,
        pre=pre[entries],
        post=post[entries],
        visit_rank=graph.visit_rank[order],
        **{column: getattr(graph, column)[order] for column in NEURON_COLUMNS},
        **_entry_columns(graph, entries),
    )


def _entry_columns(graph: Connectome, entries: NDArray[Any]) -> dict[str, Any]:
    weights = None if graph.weights is None else graph.weights[entries]
    return {"kinds": graph.kinds[entries], "counts": graph.counts[entries], "weights": weights}


def _known(argument: str, wanted: str | Iterable[str], known: Iterable[str]) -> list[str]:
    chosen = [wanted] if isinstance(wanted, str) else list(wanted)
    for item in chosen:
        if item not in known:
            raise unknown_name(argument, item, known)
    return chosen


def check_simple(graph: Connectome, *, parallel: bool, directed: bool) -> None:
    """Refuse what a graph type cannot hold: several kinds between two neurons, or a direction."""
    if not directed and not np.array_equal(graph.kinds, np.full(graph.num_edges, GAP)):
        got = ", ".join(kind for kind in dict.fromkeys(graph.kinds.tolist()) if kind != GAP)
        raise invalid(
            "an undirected graph", "made of gap junctions", got, "select(kinds='gap'), or use a directed graph"
        )
    pair = graph.pre * graph.num_neurons + graph.post
    if not parallel and len(np.unique(pair)) < len(pair):
        both = int((np.diff(pair) == 0).sum())
        got = f"{both} with several kinds"
        remedy = "use a multigraph, connectome.merged() or connectome.select(kinds=...)"
        raise invalid("ordered pairs", "of one kind each in a simple graph", got, remedy)
