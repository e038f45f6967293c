"""ElegansNet: a classifier in which the wiring diagram does the work."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from torch import Tensor, nn

from elegans_gnn._shapes import Float
from elegans_gnn.connectome import Connectome
from elegans_gnn.errors import Range
from elegans_gnn.models._base import Classifier, keeps_arguments
from elegans_gnn.models._blocks import check_images
from elegans_gnn.nn import SynapticCore

_STEM = 5
# Of pixels between 0 and 1, as in pictures of clothes and of digits.
_MEAN_SQUARE = 0.2


class ElegansNet(Classifier, name="elegansnet", place=0.5):
    """Image -> one convolution -> maps on the input neurons -> steps along the synapses -> output neurons -> classes.

    The convolution is 5 x 5 with stride 2, so the maps have half the side of the image. Every neuron holds `channels`
    maps and every synapse is a filter (:class:`SynapticCore`); maps are halved between the early and the late steps.
    The output neurons' maps are normalised together, averaged over their places and mapped onto the classes. Nothing
    bypasses the synapses: with all of them silent every image gets the same logits, as long as no input neuron is an
    output neuron.

    Args:
        connectome: the graph.
        num_classes, in_channels, image_size: see :class:`Classifier`.
        channels: maps per neuron.
        dropout: share of the readout's features that are set to zero in training.
        options: see :class:`SynapticCore`.

    Raises:
        ValueError: an image of another shape, or an option that cannot work, with the remedy.
    """

    PARTS: ClassVar = {
        "stem": ("stem",),
        "synapses": ("core.synapses",),
        "neurons": ("core.neurons",),
        "head": ("norm", "head"),
    }
    MATRICES = ("stem", "head")
    forwards_to = (SynapticCore,)
    ranges: ClassVar = {
        **Classifier.ranges,
        "channels": SynapticCore.ranges["channels"],
        "dropout": Range(least=0, below=1, remedy="use 0 for none"),
    }
    connectome: Connectome

    @keeps_arguments
    def __init__(
        self,
        connectome: Connectome,
        num_classes: int = 10,
        *,
        in_channels: int = 3,
        image_size: int = 32,
        channels: int = 1,
        dropout: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__()
        self.num_classes, self.in_channels, self.image_size = num_classes, in_channels, image_size
        self.core = SynapticCore(connectome, channels, **options)
        self.stem = nn.Conv2d(in_channels, self.core.num_inputs * channels, _STEM, stride=2, padding=_STEM // 2)
        # Maps of about unit mean square, as the steps add.
        nn.init.normal_(self.stem.weight, std=1 / math.sqrt(_MEAN_SQUARE * in_channels * _STEM**2))
        features = self.core.num_outputs * channels
        self.norm = nn.GroupNorm(1, features)
        self.head = nn.Sequential(nn.Dropout(dropout), nn.Linear(features, num_classes))

    def forward(self, images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch cls"]:
        check_images(images, self.in_channels, self.image_size)
        signal = self.stem(images).unflatten(1, (self.core.num_inputs, self.core.channels))
        return self.head(self.norm(self.core(signal).flatten(1, 2)).mean((2, 3)))
