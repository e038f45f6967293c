"""The configuration of a run: settings written by their plain names, checked together, read by group.

Settings are written flat, in Python (``AutoencoderConfig(steps=2000, leak=0.3)``), in a YAML file (``steps: 2000``) and
on the command line (``--steps 2000``), and read by group (``config.optim.steps``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Self

from elegans_gnn.datasets import DATA, data_set_of
from elegans_gnn.errors import invalid, unknown_name
from elegans_gnn.training.model_options import (
    checked_options,
    idle_settings,
    known_options,
    no_effect,
    option_name,
)
from elegans_gnn.training.old_formats import FORMAT, is_whole, settings_of, with_new_names
from elegans_gnn.training.presets import AUTOENCODER, CLASSIFIER, Recipes
from elegans_gnn.training.settings import (
    GROUPS,
    Augment,
    Core,
    Data,
    Graph,
    Machine,
    Model,
    Optim,
    Options,
    check_size,
    check_value,
    declared,
    without_effect,
)


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
    core: Core
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
                if item.metadata["choices"] and type(settings[name]) is int:
                    settings[name] = str(settings[name])  # precision=32
                check_value(name, settings[name], item)
        chosen = {name: item.default for name, item in known.items()}
        chosen |= {name: value for name, value in {**recipe, **settings}.items() if name in known}
        idle = self._idle(chosen)
        for name in recipe.keys() - settings.keys():
            if name in known and (name in idle or without_effect(known[name], chosen)):
                chosen[name] = known[name].default
        for group in GROUPS:
            mine = {item.name: chosen[item.name] for item in fields(group) if item.name in chosen}
            object.__setattr__(self, group.__name__.lower(), group(**mine))
        self._check_together(chosen)
        options, usual = ({k: v for k, v in given.items() if k not in known} for given in (settings, recipe))
        of_model, of_core = Options(usual), Options()
        # The options of a recipe are meant for our own model; a test holds them to its class.
        if options or self.model.model != "elegans" or self.model.backbone:
            of_model, of_core = checked_options(self.task, self.model, self.core, options, usual)
        for name in idle:
            if chosen[name] != known[name].default:
                raise no_effect(name, chosen[name], idle[name])
        object.__setattr__(self, "model", replace(self.model, options=of_model))
        object.__setattr__(self, "core", replace(self.core, options=of_core))

    def _idle(self, chosen: Mapping[str, Any]) -> dict[str, str]:
        """The settings that have no effect on the chosen model, see :func:`idle_settings`."""
        model, core = Model(model=chosen["model"], backbone=chosen.get("backbone", "")), Core(core=chosen["core"])
        # Ours needs no look at its class, which would import torch.
        return {} if (model, core) == (Model(), Core()) else idle_settings(self.task, model, core)

    def _check_together(self, chosen: Mapping[str, Any]) -> None:
        for name, item in declared(self.task).items():
            idle = without_effect(item, chosen)
            if idle and chosen[name] != item.default:
                raise no_effect(name, chosen[name], idle)
        if chosen.get("fold") and chosen["data"] in DATA and not DATA[chosen["data"]].folds:
            raise no_effect("fold", chosen["fold"], f"data={chosen['data']}")
        if chosen["data"] in DATA:
            check_size(self.augment, DATA[chosen["data"]].shape[1])
        if self.machine.precision == "16" and self.machine.accelerator == "cpu":
            raise invalid("precision", "32 or bf16 on the CPU", "16", "use precision=bf16, or accelerator=gpu")
        size, processes = self.optim.batch_size, self.machine.processes
        if size % processes:
            remedy = f"use batch_size={-(-size // processes) * processes}"
            raise invalid("batch_size", f"a multiple of the {processes} processes", size, remedy)
        _ = self.validation_interval  # refuses what it cannot divide

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

    def model_keywords(self) -> dict[str, Any]:
        """The keywords of the model's class that differ from its own defaults, after the connectome."""
        own = {} if self.core.core == Core().core else {"core": self.core.core}
        return own | {option_name(name, self.task): value for name, value in self._options().items()}

    def changed(self, **settings: Any) -> Self:
        """A copy with other settings. With another model, options that have their defaults are left to it."""
        given = self.given()
        if settings.keys() & {"model", "core", "backbone"} and self._options():
            usual = known_options(self.task, self.model, self.core)
            given = {k: v for k, v in given.items() if k not in usual or v != usual[k].default}
        return type(self)(**{**given, **settings})

    def given(self) -> dict[str, Any]:
        """The settings that differ from their defaults, and the options that were given, by name."""
        known = declared(self.task)
        every = self.settings()
        return {name: value for name, value in every.items() if name not in known or value != known[name].default}

    def resolved(self) -> Self:
        """The same configuration with every option of the model and its core written out; imports torch."""
        known = known_options(self.task, self.model, self.core)
        return type(self)(**{**{name: option.default for name, option in known.items()}, **self.settings()})

    def settings(self) -> dict[str, Any]:
        """All settings and the options that were given, by name."""
        groups = [getattr(self, group.__name__.lower()) for group in GROUPS]
        every = {item.name: getattr(group, item.name) for group in groups for item in fields(group)}
        return {**{name: every[name] for name in declared(self.task)}, **self._options()}

    def _options(self) -> dict[str, Any]:
        return {**self.model.options, **self.core.options}

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON and checkpoints hold them, with the version of the format and the task."""
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in self.settings().items()}
        return {"format": FORMAT, "task": self.task, **plain}

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
        return cls._made(cls._recipe(name, changes), changes)

    @classmethod
    def smoke_preset(cls, name: str, **changes: Any) -> Self:
        """The recipe of :meth:`preset` cut to seconds, changed by what is given."""
        return cls._made({**cls._recipe(name, changes), **cls._smoke_cut(changes)}, changes)

    def smoke(self) -> Self:
        """The same run cut to seconds: every part is used, the figures mean nothing."""
        cut = self._smoke_cut(self.settings())
        cut["batch_size"] = -(-cut["batch_size"] // self.machine.processes) * self.machine.processes
        return self._made(cut, {name: value for name, value in self.given().items() if name not in cut})

    @classmethod
    def _smoke_cut(cls, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """What a run of seconds has instead of the demo's settings."""
        smoke, demo = (cls._recipe(name, chosen) for name in ("smoke", "demo"))
        return {name: value for name, value in smoke.items() if value != demo.get(name)}

    @classmethod
    def _recipe(cls, name: str, chosen: Mapping[str, Any]) -> Mapping[str, Any]:
        data = chosen.get("data", "")
        keys = (data, DATA[data_set_of(data)].family, "") if isinstance(data, str) else ("",)
        known = next(cls.recipes[key] for key in keys if key in cls.recipes)
        if name not in known:
            raise unknown_name("preset", name, known)
        return known[name]


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
