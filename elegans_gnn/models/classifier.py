"""A classifier whose features pass through a connectome."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from elegans_gnn._shapes import Float
from elegans_gnn.connectome import Connectome
from elegans_gnn.errors import Range
from elegans_gnn.models._base import ANY_NUMBER, Classifier, keeps_arguments
from elegans_gnn.models._blocks import MAP_SIZE, ResidualBlock, check_images, use_channels_last
from elegans_gnn.models.cores import CHANNELS, build_core

# The stem's last convolution takes a grid of 7 or 8 places to the 4 x 4 of the neurons' maps.
STEM_SIZE = 2 * MAP_SIZE
# Grids larger than this are halved once more.
_MOST = 12


class ElegansClassifier(Classifier, name="elegans", place=0):
    """Image -> convolutional stem -> 4 x 4 maps on the input neurons -> core -> output neurons -> classes.

    The stem halves the image until its side is 7 or 8 (sides of 9 to 12 are averaged to 8), with `width` channels on
    the last grid and half as many on the grids before it.

    Args:
        connectome: the graph.
        num_classes, in_channels, image_size: see :class:`Classifier`.
        width: channels of the stem on its last grid.
        blocks: residual blocks on each grid that is smaller than the image.
        channels: maps of 4 x 4 per neuron, so that its state has 16 floats per map.
        dropout: share of the readout's features that are set to zero in training.
        core: what connects input and output neurons: message passing, or a substitute to compare with.
        options: of the core, see :func:`core_options`; for message passing the arguments of :class:`RecurrentCore` and
            :class:`ConnectomeConv` (steps, inputs, outputs, unit, activation, ...).

    Raises:
        ValueError: an image of another shape, or an option that cannot work, with the remedy.
    """

    PARTS: ClassVar = {"stem": ("stem",), "core": ("core",), "head": ("head",)}
    MATRICES = ("stem", "head")
    ranges: ClassVar = {
        **Classifier.ranges,
        "width": Range(least=2, whole=True),
        "blocks": ANY_NUMBER,
        "channels": CHANNELS,
        "dropout": Range(least=0, below=1, remedy="use 0 for none"),
    }
    connectome: Connectome
    core: Any

    @keeps_arguments
    def __init__(
        self,
        connectome: Connectome,
        num_classes: int = 10,
        *,
        in_channels: int = 3,
        image_size: int = 32,
        width: int = 64,
        blocks: int = 1,
        channels: int = 1,
        dropout: float = 0.0,
        core: str = "message-passing",
        **options: object,
    ) -> None:
        super().__init__()
        self.num_classes, self.in_channels, self.image_size = num_classes, in_channels, image_size
        self.core = build_core(connectome, channels, core, **options)
        self.stem = _stem(in_channels, image_size, width, blocks, self.core.num_inputs * channels)
        features = self.core.num_outputs * self.core.features_out
        self.head = nn.Sequential(nn.LayerNorm(features), nn.Dropout(dropout), nn.Linear(features, num_classes))
        use_channels_last(self)

    def forward(self, images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch cls"]:
        check_images(images, self.in_channels, self.image_size)
        signal = self.stem(images).contiguous().view(images.shape[0], self.core.num_inputs, -1)
        return self.head(self.core(signal).flatten(1))


def _stem(in_channels: int, image_size: int, width: int, blocks: int, maps: int) -> nn.Sequential:
    """Convolutions from an image to `maps` maps of 4 x 4."""
    grids = [image_size]
    while grids[-1] > _MOST:
        grids.append(-(-grids[-1] // 2))
    if len(grids) == 1:
        layers: list[nn.Module] = [nn.Conv2d(in_channels, width, 3, padding=1)]
        layers += [ResidualBlock(width) for _ in range(blocks)]
    else:
        layers, before = [], in_channels
        for number in range(1, len(grids)):
            after = width if number == len(grids) - 1 else max(1, width // 2)
            # 5 x 5 on the image itself, where channels are few and detail matters.
            kernel = 5 if number == 1 else 3
            layers.append(nn.Conv2d(before, after, kernel, stride=2, padding=kernel // 2))
            layers += [ResidualBlock(after) for _ in range(blocks)]
            before = after
    if grids[-1] not in (STEM_SIZE - 1, STEM_SIZE):
        layers.append(nn.AdaptiveAvgPool2d(STEM_SIZE))
    return nn.Sequential(*layers, nn.GroupNorm(1, width), nn.GELU(), nn.Conv2d(width, maps, 3, stride=2, padding=1))
