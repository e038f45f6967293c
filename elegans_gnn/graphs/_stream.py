"""Random numbers that are the same on every machine and in every NumPy version, from raw PCG64 words alone.

NumPy guarantees the stream of a bit generator, but not that of `Generator`'s methods (NEP 19): `permutation` or
`choice` may change between versions. So every draw here uses `PCG64.random_raw` and integer arithmetic. The only floats
are multiples of 2^-53, which are exact.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_WORDS = 2**64
_BLOCK = 1024


class Stream:
    """An endless sequence of random 64-bit words, and exact draws from it.

    Args:
        seed: a non-negative integer.
        domain: what the sequence is for; sequences of different domains are independent.
    """

    def __init__(self, seed: int, *domain: str) -> None:
        self._bits = np.random.PCG64([seed, *(zlib.crc32(part.encode()) for part in domain)])
        self._words = self._single_words()

    def _single_words(self) -> Iterator[int]:
        while True:
            yield from self._bits.random_raw(_BLOCK).tolist()

    def below(self, bound: int, size: int) -> NDArray[np.int64]:
        """[size] independent integers, uniform on 0..bound-1: words past its last multiple are redrawn."""
        words = self._bits.random_raw(size)
        excess = _WORDS % bound
        if excess:
            limit = np.uint64(_WORDS - excess)
            while (late := words >= limit).any():
                words[late] = self._bits.random_raw(int(late.sum()))
        return (words % np.uint64(bound)).astype(np.int64)

    def integer(self, bound: int) -> int:
        """One integer, uniform on 0..bound-1: :meth:`below` for loops that draw one at a time."""
        limit = _WORDS - _WORDS % bound
        while (word := next(self._words)) >= limit:
            pass
        return word % bound

    def uniform(self, size: int) -> NDArray[np.float64]:
        """[size] floats, uniform on the multiples of 2^-53 in [0, 1)."""
        return (self._bits.random_raw(size) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def coins(self, size: int) -> NDArray[np.bool_]:
        """[size] fair coins."""
        return self._bits.random_raw(size) >= np.uint64(_WORDS // 2)

    def permutation(self, size: int) -> NDArray[np.int64]:
        """[size] a uniform permutation: the order of as many words (equal words, 1 in 2^64, keep their order)."""
        return np.argsort(self._bits.random_raw(size), kind="stable").astype(np.int64)

    def choose(self, population: int, count: int) -> NDArray[np.int64]:
        """[count] distinct integers below `population`, ascending: every subset of that size is equally likely."""
        if 2 * count <= population:
            return np.sort(self._distinct(population, count))
        kept = np.ones(population, dtype=bool)
        kept[self._distinct(population, population - count)] = False
        return np.flatnonzero(kept)

    def _distinct(self, population: int, count: int) -> NDArray[np.int64]:
        # At most half of the population is asked for, so each draw is new with probability >= 1/2.
        found = np.empty(0, dtype=np.int64)
        while len(found) < count:
            pool = np.concatenate([found, self.below(population, 2 * (count - len(found)))])
            _, first = np.unique(pool, return_index=True)
            found = pool[np.sort(first)][:count]
        return found
