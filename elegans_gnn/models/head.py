"""A classification head with a connectome inside, for features of any kind, and its place on a backbone."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

from elegans_gnn._shapes import Float
from elegans_gnn.errors import DataUnavailableError, invalid, require
from elegans_gnn.models._base import Classifier, check_classes, check_least, keeps_arguments
from elegans_gnn.models.cores import build_core

if TYPE_CHECKING:
    from elegans_gnn.connectome import Connectome

TIMM = "timm/"
COLOURS = 3


class ElegansHead(Classifier):
    """Features -> one vector per input neuron -> core -> output neurons -> classes.

    Args:
        connectome: the graph.
        in_features: length of a feature vector.
        num_classes: number of classes, at least 2.
        channels: a neuron's state has 16 times as many floats.
        core: what stands between input and output neurons, see :func:`build_core`.
        options: of the core.

    Shapes:
        features: [B, in_features]; output: logits [B, num_classes].

    Raises:
        ValueError: features of another shape, or an option that cannot work, with the remedy.
    """

    PARTS: ClassVar = {"projection": ("projection",), "core": ("core",), "head": ("head",)}
    MATRICES = ("projection", "head")
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
        check_classes(num_classes)
        check_least("ElegansHead", in_features=(in_features, 1))
        self.in_features, self.num_classes = in_features, num_classes
        self.core = build_core(connectome, channels, core, **options)
        self.projection = nn.Sequential(
            nn.LayerNorm(in_features), nn.Linear(in_features, self.core.num_inputs * self.core.features_in)
        )
        read = self.core.num_outputs * self.core.features_out
        self.head = nn.Sequential(nn.LayerNorm(read), nn.Linear(read, num_classes))

    def forward(self, features: Float[Tensor, "batch feature"]) -> Float[Tensor, "batch cls"]:
        """Logits of the classes."""
        if features.dim() != 2 or features.shape[1] != self.in_features:
            remedy = "pool the features to one vector an image, or set in_features to their length"
            raise invalid("features", f"of shape [B, {self.in_features}]", list(features.shape), remedy)
        signal = self.projection(features).unflatten(1, (self.core.num_inputs, self.core.features_in))
        return self.head(self.core(signal).flatten(1))


class BackboneClassifier(Classifier):
    """A backbone whose last linear layer is replaced by an :class:`ElegansHead`; see :func:`attach_head`.

    Shapes:
        images: whatever the backbone takes; output: logits [B, num_classes].
    """

    PARTS: ClassVar = {
        "backbone": ("backbone",),
        "projection": ("projection",),
        "core": ("core",),
        "head": ("readout",),
    }
    connectome: Connectome

    @keeps_arguments
    def __init__(
        self,
        connectome: Connectome,
        backbone: nn.Module | str,
        num_classes: int,
        *,
        weights: str | None = None,
        frozen: bool = False,
        **head: object,
    ) -> None:
        super().__init__()
        check_classes(num_classes)
        body = _load_backbone(backbone, weights) if isinstance(backbone, str) else backbone
        features = _without_classifier(body)
        self.backbone, self.frozen, self.num_classes = body, frozen, num_classes
        # Convolutional backbones take any size; transformers say which one they take.
        self.in_channels, self.image_size = COLOURS, getattr(body, "image_size", 0)
        self.head = ElegansHead(connectome, features, num_classes, **head)
        if frozen:
            self.backbone.requires_grad_(False)
            self.backbone.eval()

    @property
    def projection(self) -> nn.Module:
        """The head's first part."""
        return self.head.projection

    @property
    def core(self) -> Any:
        """The head's core."""
        return self.head.core

    @property
    def readout(self) -> nn.Module:
        """The head's last part."""
        return self.head.head

    def matrix_parts(self) -> list[nn.Module]:
        """Those of the head; a backbone is fine-tuned by AdamW as a whole."""
        return self.head.matrix_parts()

    def train(self, mode: bool = True) -> BackboneClassifier:
        """As usual, but a frozen backbone stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def forward(self, images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch cls"]:
        """Logits of the classes; no gradient graph is built in a frozen backbone, and grey counts as three colours."""
        if images.dim() != 4 or images.shape[1] not in (1, COLOURS):
            remedy = "one image needs a batch axis: images[None]" if images.dim() == 3 else "convert the images"
            raise invalid("images", "of shape [B, 3, H, W] or [B, 1, H, W]", list(images.shape), remedy)
        images = images.expand(-1, COLOURS, -1, -1) if images.shape[1] == 1 else images
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.backbone(images)
        return self.head(features)


def attach_head(
    backbone: nn.Module | str,
    connectome: Connectome,
    num_classes: int,
    *,
    weights: str | None = None,
    frozen: bool = False,
    **head: Any,
) -> BackboneClassifier:
    """Put a connectome where a backbone has its last linear layer.

    Args:
        backbone: a name of torchvision (``"resnet18"``), of timm (``"timm/resnet18"``, extra ``backbones``), or a
            module that ends in a linear layer; the module itself is changed.
        connectome: the graph.
        num_classes: number of classes.
        weights: of a torchvision model, such as ``"DEFAULT"``; for timm any text stands for its pretrained weights;
            None (or "") leaves the backbone random.
        frozen: keep the backbone in evaluation mode and without gradients.
        head: further arguments of :class:`ElegansHead` (core, channels, and the core's options).

    Raises:
        ValueError: no such backbone, or one without a linear layer.
        DataUnavailableError: the weights are not on disk and cannot be fetched.
        ImportError: timm is missing.
    """
    return BackboneClassifier(connectome, backbone, num_classes, weights=weights, frozen=frozen, **head)


def _load_backbone(name: str, weights: str | None) -> nn.Module:
    try:
        if name.startswith(TIMM):
            return _timm_model(name.removeprefix(TIMM), bool(weights))
        return _torchvision_model(name, weights)
    except OSError as error:
        # What a failed download raises: urllib's errors, and those of the hub that timm asks.
        cache = "Hugging Face's cache" if name.startswith(TIMM) else f"{torch.hub.get_dir()}/checkpoints"
        message = f"the weights {weights!r} of {name} are not on disk and cannot be fetched ({error})"
        raise DataUnavailableError(f"{message}; put the file into {cache}, or leave weights away") from error


def _torchvision_model(name: str, weights: str | None) -> nn.Module:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise _unknown_backbone(name, known)
    if weights:
        offered = [entry.name for entry in models.get_model_weights(name)]
        if weights not in (*offered, "DEFAULT"):
            raise invalid("weights", f"DEFAULT or one of {', '.join(offered)}", repr(weights), "choose one of these")
    return models.get_model(name, weights=weights or None)


def _timm_model(name: str, pretrained: bool) -> nn.Module:
    timm = require("timm")
    if not timm.is_model(name):
        raise _unknown_backbone(TIMM + name, [TIMM + known for known in timm.list_models()])
    model: nn.Module = timm.create_model(name, pretrained=pretrained)
    return model


def _unknown_backbone(name: str, known: list[str]) -> ValueError:
    nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    remedy = f"did you mean {' or '.join(map(repr, nearest))}?" if nearest else "use resnet18, for example"
    return invalid("backbone", "the name of a torchvision classifier, or timm/NAME", repr(name), remedy)


def _without_classifier(backbone: nn.Module) -> int:
    """Replace the last linear layer by nothing; how many features it took."""
    linear = [(path, module) for path, module in backbone.named_modules() if isinstance(module, nn.Linear)]
    if not linear or not linear[-1][0]:
        remedy = "pass a network that ends in one, or use ElegansHead on its features"
        raise invalid("backbone", "a network with a linear layer at its end", type(backbone).__name__, remedy)
    path, last = linear[-1]
    parent, _, name = path.rpartition(".")
    setattr(backbone.get_submodule(parent), name, nn.Identity())
    return last.in_features
