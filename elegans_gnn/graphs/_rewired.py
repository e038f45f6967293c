"""Null models that start from the connectome's own links or degrees: rewiring, configuration, shuffles."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np

from elegans_gnn.errors import invalid
from elegans_gnn.graphs._grown import nth_absent
from elegans_gnn.graphs._layers import IntArray, Layer, Wiring
from elegans_gnn.graphs._stream import Stream
from elegans_gnn.graphs._swaps import Links, swap_exists, swap_round, triangle_exists, triangle_round

_REPAIRS_PER_LINK = 20
_TRIANGLES_EVERY = 4


def strength_shuffle(layer: Layer, stream: Stream) -> Wiring:
    """The topology stays; the counts (and weights) are shuffled among the links."""
    return Wiring(layer.tail, layer.head, stream.permutation(layer.num_links))


def degree_preserving(layer: Layer, stream: Stream, *, swaps: float) -> Wiring:
    """Swaps of the connectome's own links; each neuron keeps its in- and out-degree."""
    return _swapped(layer, layer.tail, layer.head, stream, swaps)


def role_degree(layer: Layer, stream: Stream, roles: IntArray, *, swaps: float) -> Wiring:
    """As `degree_preserving`, but only swaps that keep the number of links from each role to each role."""
    return _swapped(layer, layer.tail, layer.head, stream, swaps, roles)


def configuration(layer: Layer, stream: Stream, *, swaps: float) -> Wiring:
    """Stubs joined at random, multiple links and loops repaired by swaps, then randomized by swaps.

    If the repair fails (dense or very uneven degrees), the swaps start from the connectome's own links.
    """
    if layer.directed:
        tail, head = layer.tail.copy(), layer.head[stream.permutation(layer.num_links)]
    else:
        stubs = np.concatenate([layer.tail, layer.head])[stream.permutation(2 * layer.num_links)]
        tail, head = stubs[: layer.num_links].copy(), stubs[layer.num_links :].copy()
    if not repair(_links(layer, tail, head), stream):
        tail, head = layer.tail, layer.head
    return _swapped(layer, tail, head, stream, swaps)


def reciprocity_preserving(layer: Layer, stream: Stream, *, swaps: float) -> Wiring:
    """Separate swaps of one-way edges and of mutual pairs; every neuron keeps its number of each.

    A swap may only use pairs of neurons that are not linked at all, so it neither makes nor breaks a mutual pair.
    """
    if not layer.directed:
        return degree_preserving(layer, stream, swaps=swaps)
    size, (forward, backward) = layer.size, layer.places
    order = np.argsort(forward, kind="stable")
    partner = order[np.minimum(np.searchsorted(forward[order], backward), max(len(order) - 1, 0))]
    mutual = forward[partner] == backward
    one_way, up = np.flatnonzero(~mutual), np.flatnonzero(mutual & (layer.tail < layer.head))
    label, alike = np.arange(layer.num_links), np.zeros(size, np.int64)
    single = Links(size, layer.tail[one_way], layer.head[one_way], label[one_way], label[one_way], False, False, alike)
    double = Links(size, layer.tail[up], layer.head[up], up, partner[up], False, True, alike)
    moves = 0
    pairs = len(one_way) + len(up), size * (size - 1) // 2
    for turn in range(_rounds(swaps, *pairs)):
        moves += swap_round(single, stream, double.codes())
        moves += swap_round(double, stream, single.codes())
        if turn % _TRIANGLES_EVERY == 0:
            moves += triangle_round(single, stream)
    # The two edges of a mutual pair stay with their tails, whatever these now link to.
    head = np.empty_like(layer.head)
    head[single.tail_stub] = single.head
    head[double.tail_stub] = double.head
    head[double.head_stub] = double.tail
    frozen = moves == 0 and not (
        swap_exists(single, double.codes()) or triangle_exists(single) or swap_exists(double, single.codes())
    )
    return Wiring(layer.tail, head, label, frozen)


