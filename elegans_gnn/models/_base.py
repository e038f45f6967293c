"""What all models on images share: a place in the table, options, the arguments they were built with, a loss."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Iterator
from operator import attrgetter
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F

from elegans_gnn._shapes import Float, Int
from elegans_gnn.connectome import Connectome
from elegans_gnn.errors import Range, invalid
from elegans_gnn.models.pretrained import MODEL_CLASSES, from_pretrained, save_pretrained
from elegans_gnn.nn import EdgeWeights, SynapticFilters

Model = TypeVar("Model", bound="ImageModel")

# Of the images that models take, in pixels.
LEAST_SIZE = 8
ONE_OR_MORE, ANY_NUMBER = Range(least=1, whole=True), Range(least=0, whole=True)
# Task -> name -> class; classes enter it where they are defined.
MODELS: dict[str, dict[str, type[ImageModel]]] = {}


def enter(entry: type, *places: tuple[dict[str, Any], str]) -> None:
    """Put a class into tables, by its name in each: into all of them or none.

    A class may replace an older version of itself, as when a module is reloaded.

    Raises:
        ValueError: another class has this name.
    """
    for table, name in places:
        old = table.get(name)
        if old is not None and (old.__module__, old.__qualname__) != (entry.__module__, entry.__qualname__):
            got = f"{name!r} of {entry.__module__}.{entry.__qualname__}"
            raise invalid("name", f"new: {old.__module__}.{old.__qualname__} has it", got, "choose another name")
    for table, name in places:
        table[name] = entry


class Configurable:
    """A class whose options are the keyword-only arguments of its ``__init__``.

    Where an ``__init__`` takes ``**others``, those of the base class that receives them count too.

    Args:
        forwards_to: further classes that receive keywords, such as a layer inside.
        fixed: keywords that are no options, because the class or its images decide them.
        python_only: options that no command line can give.
        choices: option -> the names it takes, where its entry in the docstring does not list them.
        ranges: option -> the numbers it takes, where the class that takes the option does not state them. A model's
            are checked before it is built (:func:`keeps_arguments`).
    """

    forwards_to: ClassVar[tuple[type, ...]] = ()
    fixed: ClassVar[tuple[str, ...]] = ()
    python_only: ClassVar[tuple[str, ...]] = ()
    choices: ClassVar[dict[str, tuple[str, ...]]] = {}
    ranges: ClassVar[dict[str, Range]] = {}

    @classmethod
    def options(cls) -> dict[str, tuple[type, inspect.Parameter]]:
        """Name -> the class that takes the keyword, and the keyword as its signature declares it; in order."""
        found: dict[str, tuple[type, inspect.Parameter]] = {}
        for owner, parameter in (*_keywords(cls), *(pair for layer in cls.forwards_to for pair in _keywords(layer))):
            if parameter.name not in cls.fixed:
                found.setdefault(parameter.name, (owner, parameter))
        return found


def _keywords(build: type) -> Iterator[tuple[type, inspect.Parameter]]:
    """The keyword-only arguments of a class, and of its bases as far as the remaining keywords are passed on."""
    for owner in build.__mro__:
        init = vars(owner).get("__init__")
        if owner is nn.Module:
            return
        if init is None:
            continue
        parameters = inspect.signature(init).parameters.values()
        yield from ((owner, p) for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)
        if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
            return


def keeps_arguments(init: Callable[..., None]) -> Callable[..., None]:
    """Decorate an ``__init__`` so that the model checks the ranges of its keywords, and stores all, defaults included.

    They are what :func:`save_pretrained` writes; the connectome, which is no plain value, has its own attribute.
    """
    signature = inspect.signature(init)

    @functools.wraps(init)
    def init_and_keep(self: Any, *given: Any, **named: Any) -> None:
        bound = signature.bind(self, *given, **named)
        bound.apply_defaults()
        for name, allowed in self.ranges.items():
            allowed.check(name, bound.arguments.get(name), f"see the defaults of {type(self).__name__}")
        init(self, *given, **named)
        found: dict[str, Any] = {}
        for name, value in list(bound.arguments.items())[1:]:
            many = signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD
            found.update(value if many else {name: value})
        self.connectome = found.pop("connectome", None)
        self.arguments = {name: _plain(value) for name, value in found.items()}
        # A size that the model chose is stored as a number, so that later defaults change no saved model.
        self.arguments.update(getattr(self, "chosen", {}))

    return init_and_keep


def _plain(value: Any) -> Any:
    """The value as plain lists and numbers, if it has such a form."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    return list(value) if isinstance(value, tuple | set | frozenset) else value


