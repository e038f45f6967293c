"""Convolutional building blocks around the connectome core, and checks the models share."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from elegans_gnn._shapes import Float
from elegans_gnn.errors import invalid


class ResidualBlock(nn.Module):
    """h + conv3x3(gelu(norm(h))): one convolution with its input carried past it.

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


def check_images(images: Tensor, channels: int, size: int) -> None:
    """Refuse images of another shape than a model was built for."""
    if images.dim() != 4 or tuple(images.shape[1:]) != (channels, size, size):
        remedy = "one image needs a batch axis: images[None]" if images.dim() == 3 else "resize or convert the images"
        raise invalid("images", f"of shape [B, {channels}, {size}, {size}]", list(images.shape), remedy)
