"""The settings of a training run, each once: name, type, default, range and one line of help, in groups.

The options of a model and of its core are not listed here: they are the keywords of their classes, see
:func:`elegans_gnn.models.options_of`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import Field, dataclass, field, fields
from functools import cache
from typing import Any, get_type_hints

from elegans_gnn.errors import Range, invalid, unknown_name

CLASSIFIER_ONLY = "classifier"


def setting(
    default: Any,
    help: str,
    *,
    choices: tuple[str, ...] = (),
    only: tuple[str, tuple[str, ...]] | None = None,
    unless: tuple[str, str] | None = None,
    task: str = "",
    **limits: Any,
) -> Any:
    """A field of a group of settings.

    Args:
        default: the value if none is given.
        help: one line for the command line.
        choices: the only values.
        only: another setting, and its values with which this one has an effect.
        unless: another setting, and its value with which this one has no effect.
        task: the only task that has this setting.
        limits: of a number: least, above, most or below, see :class:`Range`.
    """
    named = {"help": help, "choices": choices, "only": only, "unless": unless, "task": task}
    return field(default=default, metadata={"range": Range(whole=isinstance(default, int), **limits), **named})


class Options(Mapping[str, Any]):
    """The options of a model or of a core: a mapping that never changes, so that a configuration can be hashed."""

    def __init__(self, given: Mapping[str, Any] | None = None) -> None:
        self._given = dict(given or {})

    def __getitem__(self, name: str) -> Any:
        return self._given[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._given)

    def __len__(self) -> int:
        return len(self._given)

    def __hash__(self) -> int:
        return hash(frozenset(self.items()))

    def __repr__(self) -> str:
        return repr(self._given)


@dataclass(frozen=True)
class Data:
    """The images."""

    data: str = setting("mnist5k", "a folder with MNIST's idx files, or a data set (mnist5k: no download)")
    data_dir: str = setting("downloads", "folder with a data set's files, or where torchvision puts them")
    feature_cache: str = setting(
        "",
        "folder that keeps a frozen backbone's features of the images; empty: computed at every step",
        only=("augment", ("none",)),
        task=CLASSIFIER_ONLY,
    )
    fold: int = setting(0, "which fifth of the digits is the test part", least=0, most=4, task=CLASSIFIER_ONLY)


@dataclass(frozen=True)
class Graph:
    """The wiring diagram."""

    connectome: str = setting(
        "varshney2011", "a name of `elegans-gnn connectome list`, or a path: CSV, GraphML, JSON, Parquet or a folder"
    )
    graph: str = setting("original", "the wiring itself, or a random graph matched to it")
    graph_seed: int = setting(0, "seed of the random graph", least=0, unless=("graph", "original"))


@dataclass(frozen=True)
class Model:
    """The model."""

    model: str = setting("elegans", "our model, or a baseline")
    backbone: str = setting(
        "", "a model of torchvision, or timm/NAME, whose head becomes the connectome", task=CLASSIFIER_ONLY
    )
    # The keywords of the model's class, by the names of their settings.
    options: Options = field(default_factory=Options)


@dataclass(frozen=True)
class Core:
    """The core of the model."""

    core: str = setting("message-passing", "what connects the input neurons with the output neurons")
    # The keywords of the core's class, by the names of their settings.
    options: Options = field(default_factory=Options)


@dataclass(frozen=True)
class Optim:
    """How the weights are trained. Budgets are steps, never seconds, so that a seed determines the result."""

    steps: int = setting(1400, "optimiser steps", least=1)
    batch_size: int = setting(128, "images a step, all processes together", least=1)
    learning_rate: float = setting(2e-3, "peak rate of AdamW: synapses, units, biases, norms", above=0)
    muon_learning_rate: float = setting(
        0.05, "peak rate of Muon: dense and convolution matrices; 0 leaves them to AdamW", least=0
    )
    synapse_learning_rate: float = setting(
        0.0, "peak rate of AdamW for the weights and filters of synapses; 0: learning_rate", least=0
    )
    weight_decay: float = setting(0.02, "decay of all matrices", least=0)
    label_smoothing: float = setting(
        0.0, "share of the target that is spread over all classes", least=0, below=1, task=CLASSIFIER_ONLY
    )
    warmup: int = setting(100, "steps of rising learning rate, before the cosine", least=0)
    ema: float = setting(0.998, "decay of the averaged weights that are evaluated and saved; 0: none", least=0, below=1)
    clip: float = setting(0.0, "largest norm of the gradient; 0: no limit", least=0)
    validate_every: int = setting(100, "approximate number of steps between validations", least=1)
    patience: int = setting(0, "validations without a better one after which training ends; 0: never", least=0)
    seed: int = setting(0, "seed of the first weights, the order of the images and their changes", least=0, below=2**32)


@dataclass(frozen=True)
class Augment:
    """How the training images are changed."""

    augment: str = setting(
        "shift",
        "none, shift, strong (turned, scaled, sheared, moved and bent) or crop-flip (moved and mirrored)",
        choices=("none", "shift", "strong", "crop-flip"),
    )
    augment_share: float = setting(
        0.5, "share of the images that strong changes; the others shift", least=0, most=1, only=("augment", ("strong",))
    )
    shift: int = setting(1, "images move by up to this many pixels each way", least=0, unless=("augment", "none"))
    flip: str = setting(
        "random",
        "when crop-flip mirrors an image: none, random, or alternating (every second epoch)",
        choices=("none", "random", "alternating"),
        only=("augment", ("crop-flip",)),
    )
    erase: float = setting(
        0.0,
        "share of the images in which crop-flip paints a random rectangle over; 0: none",
        least=0,
        most=1,
        only=("augment", ("crop-flip",)),
    )
    cutout: int = setting(
        0, "side of the square that crop-flip blanks; 0: none", least=0, only=("augment", ("crop-flip",))
    )


@dataclass(frozen=True)
class Machine:
    """What it runs on."""

    precision: str = setting("32", "32, or mixed: bf16 or 16", choices=("32", "bf16", "16"))
    threads: int = setting(0, "CPU threads; 0: torch's choice", least=0)
    accelerator: str = setting("cpu", "cpu, gpu or auto", choices=("cpu", "gpu", "auto"))
    devices: int = setting(1, "processes on each machine", least=1)
    nodes: int = setting(1, "machines", least=1)

    @property
    def processes(self) -> int:
        """Processes on all machines."""
        return self.devices * self.nodes


GROUPS: tuple[type, ...] = (Data, Graph, Model, Core, Optim, Augment, Machine)


@cache
def declared(task: str) -> dict[str, Field[Any]]:
    """The settings of a task by name, in the order of the help text."""
    every = {item.name: item for group in GROUPS for item in fields(group) if item.metadata}
    return {name: item for name, item in every.items() if item.metadata["task"] in ("", task)}


@cache
def type_of(name: str) -> type:
    """The type of a setting."""
    kind: type = next(hints[name] for hints in map(get_type_hints, GROUPS) if name in hints)
    return kind


def check_value(name: str, value: Any, item: Field[Any]) -> None:
    """Refuse a value of another type, out of range or not among the choices."""
    kind, about = type_of(name), item.metadata
    fits = isinstance(value, int | float if kind is float else kind)
    if not fits or (isinstance(value, bool) and kind is not bool):
        raise invalid(name, f"of type {kind.__name__}", repr(value), f"use {name}={item.default!r}")
    if about["choices"] and value not in about["choices"]:
        raise unknown_name(name, value, about["choices"])
    if kind in (int, float):
        about["range"].check(name, value, f"use {name}={item.default}")


def check_size(augment: Augment, size: int) -> None:
    """Refuse changes that would leave nothing of images of this height and width."""
    for name, value in (("shift", augment.shift), ("cutout", augment.cutout)):
        if value >= size and augment.augment != "none":
            raise invalid(name, f"< {size}, the size of the images", value, f"use {name}={size // 4}")


def without_effect(item: Field[Any], chosen: Mapping[str, Any]) -> str:
    """The other setting with which this one has no effect, as name=value; empty if it has one."""
    only, unless = item.metadata["only"], item.metadata["unless"]
    if only and chosen[only[0]] not in only[1]:
        return f"{only[0]}={chosen[only[0]]}"
    if unless and chosen[unless[0]] == unless[1]:
        return f"{unless[0]}={unless[1]}"
    return ""
