"""A connectome as one layer per kind of synapse, and a connectome made from layers with other ends."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields, replace

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

    @property
    def rows(self) -> IntArray:
        """The rows of the connectome that hold the counts of links and self-loops, a gap pair once."""
        return np.concatenate([self.entry, self.loop_entry])

    @property
    def places(self) -> tuple[IntArray, IntArray]:
        """[M] a number for the ordered pair (tail, head) of each link, and one for its opposite."""
        return self.tail * self.size + self.head, self.head * self.size + self.tail


@dataclass(frozen=True)
class Wiring:
    """New ends for the links of a layer.

    Args:
        tail, head: [M] the new ends.
        origin: [M] the link of the old layer whose count and weight each link takes.
        frozen: whether no other wiring of these links can be reached.
    """

    tail: IntArray
    head: IntArray
    origin: IntArray
    frozen: bool = False


def layers_of(graph: Connectome) -> tuple[Layer, ...]:
    """The layers of a connectome, by name of the kind."""
    layers = []
    for kind in graph.kind_names:
        loops = np.flatnonzero((graph.kinds == kind) & (graph.pre == graph.post))
        one_way = graph.pre < graph.post if kind == GAP else graph.pre != graph.post
        links = np.flatnonzero((graph.kinds == kind) & one_way)
        ends = graph.pre[links], graph.post[links]
        layers.append(Layer(kind, graph.num_neurons, *ends, links, graph.pre[loops], loops))
    return tuple(layers)


def move_loops(layer: Layer, groups: IntArray, stream: Stream) -> Layer:
    """Move each self-loop to a random neuron of its neuron's group [N]; a group keeps its number of them."""
    moved = [np.empty((2, 0), np.int64)]
    for group in np.unique(groups[layer.loops]):
        members = np.flatnonzero(groups == group)
        present = np.flatnonzero(groups[layer.loops] == group)
        loops = members[stream.choose(len(members), len(present))]
        moved.append(np.stack([loops, layer.loop_entry[present[stream.permutation(len(present))]]]))
    loops, entry = np.concatenate(moved, axis=1)
    return replace(layer, loops=loops, loop_entry=entry)


def from_layers(like: Connectome, layers: Iterable[Layer], *, name: str, source: str) -> Connectome:
    """The connectome with the neurons of `like` and the given layers; counts and weights come from rows of `like`."""
    parts, kinds = [], []
    for layer in layers:
        ends = [(layer.tail, layer.head, layer.entry), (layer.loops, layer.loops, layer.loop_entry)]
        if not layer.directed:
            ends.append((layer.head, layer.tail, layer.entry))
        parts.append(np.concatenate([np.stack(part) for part in ends], axis=1))
        kinds.append(np.full(parts[-1].shape[1], layer.kind, dtype=like.kinds.dtype))
    if not parts:
        return replace(like, name=name, source=source)
    pre, post, rows = np.concatenate(parts, axis=1)
    columns = {item.name: getattr(like, item.name) for item in fields(like)}
    columns |= {"name": name, "source": source, "counts": like.counts[rows]}
    columns |= {"pre": pre, "post": post, "kinds": np.concatenate(kinds)}
    columns["weights"] = None if like.weights is None else like.weights[rows]
    return Connectome.from_edges(**columns)
