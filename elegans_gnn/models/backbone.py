"""A connectome in the place of a backbone's classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elegans_gnn._shapes import Float
from elegans_gnn.errors import invalid
from elegans_gnn.models._base import Classifier, check_classes, check_least, keeps_arguments
from elegans_gnn.models._load_backbone import TIMM, image_size_of, load_backbone, without_classifier
from elegans_gnn.models.head import ElegansHead

if TYPE_CHECKING:
    from elegans_gnn.connectome import Connectome

COLOURS = 3


class BackboneClassifier(Classifier):
    """A backbone whose last linear layer is replaced by an :class:`ElegansHead`; see :func:`attach_head`.

    Shapes:
        images: [B, 3, H, W] or [B, 1, H, W], values in 0..1, of the size the backbone takes (any size with `resize`);
        output: logits [B, num_classes].
    """

    PARTS: ClassVar = {
        "backbone": ("backbone",),
        "projection": ("projection",),
        "core": ("core",),
        "head": ("readout",),
    }
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
        **head: object,
    ) -> None:
        super().__init__()
        check_classes(num_classes)
        check_least("attach_head", resize=(resize, 0), image_size=(image_size, 0))
        if image_size and not isinstance(backbone, str):
            raise invalid("image_size", "left out beside a module", image_size, "build the module for that size")
        mean, std = _per_colour("mean", mean), _per_colour("std", std)
        usual_mean, usual_std = (0.0,) * COLOURS, (1.0,) * COLOURS
        if isinstance(backbone, str):
            body, usual_mean, usual_std = load_backbone(backbone, weights, image_size)
        else:
            body = backbone
        self.num_classes, self.frozen, self.resize = num_classes, frozen, resize
        features, takes = without_classifier(body), image_size_of(body)
        if takes and resize not in (0, takes):
            raise invalid("resize", f"0 or {takes}, the size of this backbone's images", resize, f"use resize={takes}")
        if isinstance(backbone, str) and not backbone.startswith(TIMM):
            # Weights may bring their own size, and a saved model is built without fetching them.
            self.chosen = {"image_size": takes}
        self.backbone = body
        # Convolutional backbones take any size; transformers say which one they take.
        self.in_channels, self.image_size = COLOURS, 0 if resize else takes
        # Saved with the weights, since the one fits no images without the other.
        self.register_buffer("mean", torch.tensor(mean or usual_mean).reshape(COLOURS, 1, 1))
        self.register_buffer("std", torch.tensor(std or usual_std).reshape(COLOURS, 1, 1))
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
        if self.image_size and images.shape[2:] != (self.image_size, self.image_size):
            expected = f"of {self.image_size} x {self.image_size} pixels for this backbone"
            got = f"{images.shape[2]} x {images.shape[3]}"
            raise invalid("images", expected, got, f"attach the head with resize={self.image_size}")
        if self.resize and images.shape[2:] != (self.resize, self.resize):
            # Averaging over what falls together makes no difference to images that grow.
            shrinks = max(images.shape[2:]) > self.resize
            images = F.interpolate(images, (self.resize, self.resize), mode="bilinear", antialias=shrinks)
        images = images.expand(-1, COLOURS, -1, -1) if images.shape[1] == 1 else images
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features = self.backbone((images - self.mean) / self.std)
        if not isinstance(features, Tensor):
            remedy = "switch off what it gives besides in training"
            raise invalid("backbone", "a network that gives one tensor", type(features).__name__, remedy)
        return self.head(features)


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
    backbone: nn.Module | str,
    connectome: Connectome,
    num_classes: int,
    *,
    weights: str | None = None,
    frozen: bool = False,
    resize: int = 0,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    image_size: int = 0,
    **head: Any,
) -> BackboneClassifier:
    """Put a connectome where a backbone has its last linear layer.

    Args:
        backbone: a name of torchvision (``"resnet18"``), of timm (``"timm/resnet18"``, extra ``backbones``), or a
            module that ends in a linear layer; the module itself is changed: auxiliary classifiers are removed too.
        connectome: the graph.
        num_classes: number of classes.
        weights: of a torchvision model, such as ``"DEFAULT"``; for timm any text stands for its pretrained weights;
            None (or "") leaves the backbone random.
        frozen: keep the backbone in evaluation mode and without gradients.
        resize: images are brought to this height and width first (bilinear, antialiased); 0 takes them as they come.
            Weights from ImageNet know images of 224 pixels or so: `resize` helps them with smaller ones, at the cost
            of the larger images.
        mean, std: three numbers for the colours of pixels in 0..1; the backbone sees (image - mean) / std. By default
            those that the `weights` were trained with; 0 and 1 for a random backbone and for a module.
        image_size: of a vision transformer of torchvision that is given by name: the size of images to build it for,
            0 for its own.
        head: further arguments of :class:`ElegansHead` (core, channels, and the core's options).

    Raises:
        ValueError: no such backbone, one without a linear layer, or sizes that do not fit it.
        DataUnavailableError: the weights are not on disk and cannot be fetched.
        ImportError: timm is missing.
    """
    return BackboneClassifier(
        connectome,
        backbone,
        num_classes,
        weights=weights,
        frozen=frozen,
        resize=resize,
        mean=mean,
        std=std,
        image_size=image_size,
        **head,
    )
