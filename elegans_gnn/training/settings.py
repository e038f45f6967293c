"""Everything a training run depends on, each setting once: name, type, default, range and one line of help.

Settings are written by their plain names, in Python (``AutoencoderConfig(steps=2000, leak=0.3)``), in a YAML file
(``steps: 2000``) and on the command line (``--steps 2000``), and read by group (``config.optim.steps``). The options of
a model and of its core are not listed here: they are the keywords of the model's class, see
:func:`elegans_gnn.models.options_of`, and are refused unless that class takes them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from functools import cache
from typing import Any, ClassVar, Self, get_type_hints

from elegans_gnn.datasets import DATA, data_set_of
from elegans_gnn.errors import invalid, unknown_name
from elegans_gnn.training.model_options import (
    OptionTable,
    checked_options,
    idle_settings,
    model_chooser,
    no_effect,
    option_name,
    options_of_choice,
)
from elegans_gnn.training.old_formats import FORMAT, is_whole, settings_of, with_new_names
from elegans_gnn.training.presets import AUTOENCODER, CLASSIFIER, Recipes

CLASSIFIER_ONLY = "classifier"


def setting(
    default: Any,
    help: str,
    *,
    least: float = -math.inf,
    above: float = -math.inf,
    most: float = math.inf,
    below: float = math.inf,
    choices: tuple[str, ...] = (),
    only: tuple[str, tuple[str, ...]] | None = None,
    unless: tuple[str, str] | None = None,
    task: str = "",
) -> Any:
    """A field of a group of settings.

    Args:
        default: the value if none is given.
        help: one line for the command line.
        least, above, most, below: the range: value >= least, > above, <= most, < below.
        choices: the only values.
        only: another setting, and its values with which this one has an effect.
        unless: another setting, and its value with which this one has no effect.
        task: the only task that has this setting.
    """
    limits = {"least": least, "above": above, "most": most, "below": below}
    named = {"help": help, "choices": choices, "only": only, "unless": unless, "task": task}
    return field(default=default, metadata={**limits, **named})


@dataclass(frozen=True)
class Data:
    """The images."""

    data: str = setting("mnist5k", "a folder with MNIST's idx files, or a data set (mnist5k: no download)")
    data_dir: str = setting("downloads", "where torchvision keeps data sets")
    fold: int = setting(0, "which fifth of the digits is the test part", least=0, most=4, task=CLASSIFIER_ONLY)


@dataclass(frozen=True)
class Graph:
    """The wiring diagram."""

    connectome: str = setting("varshney2011", "a name of `elegans-gnn connectome list`, or a path to GraphML or CSV")
    graph: str = setting("original", "the wiring itself, or a random graph drawn like it")
    graph_seed: int = setting(0, "seed of the random graph", least=0, unless=("graph", "original"))


@dataclass(frozen=True)
class Model:
    """The model and its core."""

    model: str = setting("elegans", "our model, or a baseline")
    core: str = setting("message-passing", "what carries the signal from the input neurons to the output neurons")
    backbone: str = setting(
        "", "a model of torchvision, or timm/NAME, whose head becomes the connectome", task=CLASSIFIER_ONLY
    )
    # The keywords of the model's class and of its core, by the names of their settings.
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Optim:
    """How the weights are trained. Budgets are steps, never seconds, so that a seed determines the result."""

    steps: int = setting(1400, "optimiser steps", least=1)
    batch_size: int = setting(128, "images a step, all processes together", least=1)
    learning_rate: float = setting(2e-3, "peak rate of AdamW: synapses, units, biases, norms", above=0)
    muon_learning_rate: float = setting(
        0.05, "peak rate of Muon: dense and convolution matrices; 0 leaves them to AdamW", least=0
    )
    weight_decay: float = setting(0.02, "decay of all matrices", least=0)
    label_smoothing: float = setting(
        0.0, "share of the target that is spread over all classes", least=0, below=1, task=CLASSIFIER_ONLY
    )
    warmup: int = setting(100, "steps of rising learning rate, before the cosine", least=0)
    ema: float = setting(0.998, "decay of the averaged weights that are evaluated and saved; 0: none", least=0, below=1)
    clip: float = setting(0.0, "largest norm of the gradient; 0: no limit", least=0)
    validate_every: int = setting(100, "steps between validations, about", least=1)
    patience: int = setting(0, "validations without a better one after which training ends; 0: never", least=0)
    seed: int = setting(0, "seed of the first weights, the order of the images and their changes", least=0, below=2**32)


@dataclass(frozen=True)
class Augment:
    """How the training images are changed."""

    augment: str = setting(
        "shift",
        "none, shift, strong (turned, scaled, sheared, moved and bent) or crop-flip",
        choices=("none", "shift", "strong", "crop-flip"),
    )
    augment_share: float = setting(
        0.5, "share of the images that strong changes; the others shift", least=0, most=1, only=("augment", ("strong",))
    )
    shift: int = setting(1, "images move by up to this many pixels each way", least=0, unless=("augment", "none"))
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


GROUPS: tuple[type, ...] = (Data, Graph, Model, Optim, Augment, Machine)


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


@dataclass(frozen=True, init=False)
class TrainingConfig:
    """Everything a run depends on; together with the data it determines the result.

    Use :class:`AutoencoderConfig` or :class:`ClassifierConfig`. Settings are given by name: those of the groups, and
    the options of the model and its core (:func:`elegans_gnn.models.options_of`). :meth:`changed` gives a copy.

    Raises:
        ValueError: an unknown setting, one out of range, or one that has no effect with the others.
    """

    task: ClassVar[str] = ""
    recipes: ClassVar[Recipes] = {}

    data: Data
    graph: Graph
    model: Model
    optim: Optim
    augment: Augment
    machine: Machine

    def __init__(self, **settings: Any) -> None:
        self._fill({}, settings)

    @classmethod
    def _made(cls, recipe: Mapping[str, Any], settings: Mapping[str, Any]) -> Self:
        config = object.__new__(cls)
        config._fill(recipe, settings)
        return config

    def _fill(self, recipe: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
        """Take what a recipe says where it has an effect, and what the user says, or refuse it."""
        settings = with_new_names(self.task, settings)
        known = declared(self.task)
        for name, item in known.items():
            if name in settings:
                _check(name, settings[name], item)
        chosen = {name: item.default for name, item in known.items()}
        chosen |= {name: value for name, value in {**recipe, **settings}.items() if name in known}
        for name in recipe.keys() - settings.keys():
            if name in known and _without_effect(known[name], chosen):
                chosen[name] = known[name].default
        for group in GROUPS:
            mine = {item.name: chosen[item.name] for item in fields(group) if item.name in chosen}
            object.__setattr__(self, group.__name__.lower(), group(**mine))
        self._check_together(chosen)
        options = {name: value for name, value in settings.items() if name not in known}
        usual = {name: value for name, value in recipe.items() if name not in known}
        # The options of a recipe are meant for our own model; a test holds them to its class.
        if options or self.model.model != "elegans" or self.model.backbone:
            taken = self.known_options()
            options = checked_options(self.task, self.model, options, list(known))
            usual = {name: value for name, value in usual.items() if name in taken}
            self._check_model(chosen)
        self.model.options.update({**usual, **options})

    def _check_together(self, chosen: Mapping[str, Any]) -> None:
        for name, item in declared(self.task).items():
            idle = _without_effect(item, chosen)
            if idle and chosen[name] != item.default:
                raise no_effect(name, chosen[name], idle)
        if chosen.get("fold") and chosen["data"] in DATA and not DATA[chosen["data"]].folds:
            raise no_effect("fold", chosen["fold"], f"data={chosen['data']}")
        if self.machine.precision == "16" and self.machine.accelerator == "cpu":
            raise invalid("precision", "32 or bf16 on the CPU", "16", "use precision=bf16, or accelerator=gpu")
        size, processes = self.optim.batch_size, self.machine.processes
        if size % processes:
            remedy = f"use batch_size={-(-size // processes) * processes}"
            raise invalid("batch_size", f"a multiple of the {processes} processes", size, remedy)
        _ = self.validation_interval  # refuses what it cannot divide

    def _check_model(self, chosen: Mapping[str, Any]) -> None:
        """Refuse what has no effect with a backbone or a baseline."""
        chooser = model_chooser(self.model)
        idle = idle_settings(self.task, self.model)
        for name in idle:
            if chosen[name] != declared(self.task)[name].default:
                raise no_effect(name, chosen[name], chooser)

    @property
    def validation_interval(self) -> int:
        """Steps between validations: the divisor of `steps` nearest to `validate_every`, so that the last step counts.

        Raises:
            ValueError: no divisor lies between half and twice `validate_every`.
        """
        steps, wanted = self.optim.steps, min(self.optim.validate_every, self.optim.steps)
        near = [n for n in range(max(1, wanted // 2), min(2 * wanted, steps) + 1) if steps % n == 0]
        if not near:
            remedy = f"use steps={-(-steps // wanted) * wanted}"
            raise invalid("steps", f"a multiple of a number near validate_every={wanted}", steps, remedy)
        return min(near, key=lambda interval: (abs(interval - wanted), interval))

    def known_options(self) -> OptionTable:
        """The options that the model and its core take, by the name of their setting; imports torch."""
        return options_of_choice(self.task, self.model, list(declared(self.task)))

    def model_keywords(self) -> dict[str, Any]:
        """The keywords of the model's class that differ from its own defaults, after the connectome."""
        known, core = declared(self.task), self.model.core
        own = {} if core == known["core"].default else {"core": core}
        return own | {option_name(name, known): value for name, value in self.model.options.items()}

    def changed(self, **settings: Any) -> Self:
        """A copy with other settings."""
        return type(self)(**{**self.given(), **settings})

    def given(self) -> dict[str, Any]:
        """The settings that differ from their defaults, and the options that were given, by name."""
        known = declared(self.task)
        every = self.settings()
        return {name: value for name, value in every.items() if name not in known or value != known[name].default}

    def resolved(self) -> Self:
        """The same configuration with every option of the model and its core written out; imports torch."""
        usual = {name: option.default for name, option in self.known_options().items()}
        return self._made({**usual, **self.settings()}, {})

    def settings(self) -> dict[str, Any]:
        """All settings and the options that were given, by name."""
        groups = [getattr(self, group.__name__.lower()) for group in GROUPS]
        every = {item.name: getattr(group, item.name) for group in groups for item in fields(group)}
        return {**{name: every[name] for name in declared(self.task)}, **self.model.options}

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON and checkpoints hold them, with the version of the format and the task."""
        return {"format": FORMAT, "task": self.task, **self.settings()}

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Rebuild (and check) what :meth:`to_dict` wrote, in this release or an earlier one."""
        if not isinstance(plain, Mapping):
            raise invalid("configuration", "settings by name", type(plain).__name__, "such as {'steps': 2000}")
        if is_whole(plain):
            plain = settings_of(plain, cls.task)
        return cls(**{str(name): value for name, value in plain.items()})

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """A named recipe for the data set, changed by what is given.

        Args:
            name: ``"smoke"`` (seconds, the figures mean nothing), ``"demo"`` (minutes) or ``"headline"`` (the best).
            changes: settings that differ from the recipe; `data` also chooses which recipe is meant.
        """
        known = cls._recipes_for(changes)
        if name not in known:
            raise unknown_name("preset", name, known)
        return cls._made(known[name], changes)

    @classmethod
    def smoke_preset(cls, name: str, **changes: Any) -> Self:
        """The recipe of :meth:`preset` cut to seconds, changed by what is given."""
        known = cls._recipes_for(changes)
        if name not in known:
            raise unknown_name("preset", name, known)
        return cls._made({**known[name], **cls._smoke_cut(changes)}, changes)

    def smoke(self) -> Self:
        """The same run cut to seconds: every part is used, the figures mean nothing."""
        return self._made({**self.given(), **self._smoke_cut(self.settings())}, {})

    @classmethod
    def _smoke_cut(cls, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """What a run of seconds has instead of the demo's settings."""
        known = cls._recipes_for(chosen)
        return {name: value for name, value in known["smoke"].items() if value != known["demo"].get(name)}

    @classmethod
    def _recipes_for(cls, chosen: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
        data = chosen.get("data", "")
        family = DATA[data_set_of(data)].family if isinstance(data, str) else ""
        return cls.recipes.get(family, cls.recipes[""])


@dataclass(frozen=True, init=False)
class AutoencoderConfig(TrainingConfig):
    """A reconstruction run, see :class:`TrainingConfig`."""

    task = "autoencoder"
    recipes = AUTOENCODER


@dataclass(frozen=True, init=False)
class ClassifierConfig(TrainingConfig):
    """A classification run, see :class:`TrainingConfig`."""

    task = "classifier"
    recipes = CLASSIFIER


CONFIGS: dict[str, type[TrainingConfig]] = {"autoencoder": AutoencoderConfig, "classifier": ClassifierConfig}


def range_of(item: Field[Any]) -> str:
    """The range of a setting in words; empty where there is none."""
    least, above, most, below = (item.metadata[bound] for bound in ("least", "above", "most", "below"))
    if below < math.inf:
        return f"in [{least}, {below})"
    if most < math.inf:
        return f"{least} to {most}" if type_of(item.name) is int else f"in [{least}, {most}]"
    return "positive" if above == 0 else f">= {least}" if least > -math.inf else ""


def _check(name: str, value: Any, item: Field[Any]) -> None:
    """Refuse a value of another type, out of range or not among the choices."""
    kind, about = type_of(name), item.metadata
    fits = isinstance(value, int | float if kind is float else kind)
    if not fits or (isinstance(value, bool) and kind is not bool):
        raise invalid(name, f"of type {kind.__name__}", repr(value), f"use {name}={item.default!r}")
    if about["choices"] and value not in about["choices"]:
        raise unknown_name(name, value, about["choices"])
    if kind is str:
        return
    least, above, most, below = (about[bound] for bound in ("least", "above", "most", "below"))
    if not (least <= value <= most and above < value < below):
        usual = max(least, item.default) if kind is int else item.default
        raise invalid(name, range_of(item), value, f"use {name}={usual}")


def _without_effect(item: Field[Any], chosen: Mapping[str, Any]) -> str:
    """The other setting with which this one has no effect, as name=value; empty if it has one."""
    only, unless = item.metadata["only"], item.metadata["unless"]
    if only and chosen[only[0]] not in only[1]:
        return f"{only[0]}={chosen[only[0]]}"
    if unless and chosen[unless[0]] == unless[1]:
        return f"{unless[0]}={unless[1]}"
    return ""
