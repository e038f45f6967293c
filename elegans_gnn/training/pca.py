"""Principal component analysis as the autoencoder that every other one is held against."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from elegans_gnn._shapes import Float
from elegans_gnn.errors import require

# PCA predicts real numbers; as probabilities they must stay clear of 0 and 1, where the cross-entropy is infinite.
_CLEARANCE = 1e-3


def pca_reconstruction(ink: Float[Tensor, "image 1 height width"], components: int) -> Callable[[Tensor], Tensor]:
    """Principal component analysis as an autoencoder with a code of `components` floats.

    Args:
        ink: the training images.
        components: length of the code.

    Returns:
        A function from images to logits of ink: the reconstruction, clipped to [0.001, 0.999], taken as a probability.
    """
    pca = require("sklearn.decomposition").PCA(components, svd_solver="full")
    pca.fit(ink.flatten(1).numpy().astype(np.float64))

    def logits(images: Tensor) -> Tensor:
        flat = images.flatten(1).numpy().astype(np.float64)
        drawn = torch.from_numpy(pca.inverse_transform(pca.transform(flat))).to(torch.float32)
        return torch.logit(drawn.clamp(_CLEARANCE, 1 - _CLEARANCE)).reshape(images.shape)

    return logits
