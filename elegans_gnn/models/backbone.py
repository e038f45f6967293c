"""A connectome in place of a backbone's classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elegans_gnn._shapes import Float
from elegans_gnn.connectome import Connectome
from elegans_gnn.errors import invalid
from elegans_gnn.models._base import ANY_NUMBER, Classifier, keeps_arguments
from elegans_gnn.models._load_backbone import TIMM, Backbone, image_size_of, load_backbone, remove_classifier
from elegans_gnn.models.head import ElegansHead, build_head

COLOURS = 3


class BackboneClassifier(Classifier):
    """A backbone whose last linear layer is replaced by an :class:`ElegansHead`, or by a plain head to compare with.

    Args:
        connectome: the graph.
        backbone: a name of torchvision (``"resnet18"``), of timm (``"timm/resnet18"``, extra ``backbones``), or a
            module that ends in a linear layer. The module itself is changed; auxiliary classifiers are removed too.
        num_classes: number of classes, at least 2.
        weights: pretrained weights of the backbone: a file (.pth, .safetensors) that holds a tensor for each of the
            backbone's, by name or in order; or a name of torchvision, such as ``"DEFAULT"``; for timm any name means
            its pretrained weights; None (or "") leaves the backbone random.
        frozen: keep the backbone in evaluation mode and without gradients, and train the head alone.
        resize: height and width that images are resized to first (bilinear, antialiased), such as 224; 0 keeps their
            size. Weights from ImageNet expect about 224 pixels: resizing smaller images helps, and costs time.
        mean: three numbers, for the colours of pixels in 0..1; the backbone takes (image - mean) / std. By default
            those of the `weights`; 0 for a random backbone and for a module.
        std: three numbers, see `mean`; by default those of the `weights`; 1 for a random backbone and for a module.
        image_size: height and width of the images that a vision transformer of torchvision is built for; 0 for its own
            default. Other backbones do not take it.
        head: ``"worm"`` for an :class:`ElegansHead`, ``"linear"`` for one linear layer, which ignores the graph,
            ``"mlp"`` for a perceptron of one hidden layer with as many parameters as the worm's head.
        options: further arguments of :class:`ElegansHead` (core, channels, and the core's options); with
            ``head="mlp"`` they decide its size, with ``head="linear"`` they must have their defaults.

    Shapes:
        images: [B, 3, H, W] or [B, 1, H, W], values in 0..1, of the size the backbone takes (any size with `resize`);
        or what `features` gave for them, as [B, in_features, 1, 1]; output: logits [B, num_classes].

    Raises:
        ValueError: no such backbone, one without a linear layer, or sizes that do not fit it.
        DataUnavailableError: the weights are not on disk and cannot be fetched.
        ImportError: timm is missing.
    """

    PARTS: ClassVar = {"backbone": ("backbone",), **ElegansHead.PARTS, "head": ("readout",)}
    forwards_to = (ElegansHead,)
    # The size of a backbone's images is a choice; the number of its classes is not.
    fixed = ("connectome", "num_classes")
    ranges: ClassVar = {**ElegansHead.ranges, "resize": ANY_NUMBER, "image_size": ANY_NUMBER}
    connectome: Connectome
    mean: Tensor
    std: Tensor

    @keeps_arguments
    def __init__(
        self,
        connectome: Connectome,
        backbone: nn.Module | str,
        num_classes: int,
        *,
        weights: str | None = None,
        frozen: bool = False,
        resize: int = 0,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        image_size: int = 0,
        head: str = "worm",
        **options: object,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        if image_size and not isinstance(backbone, str):
            remedy = "build the module for that size"
            raise invalid("image_size", "omitted when the backbone is a module", image_size, remedy)
        mean, std = _per_colour("mean", mean), _per_colour("std", std)
        named = load_backbone(backbone, weights, image_size) if isinstance(backbone, str) else Backbone(backbone)
        body, usual_mean, usual_std = named
        self.frozen, self.resize = frozen, resize
        features, takes = remove_classifier(body), image_size_of(body)
        if takes and resize not in (0, takes):
            raise invalid("resize", f"0 or {takes}, the size of this backbone's images", resize, f"use resize={takes}")
        if isinstance(backbone, str) and not backbone.startswith(TIMM):
            # Weights may decide the size, and a saved model is built without them.
            self.chosen = {"image_size": takes}
        self.backbone = body
        # Convolutional backbones take any size; transformers state theirs.
        self.in_channels, self.image_size = COLOURS, 0 if resize else takes
        # Saved with the weights, which expect images normalised like this.
        self.register_buffer("mean", torch.tensor(mean or usual_mean).reshape(COLOURS, 1, 1))
        self.register_buffer("std", torch.tensor(std or usual_std).reshape(COLOURS, 1, 1))
        self.head = build_head(head, connectome, features, num_classes, **options)
        if frozen:
            self.backbone.requires_grad_(False)
            self.backbone.eval()

    @classmethod
    def arguments_when_loaded(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        """Without the backbone's weights: the folder has them, so none are downloaded."""
        return {**arguments, "weights": None}

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
        """Those of the head; AdamW fine-tunes the whole backbone."""
        return self.head.matrix_parts()

    def train(self, mode: bool = True) -> BackboneClassifier:
        """Set the mode; a frozen backbone stays in evaluation mode."""
        super().train(mode)
        if self.frozen:
            self.backbone.eval()
        return self

    def forward(self, images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch cls"]:
        """Logits of the classes, of images or of what :meth:`features` gave for them."""
        if images.shape[1:] == (self.head.in_features, 1, 1):
            return self.head(images.flatten(1))
        return self.head(self.features(images))

    def features(self, images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch feature"]:
        """What the head is given. A frozen backbone builds no gradient graph; grey becomes three equal colours."""
        if images.dim() != 4 or images.shape[1] not in (1, COLOURS):
            remedy = "one image needs a batch axis: images[None]" if images.dim() == 3 else "convert the images"
            raise invalid("images", "of shape [B, 3, H, W] or [B, 1, H, W]", list(images.shape), remedy)
        if self.image_size and images.shape[2:] != (self.image_size, self.image_size):
            expected = f"of {self.image_size} x {self.image_size} pixels for this backbone"
            got = f"{images.shape[2]} x {images.shape[3]}"
            raise invalid("images", expected, got, f"attach the head with resize={self.image_size}")
        if self.resize and images.shape[2:] != (self.resize, self.resize):
            # Antialiasing makes no difference to images that grow.
            shrinks = max(images.shape[2:]) > self.resize
            images = F.interpolate(images, (self.resize, self.resize), mode="bilinear", antialias=shrinks)
        images = images.expand(-1, COLOURS, -1, -1) if images.shape[1] == 1 else images
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.backbone((images - self.mean) / self.std)
        if not isinstance(features, Tensor):
            remedy = "switch off its auxiliary outputs in training"
            raise invalid("backbone", "a network that gives one tensor", type(features).__name__, remedy)
        return features


def _per_colour(argument: str, values: Sequence[float] | None) -> tuple[float, ...] | None:
    """Three numbers, above zero for the standard deviation."""
    if values is None:
        return None
    numbers = tuple(map(float, values))
    if len(numbers) != COLOURS or (argument == "std" and min(numbers) <= 0):
        expected = "three numbers above 0" if argument == "std" else "three numbers"
        raise invalid(argument, expected, list(values), "give one for red, green and blue each, of pixels in 0..1")
    return numbers


def attach_head(
    backbone: nn.Module | str, connectome: Connectome, num_classes: int, **options: Any
) -> BackboneClassifier:
    """Put a connectome in place of a backbone's last linear layer.

    Arguments and errors are those of :class:`BackboneClassifier`.
    """
    return BackboneClassifier(connectome, backbone, num_classes, **options)
