"""How much of a reconstruction is left when every float of the code has eight bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from elegans_gnn._shapes import Float
from elegans_gnn.training.metrics import EVALUATION_BATCH

_LEVELS = 256


class EightBitCode:
    r"""Rounds each float of a code to one of 256 levels between the least and the largest it takes on known images.

    .. math:: \hat c_k = a_k + \frac{b_k - a_k}{255}
        \operatorname{round}\Big(255 \, \frac{\min(\max(c_k, a_k), b_k) - a_k}{b_k - a_k}\Big)

    Args:
        codes: codes of the training and validation images; a_k and b_k are the extremes of their column k.

    Shapes:
        codes: [M, code].
    """

    def __init__(self, codes: Float[Tensor, "image code"]) -> None:
        self.low, self.high = codes.amin(dim=0), codes.amax(dim=0)

    def __call__(self, code: Float[Tensor, "batch code"]) -> Float[Tensor, "batch code"]:
        """The codes as eight bits a float carry them."""
        step = (self.high - self.low) / (_LEVELS - 1)
        level = ((code.clamp(self.low, self.high) - self.low) / step).round()
        # A float that is the same for every image needs no bits.
        return self.low + torch.where(step > 0, level * step, torch.zeros_like(level))


@torch.no_grad()
def eight_bit_reconstruction(model: Any, known: Float[Tensor, "image 1 height width"]) -> Callable[[Tensor], Tensor]:
    """A function from images to logits: `model` with its code rounded to eight bits a float.

    Args:
        model: an autoencoder: anything with `encode` and `decode`.
        known: the images that set the range of each float: training and validation, never test.
    """
    encode, decode = model.encode, model.decode
    rounded = EightBitCode(torch.cat([encode(batch) for batch in known.split(EVALUATION_BATCH)]))
    return lambda images: decode(rounded(encode(images)))
