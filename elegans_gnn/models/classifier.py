"""A classifier whose features pass through a connectome."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elegans_gnn._shapes import Float, Int
from elegans_gnn.errors import invalid
from elegans_gnn.models._blocks import MAP_SIZE, ResidualBlock, build_core, check_images
from elegans_gnn.nn.core import Neurons

if TYPE_CHECKING:
    from elegans_gnn.connectome import Connectome

# The stem halves the image twice and is then averaged down to twice the size of the neurons' maps.
STEM_SIZE = 2 * MAP_SIZE
LEAST_SIZE = 4 * STEM_SIZE


class ElegansClassifier(nn.Module):
    """Image -> convolutional stem -> 4 x 4 maps on the input neurons -> core -> output neurons -> classes.

    Args:
        connectome: the graph.
        num_classes: number of classes, at least 2.
        in_channels: colour channels of the images.
        image_size: height and width, a multiple of 32.
        width: channels of the stem.
        channels: maps per neuron; its state has 16 times as many floats.
        steps: recurrent steps of the core.
        inputs, outputs: role or names of the neurons that receive and that are read.
        core: further arguments of :class:`RecurrentCore`.

    Shapes:
        images: [B, in_channels, image_size, image_size]; output: logits [B, num_classes].
    """

    def __init__(
        self,
        connectome: Connectome,
        num_classes: int = 10,
        *,
        in_channels: int = 3,
        image_size: int = 32,
        width: int = 64,
        channels: int = 1,
        steps: int = 4,
        inputs: Neurons = "sensory",
        outputs: Neurons = "motor",
        **core: object,
    ) -> None:
        super().__init__()
        if num_classes < 2:
            raise invalid("num_classes", ">= 2", num_classes, "give one number per class of the labels")
        if image_size < LEAST_SIZE or image_size % LEAST_SIZE:
            raise invalid("image_size", f"a multiple of {LEAST_SIZE}", image_size, "resize or pad the images")
        self.in_channels, self.image_size = in_channels, image_size
        self.core = build_core(connectome, channels, steps=steps, inputs=inputs, outputs=outputs, **core)
        features = channels * MAP_SIZE**2
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, width, 4, stride=2, padding=1),
            ResidualBlock(width),
            nn.Conv2d(width, width, 4, stride=2, padding=1),
            ResidualBlock(width),
            nn.AdaptiveAvgPool2d(STEM_SIZE),
            nn.Conv2d(width, self.core.num_inputs * channels, 3, stride=2, padding=1),
        )
        self.head = nn.Sequential(
            nn.LayerNorm(self.core.num_outputs * features), nn.Linear(self.core.num_outputs * features, num_classes)
        )
        self.to(memory_format=torch.channels_last)

    @property
    def connectome(self) -> Connectome:
        """The graph of the core."""
        return self.core.connectome

    def forward(self, images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch cls"]:
        """Logits of the classes."""
        check_images(images, self.in_channels, self.image_size)
        signal = self.stem(images).contiguous().view(len(images), self.core.num_inputs, -1)
        return self.head(self.core(signal).flatten(1))

    def loss(
        self, images: Float[Tensor, "batch channel height width"], labels: Int[Tensor, "batch"]
    ) -> Float[Tensor, ""]:
        """Mean cross-entropy."""
        return F.cross_entropy(self(images), labels)
