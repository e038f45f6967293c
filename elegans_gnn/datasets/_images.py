"""What a data set is: three parts of images and labels, each read on demand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

# From this value on a pixel counts as ink, in the input and in the target; as in ElegansNet's published code.
INK_THRESHOLD = 0.3
DIGITS = tuple("0123456789")


class Images(NamedTuple):
    """Pixels in 0..1, [M, C, H, W], and labels [M]."""

    pixels: Tensor
    labels: Tensor


@dataclass(frozen=True)
class ImageSource:
    """Three disjoint parts of a data set, each read on demand.

    Training uses `train` and `validation`; `test` is for the final evaluation alone. `classes` holds the names of the
    labels 0, 1, 2, ...
    """

    name: str
    train: Callable[[], Images]
    validation: Callable[[], Images]
    test: Callable[[], Images]
    classes: tuple[str, ...] = DIGITS


def ink(pixels: Tensor) -> Tensor:
    """1.0 where a pixel is ink (at least 0.3), else 0.0."""
    return (pixels >= INK_THRESHOLD).to(torch.float32)
