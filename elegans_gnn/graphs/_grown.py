"""Random graphs that use only the numbers of neurons and links: Erdos-Renyi, rings, growth, role blocks."""

from __future__ import annotations

import numpy as np

from elegans_gnn.graphs._layers import IntArray, Layer, Wiring
from elegans_gnn.graphs._stream import Stream

Ends = tuple[IntArray, IntArray]


def erdos_renyi(layer: Layer, stream: Stream) -> Wiring:
    """G(N, M): every set of M links is equally likely."""
    size, links = layer.size, layer.num_links
    if layer.directed:
        ends = ordered_pair(stream.choose(size * (size - 1), links), size)
    else:
        ends = ring_pair(stream.choose(size * (size - 1) // 2, links), size)
    return Wiring(*ends, stream.permutation(links))


def role_block(layer: Layer, stream: Stream, roles: IntArray) -> Wiring:
    """A block model with exact numbers: each (role -> role) keeps its links and their counts, on uniform places."""
    from_role, to_role = roles[layer.tail], roles[layer.head]
    if not layer.directed:
        from_role, to_role = np.minimum(from_role, to_role), np.maximum(from_role, to_role)
    blocks = [np.empty((3, 0), np.int64)]
    for source, target in np.unique(np.stack([from_role, to_role], axis=1), axis=0):
        links = np.flatnonzero((from_role == source) & (to_role == target))
        sources, targets = np.flatnonzero(roles == source), np.flatnonzero(roles == target)
        width, height = len(sources), len(targets)
        if source != target:
            place = stream.choose(width * height, len(links))
            tail, head = place // height, place % height
        elif layer.directed:
            tail, head = ordered_pair(stream.choose(width * (width - 1), len(links)), width)
        else:
            tail, head = ring_pair(stream.choose(width * (width - 1) // 2, len(links)), width)
        blocks.append(np.stack([sources[tail], targets[head], links[stream.permutation(len(links))]]))
    return Wiring(*np.concatenate(blocks, axis=1))


def lattice(layer: Layer, stream: Stream, place: IntArray) -> Wiring:
    """A ring lattice: links join the nearest neighbours on a ring, shell by shell."""
    return _oriented(layer, stream, place, ring_lattice(layer.size, _connected_pairs(layer)))


def watts_strogatz(layer: Layer, stream: Stream, place: IntArray, *, p: float) -> Wiring:
    """A ring lattice in which each pair is rewired at one end with probability p."""
    start, end = ring_lattice(layer.size, _connected_pairs(layer))
    neighbours: list[set[int]] = [{node} for node in range(layer.size)]
    for one, other in zip(start.tolist(), end.tolist(), strict=True):
        neighbours[one].add(other)
        neighbours[other].add(one)
    for link in np.flatnonzero(stream.uniform(len(start)) < p).tolist():
        keep, old = int(start[link]), int(end[link])
        free = layer.size - len(neighbours[keep])
        if free == 0:
            continue
        new = nth_absent(neighbours[keep], stream.integer(free))
        for one, other in ((keep, old), (old, keep)):
            neighbours[one].discard(other)
        for one, other in ((keep, new), (new, keep)):
            neighbours[one].add(other)
        end[link] = new
    return _oriented(layer, stream, place, (start, end))


def barabasi_albert(layer: Layer, stream: Stream, place: IntArray) -> Wiring:
    """Growth with preferential attachment; each new neuron brings as equal a number of links as the total allows."""
    size = layer.size
    quota = attachment_quota(size, _connected_pairs(layer), stream)
    degree = np.zeros(size, dtype=np.int64)
    start, end = [], []
    for newcomer in np.flatnonzero(quota).tolist():
        count = int(quota[newcomer])
        chosen = list(range(newcomer)) if count == newcomer else _draw_by_degree(degree[:newcomer], count, stream)
        start += [newcomer] * len(chosen)
        end += chosen
        degree[chosen] += 1
        degree[newcomer] += len(chosen)
    return _oriented(layer, stream, place, (np.array(start, dtype=np.int64), np.array(end, dtype=np.int64)))


def attachment_quota(size: int, pairs: int, stream: Stream) -> IntArray:
    """[N] the number of earlier neurons that each new one links to: min(t, c) for the t-th, one more for a random few.

    c is the largest number for which the total stays within `pairs`; any total up to the complete graph is met exactly.
    """
    arrival = np.arange(size)
    even = 0
    while even + 1 < size and np.minimum(arrival, even + 1).sum() <= pairs:
        even += 1
    quota = np.minimum(arrival, even)
    later = np.flatnonzero(arrival > even)
    quota[later[stream.choose(len(later), pairs - int(quota.sum()))]] += 1
    return quota


def _draw_by_degree(degree: IntArray, count: int, stream: Stream) -> list[int]:
    weight = degree.copy() if degree.any() else np.ones_like(degree)
    chosen: list[int] = []
    for _ in range(count):
        ladder = np.cumsum(weight)
        chosen.append(int(np.searchsorted(ladder, stream.integer(int(ladder[-1])), side="right")))
        weight[chosen[-1]] = 0
    return chosen


def ring_lattice(size: int, pairs: int) -> Ends:
    """Whole shells of a ring, nearest first; the links of the last shell are spread as evenly as possible."""
    full = pairs // size * size if size else 0
    rest = pairs - full
    shell = min(size, size * (size - 1) // 2 - full)
    spread = full + np.arange(rest, dtype=np.int64) * shell // max(rest, 1)
    return ring_pair(np.concatenate([np.arange(full, dtype=np.int64), spread]), size)


def ring_pair(index: IntArray, size: int) -> Ends:
    """Unordered pairs numbered along a ring: 0..N-1 are the neighbours, the next N those two apart, and so on.

    The numbers 0 .. N (N - 1) / 2 - 1 name each pair once, for odd and even N, without a square root.
    """
    start = index % max(size, 1)
    return start, (start + index // max(size, 1) + 1) % max(size, 1)


def ordered_pair(index: IntArray, size: int) -> Ends:
    """Ordered pairs of different neurons numbered 0 .. N (N - 1) - 1."""
    start, step = index // max(size - 1, 1), index % max(size - 1, 1)
    return start, step + (step >= start)


def nth_absent(present: set[int], rank: int) -> int:
    """The number of the given rank (0 the smallest) among the non-negative integers that are not present."""
    for taken in sorted(present):
        if taken > rank:
            break
        rank += 1
    return rank


def _connected_pairs(layer: Layer) -> int:
    return len(np.unique(np.minimum(*layer.places)))


def _oriented(layer: Layer, stream: Stream, place: IntArray, pairs: Ends) -> Wiring:
    # As many pairs become mutual as in the model graph; a fair coin gives each other pair its direction.
    start, end = place[pairs[0]], place[pairs[1]]
    if layer.directed:
        mutual = stream.choose(len(start), layer.num_links - len(start))
        turned = stream.coins(len(start))
        tail, head = np.where(turned, end, start), np.where(turned, start, end)
        start, end = np.concatenate([tail, head[mutual]]), np.concatenate([head, tail[mutual]])
    return Wiring(start, end, stream.permutation(len(start)))