class ImageModel(Configurable, nn.Module):
    """Base of the models: subclasses name their parts and decorate ``__init__`` with :func:`keeps_arguments`.

    A class statement says where the model is listed: ``class SmallResNet(Classifier, name="resnet")``. The task comes
    from the base class, which states ``task=``. A model without a name can be saved and loaded by its class name, but
    is not listed in :data:`MODELS`.

    Args:
        PARTS: name of a part -> names of the attributes it consists of.
        MATRICES: names of the attributes whose matrices are dense linear maps; synapses, neuron units and tables of
            positions are not among them.
        WIRED: names of the attributes that hold synapses and neurons, of a model with a connectome.

    Attributes:
        arguments: the keywords the model was built with.
        chosen: arguments whose value the model chose itself, if there are any.
    """

    PARTS: ClassVar[dict[str, tuple[str, ...]]] = {}
    MATRICES: ClassVar[tuple[str, ...]] = ()
    WIRED: ClassVar[tuple[str, ...]] = ("core",)
    task: ClassVar[str] = ""
    place: ClassVar[int | float] = math.inf
    fixed: ClassVar[tuple[str, ...]] = ("connectome", "num_classes", "in_channels", "image_size")
    ranges: ClassVar[dict[str, Range]] = {"in_channels": ONE_OR_MORE, "image_size": Range(least=LEAST_SIZE, whole=True)}

    arguments: dict[str, Any]
    chosen: dict[str, Any]
    connectome: Connectome | None
    image_size: int
    in_channels: int

    def __init_subclass__(
        cls, *, task: str | None = None, name: str | None = None, place: int | float = math.inf, **others: Any
    ) -> None:
        """Enter a model into the tables.

        Args:
            task: of a base class: what its models do.
            name: the model's name in :data:`MODELS`.
            place: rank in the list of the task's models; the last one by default.
            others: of further base classes.

        Raises:
            ValueError: another model of the task has this name, another model has this class name, or no base class
                states a task.
        """
        super().__init_subclass__(**others)
        cls.place = place
        if task is not None:
            cls.task = task
            MODELS.setdefault(task, {})
        if name is None:
            if task is None:
                enter(cls, (MODEL_CLASSES, cls.__name__))
            return
        if cls.task not in MODELS:
            raise invalid("task", "given by a base class", repr(cls.task), "derive from Autoencoder or Classifier")
        models = MODELS[cls.task]
        enter(cls, (MODEL_CLASSES, cls.__name__), (models, name))
        ordered = sorted(models.items(), key=lambda item: item[1].place)
        models.clear()
        models.update(ordered)

    def parameters_by_part(self) -> dict[str, int]:
        """Number of parameters of each part."""
        return {
            part: sum(value.numel() for name in names for value in _parameters(attrgetter(name)(self)))
            for part, names in self.PARTS.items()
        }

    def matrix_parts(self) -> list[nn.Module]:
        """The modules whose matrices an optimiser for matrices may take."""
        return [getattr(self, name) for name in self.MATRICES]

    def synapse_parts(self) -> list[nn.Module]:
        """The modules whose parameters belong to synapses; optimisers may give them a rate of their own."""
        return [part for part in self.modules() if isinstance(part, EdgeWeights | SynapticFilters)]

    @classmethod
    def arguments_when_loaded(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        """The keywords to build a saved model with, before its weights are loaded."""
        return dict(arguments)

    def save_pretrained(self, folder: Path | str, *, overwrite: bool = False, half: bool = False) -> Path:
        """Write weights, arguments and graph into a folder, see :func:`elegans_gnn.models.save_pretrained`."""
        return save_pretrained(self, folder, overwrite=overwrite, half=half)

    @classmethod
    def from_pretrained(cls: type[Model], folder: Path | str) -> Model:
        """Read a model of this class, see :func:`elegans_gnn.models.from_pretrained`."""
        return from_pretrained(folder, cls)


def _parameters(part: nn.Module | nn.Parameter) -> list[nn.Parameter]:
    return [part] if isinstance(part, nn.Parameter) else list(part.parameters())


class Autoencoder(ImageModel, task="autoencoder"):
    """Image -> code -> logits of ink, one per pixel.

    Args:
        code: length of the code, in floats.
        image_size, in_channels: of the images.

    Shapes:
        images: [B, in_channels, image_size, image_size], ink between 0 and 1; output: logits of the same shape;
        code: [B, code_length].
    """

    ranges: ClassVar = {**ImageModel.ranges, "code": ONE_OR_MORE}
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


class Classifier(ImageModel, task="classifier"):
    """Image -> logits of the classes.

    Args:
        num_classes: number of classes, at least 2.
        in_channels: colour channels of the images.
        image_size: height and width.

    Shapes:
        images: [B, in_channels, image_size, image_size] (image_size 0: any size); output: [B, num_classes].
    """

    ranges: ClassVar = {
        **ImageModel.ranges,
        "num_classes": Range(least=2, whole=True, remedy="give one number per class of the labels"),
    }
    num_classes: int

    def loss(
        self,
        images: Float[Tensor, "batch *_"],
        labels: Int[Tensor, "batch"],
        label_smoothing: float = 0.0,
    ) -> Float[Tensor, ""]:
        """Mean cross-entropy; `label_smoothing` spreads that share of each target over all classes."""
        return F.cross_entropy(self(images), labels, label_smoothing=label_smoothing)
