"""What all models on images share: the arguments they were built with, their parts, a folder to travel in, a loss."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from elegans_gnn._shapes import Float, Int
from elegans_gnn.errors import invalid

if TYPE_CHECKING:
    from elegans_gnn.connectome import Connectome

Model = TypeVar("Model", bound="ImageModel")


def keeps_arguments(init: Callable[..., None]) -> Callable[..., None]:
    """Decorate an ``__init__`` so that the model stores the keywords it was built with, defaults included.

    They are what :func:`save_pretrained` writes; the connectome, which is no plain value, is kept beside them.
    """
    signature = inspect.signature(init)

    @functools.wraps(init)
    def keeping(self: Any, *given: Any, **named: Any) -> None:
        bound = signature.bind(self, *given, **named)
        bound.apply_defaults()
        init(self, *given, **named)
        found: dict[str, Any] = {}
        for name, value in list(bound.arguments.items())[1:]:
            many = signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
            found.update(value if many else {name: value})
        self.connectome = found.pop("connectome", None)
        self.arguments = {name: _plain(value) for name, value in found.items()}
        # A size left to the model is stored as it came out, so that later defaults change no saved model.
        self.arguments.update(getattr(self, "chosen", {}))

    return keeping


def _plain(value: Any) -> Any:
    """The value as JSON holds it, where it can."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return list(value) if isinstance(value, tuple | set | frozenset) else value


class ImageModel(nn.Module):
    """Base of the models: subclasses name their parts and decorate ``__init__`` with :func:`keeps_arguments`.

    Args:
        PARTS: name of a part -> names of the attributes it consists of.
        MATRICES: names of the attributes whose matrices are dense linear maps; synapses, neuron units and tables of
            positions are not among them.

    Attributes:
        arguments: the keywords the model was built with.
        chosen: those of them that were left to the model, where it has such.
    """

    PARTS: ClassVar[dict[str, tuple[str, ...]]] = {}
    MATRICES: ClassVar[tuple[str, ...]] = ()

    arguments: dict[str, Any]
    chosen: dict[str, Any]
    connectome: Connectome | None
    image_size: int
    in_channels: int

    def parameters_by_part(self) -> dict[str, int]:
        """Number of parameters of each part."""
        return {
            part: sum(value.numel() for name in names for value in _parameters(getattr(self, name)))
            for part, names in self.PARTS.items()
        }

    def matrix_parts(self) -> list[nn.Module]:
        """The modules whose matrices an optimiser for matrices may take."""
        return [getattr(self, name) for name in self.MATRICES]

    def save_pretrained(self, folder: Path | str, *, overwrite: bool = False) -> Path:
        """Write weights, arguments and graph into a folder, see :func:`elegans_gnn.models.save_pretrained`."""
        from elegans_gnn.models.pretrained import save_pretrained

        return save_pretrained(self, folder, overwrite=overwrite)

    @classmethod
    def from_pretrained(cls: type[Model], folder: Path | str) -> Model:
        """Read a model of this class, see :func:`elegans_gnn.models.from_pretrained`."""
        from elegans_gnn.models.pretrained import from_pretrained

        return from_pretrained(folder, cls)


def _parameters(part: nn.Module | nn.Parameter) -> list[nn.Parameter]:
    return [part] if isinstance(part, nn.Parameter) else list(part.parameters())


class Autoencoder(ImageModel):
    """Image -> code -> logits of ink, one per pixel.

    Shapes:
        images: [B, in_channels, image_size, image_size], ink between 0 and 1; output: logits of the same shape;
        code: [B, code_length].
    """

    code_length: int

    def encode(self, images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch code"]:
        """Images to codes."""
        raise NotImplementedError

    def decode(self, code: Float[Tensor, "batch code"]) -> Float[Tensor, "batch channel height width"]:
        """Codes to logits of ink."""
        raise NotImplementedError

    def forward(
        self, images: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch channel height width"]:
        """Logits of ink for each pixel."""
        return self.decode(self.encode(images))

    def loss(self, images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, ""]:
        """Mean binary cross-entropy per pixel of the reconstruction."""
        return F.binary_cross_entropy_with_logits(self(images), images)


class Classifier(ImageModel):
    """Image -> logits of the classes.

    Shapes:
        images: [B, in_channels, image_size, image_size] (image_size 0: any size); output: [B, num_classes].
    """

    num_classes: int

    def loss(
        self,
        images: Float[Tensor, "batch *_"],
        labels: Int[Tensor, "batch"],
        label_smoothing: float = 0.0,
    ) -> Float[Tensor, ""]:
        """Mean cross-entropy; `label_smoothing` spreads that share of each target over all classes."""
        return F.cross_entropy(self(images), labels, label_smoothing=label_smoothing)


def check_least(model: str, **limits: tuple[int, int]) -> None:
    """Refuse sizes below their least value, given as argument=(value, least)."""
    for argument, (value, least) in limits.items():
        if value < least:
            raise invalid(argument, f">= {least}", value, f"see the defaults of {model}")


def check_classes(num_classes: int) -> None:
    """Refuse a number of classes that leaves nothing to tell apart."""
    if num_classes < 2:
        raise invalid("num_classes", ">= 2", num_classes, "give one number per class of the labels")
