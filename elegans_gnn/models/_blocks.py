"""Convolutional building blocks around the connectome core, and checks the models share."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from elegans_gnn._shapes import Float
from elegans_gnn.errors import invalid, unknown_name
from elegans_gnn.nn import ConnectomeConv, RecurrentCore

if TYPE_CHECKING:
    from elegans_gnn.connectome import Connectome

# Each neuron of an image model holds C maps of this height and width, as one vector of C * 16 features.
MAP_SIZE = 4


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


def build_core(connectome: Connectome, channels: int, **options: Any) -> RecurrentCore:
    """The core of an image model: vectors of 16 C features, and no neuron that is input and output at once.

    A neuron that is both would carry a signal from the encoder to the readout without any synapse.

    Raises:
        ValueError: an unknown option, an option of the core that images cannot use, or inputs and outputs that overlap.
    """
    known = {name for layer in (RecurrentCore, ConnectomeConv) for name in inspect.signature(layer).parameters}
    known -= {"connectome", "channels", "in_channels", "out_channels", "conv", "kernel_size"}
    for name in options:
        if name not in known:
            raise unknown_name("option", name, sorted(known))
    if channels < 1:
        raise invalid("channels", ">= 1", channels, "use channels=1, one 4 x 4 map per neuron")
    core = RecurrentCore(connectome, channels * MAP_SIZE**2, **options)
    both = np.intersect1d(core.input_index.numpy(), core.output_index.numpy())
    if len(both):
        got = ", ".join(connectome.names[both][:5].tolist())
        raise invalid("inputs and outputs", "without a neuron in common", got, "drop it from one of the two")
    return core
