"""A connectome taken apart by kind of synapse, and put together again with other ends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from elegans_gnn.connectome import Connectome
from elegans_gnn.graphs._stream import Stream

GAP = "gap"
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class Layer:
    """The synapses of one kind: its links (a directed edge, or an undirected gap pair) and its self-loops.

    Args:
        kind: the kind of synapse.
        size: N, the number of neurons.
        tail, head: [M] the ends of each link; of a gap pair the smaller index is the tail.
        entry: [M] the row of the connectome that holds the link's count and weight.
        loops: [L] the neurons with a self-loop.
        loop_entry: [L] their rows.
    """

    kind: str
    size: int
    tail: IntArray
    head: IntArray
    entry: IntArray
    loops: IntArray
    loop_entry: IntArray

    @property
    def directed(self) -> bool:
        return self.kind != GAP

    @property
    def num_links(self) -> int:
        return len(self.tail)


@dataclass(frozen=True)
class Wiring:
    """New ends for the links of a layer.

    Args:
        tail, head: [M] the new ends.
        origin: [M] which link of the old layer lends its count and weight.
        frozen: whether the model found that no other wiring of these links can be reached.
    """

    tail: IntArray
    head: IntArray
    origin: IntArray
    frozen: bool = False


def take_apart(graph: Connectome) -> tuple[Layer, ...]:
    """The layers of a connectome, by name of the kind."""
    layers = []
    for kind in graph.kind_names:
        loops = np.flatnonzero((graph.kinds == kind) & (graph.pre == graph.post))
        one_way = graph.pre < graph.post if kind == GAP else graph.pre != graph.post
        links = np.flatnonzero((graph.kinds == kind) & one_way)
        ends = graph.pre[links], graph.post[links]
        layers.append(Layer(kind, graph.num_neurons, *ends, links, graph.pre[loops], loops))
    return tuple(layers)


def place_loops(layer: Layer, groups: IntArray, stream: Stream) -> Layer:
    """Move each self-loop to a random neuron of its neuron's group [N]; a group keeps its number of them."""
    loops, entry = [], []
    for group in np.unique(groups[layer.loops]):
        members = np.flatnonzero(groups == group)
        present = np.flatnonzero(groups[layer.loops] == group)
        loops.append(members[stream.choose(len(members), len(present))])
        entry.append(layer.loop_entry[present[stream.permutation(len(present))]])
    if not loops:
        return layer
    return replace(layer, loops=np.concatenate(loops), loop_entry=np.concatenate(entry))


def put_together(like: Connectome, layers: Iterable[Layer], *, name: str, source: str) -> Connectome:
    """The connectome with the neurons of `like` and the given layers; counts and weights come from rows of `like`."""
    pre, post, entry, kinds = [], [], [], []
    for layer in layers:
        ends = [(layer.tail, layer.head, layer.entry), (layer.loops, layer.loops, layer.loop_entry)]
        if not layer.directed:
            ends.append((layer.head, layer.tail, layer.entry))
        for tail, head, rows in ends:
            pre.append(tail)
            post.append(head)
            entry.append(rows)
            kinds.append(np.full(len(tail), layer.kind, dtype=like.kinds.dtype))
    if not pre:
        return replace(like, name=name, source=source)
    rows = np.concatenate(entry)
    columns = np.concatenate(pre), np.concatenate(post), np.concatenate(kinds)
    order = np.lexsort((columns[2], columns[1], columns[0]))
    return replace(
        like,
        name=name,
        source=source,
        pre=columns[0][order],
        post=columns[1][order],
        kinds=columns[2][order],
        counts=like.counts[rows[order]],
        weights=None if like.weights is None else like.weights[rows[order]],
    )