def rewired(layer: Layer, stream: Stream, *, p: float) -> Wiring:
    """Exactly round(p M) links are rewired: each gets a new head, at a random place that was and is empty.

    Raises:
        ValueError: fewer links than that have a free place.
    """
    wanted = math.floor(p * layer.num_links + 0.5)
    tail, head = layer.tail.copy(), layer.head.copy()
    taken: list[set[int]] = [{node} for node in range(layer.size)]
    for one, other in zip(tail.tolist(), head.tolist(), strict=True):
        taken[one].add(other)
        if not layer.directed:
            taken[other].add(one)
    moved = 0
    turned = stream.coins(layer.num_links) & (not layer.directed)
    for link in stream.permutation(layer.num_links).tolist():
        if moved == wanted:
            break
        if turned[link]:
            tail[link], head[link] = head[link], tail[link]
        keep = int(tail[link])
        free = layer.size - len(taken[keep])
        if free == 0:
            continue
        head[link] = nth_absent(taken[keep], stream.integer(free))
        taken[keep].add(int(head[link]))
        if not layer.directed:
            taken[int(head[link])].add(keep)
        moved += 1
    if moved < wanted:
        got = f"{p}: {wanted} of {layer.num_links} {layer.kind} links are to move and {moved} found a free place"
        raise invalid("p", "a share of links that can move to new places", got, "lower p or use another model")
    return Wiring(tail, head, np.arange(layer.num_links))


def repair(links: Links, stream: Stream) -> bool:
    """Remove loops and repeated links by swaps, in place; False if the attempts run out."""
    tail, head, codes = links.tail.tolist(), links.head.tolist(), links.codes().tolist()
    size, count = links.size, len(codes)
    copies = Counter(codes)
    bad = [link for link in range(count) if tail[link] == head[link] or copies[codes[link]] > 1]
    for _ in range(_REPAIRS_PER_LINK * count):
        while bad and tail[bad[-1]] != head[bad[-1]] and copies[codes[bad[-1]]] == 1:
            bad.pop()
        if not bad:
            break
        one, other = bad[-1], stream.integer(count)
        if links.undirected and stream.integer(2):
            tail[other], head[other] = head[other], tail[other]
        ends = (tail[one], head[other]), (tail[other], head[one])
        new = [(u if links.ordered or u < v else v) * size + (v if links.ordered or u < v else u) for u, v in ends]
        if any(u == v for u, v in ends) or new[0] == new[1] or copies[new[0]] or copies[new[1]]:
            continue
        for link, code in ((one, new[0]), (other, new[1])):
            copies[codes[link]] -= 1
            copies[code], codes[link] = 1, code
        head[one], head[other] = head[other], head[one]
    links.tail[:], links.head[:] = tail, head
    return not bad


def _swapped(
    layer: Layer, tail: IntArray, head: IntArray, stream: Stream, swaps: float, roles: IntArray | None = None
) -> Wiring:
    links = _links(layer, tail.copy(), head.copy(), roles)
    moves = 0
    places = layer.size * (layer.size - 1) // (1 if layer.directed else 2)
    for turn in range(_rounds(swaps, layer.num_links, places)):
        moves += swap_round(links, stream)
        if layer.directed and turn % _TRIANGLES_EVERY == 0:
            moves += triangle_round(links, stream)
    frozen = moves == 0 and not (swap_exists(links) or (layer.directed and triangle_exists(links)))
    return Wiring(links.tail, links.head, np.arange(layer.num_links), frozen)


def _links(layer: Layer, tail: IntArray, head: IntArray, roles: IntArray | None = None) -> Links:
    label, roles = np.arange(layer.num_links), np.zeros(layer.size, np.int64) if roles is None else roles
    return Links(layer.size, tail, head, label, label.copy(), layer.directed, not layer.directed, roles)


def _rounds(swaps: float, used: int, places: int) -> int:
    # A round pairs all links and tries half of the pairs: a quarter of a swap per link. In a dense graph most tries
    # meet a place in use, so they are multiplied by 1 / (share of free places)^2, ten times at most.
    if used == places:
        return 0
    free = 1 - used / places
    return math.ceil(4 * swaps * min(10.0, 1 / (free * free)))
