"""What a data set is here: three parts of images and labels, each read when it is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

# As in the published code of ElegansNet: what counts as ink, in the input and in the target.
INK_THRESHOLD = 0.3
DIGITS = tuple("0123456789")


class Images(NamedTuple):
    """Pixels in 0..1, [M, C, H, W], and labels [M]."""

    pixels: Tensor
    labels: Tensor


@dataclass(frozen=True)
class ImageSource:
    """Three disjoint parts of a data set, each read when it is asked for.

    Whoever trains asks for `train` and `validation`; `test` is for the final evaluation alone. `classes` names what
    the labels 0, 1, 2, ... stand for.
    """

    name: str
    train: Callable[[], Images]
    validation: Callable[[], Images]
    test: Callable[[], Images]
    classes: tuple[str, ...] = DIGITS


def ink(pixels: Tensor) -> Tensor:
    """1.0 where a pixel is ink (at least 0.3), else 0.0."""
    return (pixels >= INK_THRESHOLD).to(torch.float32)
