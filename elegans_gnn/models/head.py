"""A classification head with a connectome inside, for features of any kind."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from elegans_gnn._shapes import Float
from elegans_gnn.connectome import Connectome
from elegans_gnn.errors import invalid
from elegans_gnn.models._base import ONE_OR_MORE, Classifier, keeps_arguments
from elegans_gnn.models.cores import CHANNELS, build_core


class ElegansHead(Classifier):
    """Features -> one vector per input neuron -> core -> output neurons -> classes.

    Args:
        connectome: the graph.
        in_features: length of a feature vector.
        num_classes: number of classes, at least 2.
        channels: the state of a neuron has 16 floats per channel.
        core: what connects input and output neurons: message passing, or a substitute to compare with.
        options: of the core, see :func:`core_options`.

    Shapes:
        features: [B, in_features]; output: logits [B, num_classes].

    Raises:
        ValueError: features of another shape, or an option that cannot work, with the remedy.
    """

    PARTS: ClassVar = {"projection": ("projection",), "core": ("core",), "head": ("head",)}
    MATRICES = ("projection", "head")
    ranges: ClassVar = {**Classifier.ranges, "in_features": ONE_OR_MORE, "channels": CHANNELS}
    connectome: Connectome
    core: Any

    @keeps_arguments
    def __init__(
        self,
        connectome: Connectome,
        in_features: int,
        num_classes: int,
        *,
        channels: int = 1,
        core: str = "message-passing",
        **options: object,
    ) -> None:
        super().__init__()
        self.num_classes, self.in_features = num_classes, in_features
        self.core = build_core(connectome, channels, core, **options)
        self.projection = nn.Sequential(
            nn.LayerNorm(in_features), nn.Linear(in_features, self.core.num_inputs * self.core.features_in)
        )
        read = self.core.num_outputs * self.core.features_out
        self.head = nn.Sequential(nn.LayerNorm(read), nn.Linear(read, num_classes))

    def forward(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch cls"]:
        if features.dim() != 2 or features.shape[1] != self.in_features:
            remedy = "pool the features to one vector an image, or set in_features to their length"
            raise invalid("features", f"of shape [B, {self.in_features}]", list(features.shape), remedy)
        signal = self.projection(features).unflatten(1, (self.core.num_inputs, self.core.features_in))
        return self.head(self.core(signal).flatten(1))
