"""One start for all graphs of a study: equal random numbers wherever models draw tensors of equal shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class SharedDraws(TorchDispatchMode):
    """While it is entered, the n-th draw of a shape is a function of (seed, operation, shape, n).

    So two models that differ in one tensor's shape, because their graphs differ, share all others: with one stream of
    random numbers every tensor drawn after the first difference would differ. Draws from generators stay.

    Args:
        seed: of all draws.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._seed = seed
        self._drawn = Counter[tuple[str, tuple[int, ...]]]()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Run an operation, seeded first if it draws."""
        named = dict(kwargs or {})
        given = (*args, *named.values())
        if torch.Tag.nondeterministic_seeded in func.tags and not any(isinstance(v, torch.Generator) for v in given):
            first = args[0] if args else ()
            shape = tuple(first.shape if isinstance(first, Tensor) else np.atleast_1d(first).tolist())
            place = (str(func), shape)
            words = (self._seed, self._drawn[place], *str(func).encode(), *map(int, shape))
            self._drawn[place] += 1
            torch.manual_seed(int(np.random.SeedSequence(words).generate_state(1)[0]))
        return func(*args, **named)
