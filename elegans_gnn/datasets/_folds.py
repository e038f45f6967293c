"""scikit-learn's 1,797 handwritten digits of 8 x 8 pixels, in five folds."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
import torch
from torch import Tensor

from elegans_gnn.datasets._images import Images, ImageSource
from elegans_gnn.errors import invalid, require

FOLDS = 5
# One in eight of the images outside the test fold is for validation.
_VALIDATION = 8


def load_small_digits(fold: int = 0) -> ImageSource:
    """The 8 x 8 digits inside scikit-learn; no download.

    The images of each digit are shuffled with a fixed seed and divided into five folds, so that each fold holds a fifth
    of every digit. Fold `fold` is the test part. Of the other images, one in eight of each digit is for validation.

    Args:
        fold: 0 to 4.

    Raises:
        ValueError: no such fold.
        ImportError: scikit-learn is missing (extra ``train``).
    """
    if not 0 <= fold < FOLDS:
        raise invalid("fold", f"0 to {FOLDS - 1}", fold, "choose which of the five folds is the test part")

    def part(number: int) -> Callable[[], Images]:
        def read() -> Images:
            pixels, labels = _digits()
            chosen = torch.from_numpy(np.flatnonzero(_parts(labels.numpy(), fold) == number))
            return Images(pixels[chosen], labels[chosen])

        return read

    return ImageSource("digits", part(0), part(1), part(2))


@cache
def _digits() -> tuple[Tensor, Tensor]:
    """[1797, 1, 8, 8] grey values in 0..1 and [1797] labels."""
    data = require("sklearn.datasets").load_digits()
    pixels = torch.from_numpy(data.images.astype(np.float32))[:, None] / 16
    return pixels, torch.from_numpy(data.target.astype(np.int64))


def _parts(labels: np.ndarray, fold: int) -> np.ndarray:
    """For each image 0 (train), 1 (validation) or 2 (test)."""
    generator = np.random.Generator(np.random.PCG64(0))
    parts = np.zeros(len(labels), dtype=np.int64)
    for digit in np.unique(labels):
        members = generator.permutation(np.flatnonzero(labels == digit))
        # Starting each digit at another fold keeps the folds equal in size.
        place = np.arange(len(members)) + int(digit)
        parts[members[place % FOLDS == fold]] = 2
        rest = members[place % FOLDS != fold]
        parts[rest[::_VALIDATION]] = 1
    return parts
