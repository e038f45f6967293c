"""Convolutional building blocks of the models, and the checks and scales they share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elegans_gnn._shapes import Float
from elegans_gnn.errors import invalid

# Each neuron of an image model holds C maps of this height and width, as one vector of C * 16 features.
MAP_SIZE = 4
# Up to this image size the stem of ElegansClassifier has one grid less, and the baselines are smaller to match it.
SMALL_IMAGE = 24
# 15 % of the pixels of a digit are ink: decoders start near that rate (18 %) instead of at one half.
INK_LOGIT = -1.5


class ResidualBlock(nn.Module):
    """h + conv3x3(gelu(norm(h))): one convolution with a skip connection.

    Shapes:
        h: [B, C, H, W]; output: the same.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, channels)
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, h: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch channel height width"]:
        """Refine the maps."""
        return h + self.conv(F.gelu(self.norm(h)))


def pixel_decoder(width: int, blocks: int, grid: int, patch: int, image_channels: int = 1) -> nn.Sequential:
    """Features [B, width * grid^2] to logits of ink: each cell of the grid becomes one patch of pixels."""
    to_pixels = nn.Conv2d(width, image_channels * patch**2, 3, padding=1)
    decoder = nn.Sequential(
        nn.Unflatten(1, (width, grid, grid)),
        *[ResidualBlock(width) for _ in range(blocks)],
        nn.GroupNorm(1, width),
        nn.GELU(),
        to_pixels,
        nn.PixelShuffle(patch),
    )
    start_as_ink(to_pixels)
    return decoder


def start_as_ink(last: nn.Module) -> None:
    """Set the bias of a decoder's last layer to the usual rate of ink."""
    assert isinstance(last.bias, Tensor)
    nn.init.constant_(last.bias, INK_LOGIT)


def centred(images: Tensor) -> Tensor:
    """Ink between 0 and 1 at roughly zero mean and unit variance."""
    return (images - 0.2) * 2.5


def check_images(images: Tensor, channels: int, size: int) -> None:
    """Refuse images whose shape is not the model's."""
    if images.dim() != 4 or tuple(images.shape[1:]) != (channels, size, size):
        remedy = "one image needs a batch axis: images[None]" if images.dim() == 3 else "resize or convert the images"
        raise invalid("images", f"of shape [B, {channels}, {size}, {size}]", list(images.shape), remedy)


def use_channels_last(model: nn.Module) -> None:
    """Use the memory format in which CPUs run convolutions fastest."""
    model.to(memory_format=torch.channels_last)
