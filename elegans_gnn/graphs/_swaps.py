"""Markov chains on graphs with fixed degrees: rounds of many swaps at once that together are one symmetric step.

A round pairs all links at random. A fair coin decides for each pair (a -> b, c -> d) whether it proposes to exchange
heads: (a -> d, c -> b). A proposal is accepted if each of its two present and two proposed links occurs exactly once
among all present and all proposed links of the round, and none of them is a loop. The rule is symmetric: in the reverse
round the accepted pairs would be accepted and the refused ones refused. So a step and its reverse are equally likely,
and in the long run every graph that the chain can reach is equally likely. The coins make it possible that one swap
happens alone or none at all: without them two links would only alternate, and a square could not change.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elegans_gnn.graphs._layers import IntArray
from elegans_gnn.graphs._stream import Stream

_MOST_PAIRS = 10_000_000
# Counting in an array over all places beats sorting up to about this many places a code (8 times faster on the worm).
_DENSE = 64


@dataclass
class Links:
    """Links that a chain moves; the arrays change in place.

    Args:
        size: N, the number of neurons.
        tail, head: [M] the neurons at the ends.
        tail_stub, head_stub: [M] a label that stays with each end wherever it is linked to.
        ordered: whether (u, v) and (v, u) are different places, which may both be in use.
        undirected: whether either end may play the head.
        roles: [N] a number per neuron; the number of links from role to role stays (equal numbers: no restriction).
    """

    size: int
    tail: IntArray
    head: IntArray
    tail_stub: IntArray
    head_stub: IntArray
    ordered: bool
    undirected: bool
    roles: IntArray

    def code(self, tail: IntArray, head: IntArray) -> IntArray:
        """One number per place; two links must not have the same."""
        if self.ordered:
            return tail * self.size + head
        return np.minimum(tail, head) * self.size + np.maximum(tail, head)

    def codes(self) -> IntArray:
        """[M] the places in use."""
        return self.code(self.tail, self.head)

    def may_swap(self, tail_1: IntArray, head_1: IntArray, tail_2: IntArray, head_2: IntArray) -> NDArray[np.bool_]:
        """Whether an exchange of heads makes no loop and keeps the links from role to role.

        It keeps them exactly if both tails, or both heads, have the same role.
        """
        same_role = (self.roles[tail_1] == self.roles[tail_2]) | (self.roles[head_1] == self.roles[head_2])
        return (tail_1 != head_2) & (tail_2 != head_1) & same_role


def swap_round(links: Links, stream: Stream, blocked: IntArray | None = None) -> int:
    """One round of head swaps between random pairs of links; returns how many were accepted.

    Args:
        links: what to move.
        blocked: further places that are in use.
    """
    half = len(links.tail) // 2
    if half == 0:
        return 0
    order, active = stream.permutation(len(links.tail)), stream.coins(half)
    first, second = order[:half][active], order[half : 2 * half][active]
    if links.undirected:
        turned = second[stream.coins(len(second))]
        for one, other in ((links.tail, links.head), (links.tail_stub, links.head_stub)):
            one[turned], other[turned] = other[turned], one[turned]
    tail_1, tail_2, head_1, head_2 = links.tail[first], links.tail[second], links.head[first], links.head[second]
    present, new_1, new_2 = links.codes(), links.code(tail_1, head_2), links.code(tail_2, head_1)
    parts = [present, new_1, new_2] if blocked is None else [present, new_1, new_2, blocked]
    alone = _occurs_once(np.concatenate(parts), links.size**2)
    proposed = alone[len(present) : len(present) + 2 * len(first)].reshape(2, -1).all(axis=0)
    legal = links.may_swap(tail_1, head_1, tail_2, head_2) & alone[first] & alone[second] & proposed
    one, other = first[legal], second[legal]
    for column in (links.head, links.head_stub):
        column[one], column[other] = column[other], column[one]
    return len(one)


def _occurs_once(codes: IntArray, bound: int) -> NDArray[np.bool_]:
    if bound <= _DENSE * len(codes):
        return np.bincount(codes, minlength=bound)[codes] == 1
    _, which, times = np.unique(codes, return_inverse=True, return_counts=True)
    return (times == 1)[which]


def triangle_round(links: Links, stream: Stream) -> int:
    """Try to reverse directed triangles u -> v -> w -> u without a reverse edge; returns how many were.

    Swaps alone cannot do this, and with it they connect all simple digraphs of given degrees (Rao, Jana &
    Bandyopadhyay 1996). Each try takes a random edge u -> v and a random edge out of v. A triangle is met with
    probability (1/d_u + 1/d_v + 1/d_w) / M, which its reversal does not change (an edge keeps its tail): the step is
    symmetric. One try for every four links, each made or skipped by a fair coin, one after another. A triangle of three
    roles stays as it is: its reversal would change the links from role to role.
    """
    count, size = len(links.tail), links.size
    if count < 3:
        return 0
    tries = -(-count // 4)
    taken = stream.coins(tries)
    edges, picks = stream.below(count, tries)[taken].tolist(), stream.below(2**62, tries)[taken].tolist()
    by_tail = np.argsort(links.tail, kind="stable").tolist()
    degree = np.bincount(links.tail, minlength=size)
    start, degree = (np.cumsum(degree) - degree).tolist(), degree.tolist()
    tail, head, role = links.tail.tolist(), links.head.tolist(), links.roles.tolist()
    link_at = dict(zip((links.tail * size + links.head).tolist(), range(count), strict=True))
    moves = 0
    for edge, pick in zip(edges, picks, strict=True):
        u, v = tail[edge], head[edge]
        if degree[v] == 0:
            continue
        onward = by_tail[start[v] + pick % degree[v]]
        w = head[onward]
        closing = link_at.get(w * size + u)
        reverse = v * size + u, w * size + v, u * size + w
        if closing is None or any(place in link_at for place in reverse) or len({role[u], role[v], role[w]}) == 3:
            continue
        for link, old, new in ((edge, v, w), (onward, w, u), (closing, u, v)):
            del link_at[tail[link] * size + old]
            link_at[tail[link] * size + new] = link
            head[link] = new
        moves += 1
    links.head[:] = head
    return moves


def swap_exists(links: Links, blocked: IntArray | None = None) -> bool:
    """Whether any pair of links could swap heads; looks at ten million pairs at most, then returns False."""
    taken = np.unique(links.codes() if blocked is None else np.concatenate([links.codes(), blocked]))
    patience = max(1, _MOST_PAIRS // max(len(links.tail), 1))
    for one in range(min(len(links.tail) - 1, patience)):
        tails, heads = links.tail[one + 1 :], links.head[one + 1 :]
        for tail, head in ((tails, heads), (heads, tails)) if links.undirected else ((tails, heads),):
            first, second = links.code(links.tail[[one]], head), links.code(tail, links.head[[one]])
            fits = links.may_swap(links.tail[[one]], links.head[[one]], tail, head) & (first != second)
            if (fits & ~np.isin(first, taken) & ~np.isin(second, taken)).any():
                return True
    return False


def triangle_exists(links: Links) -> bool:
    """Whether any directed triangle can be reversed: one-way edges u -> v, v -> w, w -> u, at most two roles."""
    from scipy.sparse import coo_array

    forward = links.tail * links.size + links.head
    one_way = ~np.isin(links.head * links.size + links.tail, forward)
    ends = links.tail[one_way], links.head[one_way]
    edge = coo_array((np.ones(len(ends[0]), dtype=np.int64), ends), shape=(links.size, links.size)).tocsr()
    # Any two neurons of a triangle are linked: two of a role are the ends of one of its edges.
    within = coo_array(((links.roles[ends[0]] == links.roles[ends[1]]).astype(np.int64), ends), shape=edge.shape)
    return bool((edge @ edge).multiply(within.tocsr().T).sum() > 0)
