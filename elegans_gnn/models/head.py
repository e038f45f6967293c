"""Classification heads for features of any kind: with a connectome inside, and without to compare with."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from elegans_gnn._shapes import Float
from elegans_gnn.connectome import Connectome
from elegans_gnn.errors import invalid, unknown_name
from elegans_gnn.models._base import ONE_OR_MORE, Classifier, keeps_arguments
from elegans_gnn.models.cores import CHANNELS, build_core
from elegans_gnn.models.flops import parameters
from elegans_gnn.models.options import options_of

HEADS = ("worm", "linear", "mlp")


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


class PlainHead(nn.Module):
    """A head without a graph, in the same parts: a linear layer, or a perceptron as large as an :class:`ElegansHead`.

    Args:
        in_features: length of a feature vector.
        num_classes: number of classes.
        size: number of parameters that the perceptron comes nearest to; 0 for a single linear layer.

    Shapes:
        features: [B, in_features]; output: logits [B, num_classes].
    """

    def __init__(self, in_features: int, num_classes: int, size: int = 0) -> None:
        super().__init__()
        self.in_features = in_features
        # Norm: 2 f; each hidden unit: f + 1 in the map, 2 in its norm, and one weight per class.
        hidden = max(1, round((size - 2 * in_features - num_classes) / (in_features + 3 + num_classes)))
        norm = nn.LayerNorm(in_features)
        read = hidden if size else in_features
        self.projection = nn.Sequential(norm, nn.Linear(in_features, hidden), nn.GELU()) if size else norm
        self.core = nn.Identity()
        last = nn.Linear(read, num_classes)
        self.head = nn.Sequential(nn.LayerNorm(read), last) if size else last

    def matrix_parts(self) -> list[nn.Module]:
        """The modules whose matrices an optimiser for matrices may take."""
        return [self.projection, self.head]

    def forward(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch cls"]:
        return self.head(self.core(self.projection(features)))


def build_head(
    name: str, connectome: Connectome, in_features: int, num_classes: int, **options: Any
) -> ElegansHead | PlainHead:
    """A head by its name in :data:`HEADS`; a perceptron gets the size of the worm's head with these options."""
    if name not in HEADS:
        raise unknown_name("head", name, HEADS)
    if name == "linear":
        usual = options_of(ElegansHead)
        given = [
            f"{option}={value!r}"
            for option, value in options.items()
            if option not in usual or value != usual[option].default
        ]
        if given:
            raise invalid(
                "head", "worm or mlp with other options of the worm's head", f"linear with {given[0]}", "omit it"
            )
        return PlainHead(in_features, num_classes)
    worm = ElegansHead(connectome, in_features, num_classes, **options)
    return worm if name == "worm" else PlainHead(in_features, num_classes, parameters(worm))
