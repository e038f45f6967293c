"""The configuration of a run: settings written by their plain names, checked together, read by group.

Settings are written flat, in Python (``AutoencoderConfig(steps=2000, leak=0.3)``), in a YAML file (``steps: 2000``) and
on the command line (``--steps 2000``), and read by group (``config.optim.steps``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

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
from elegans_gnn.training.settings import (
    GROUPS,
    Augment,
    Data,
    Graph,
    Machine,
    Model,
    Optim,
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
                check_value(name, settings[name], item)
        chosen = {name: item.default for name, item in known.items()}
        chosen |= {name: value for name, value in {**recipe, **settings}.items() if name in known}
        for name in recipe.keys() - settings.keys():
            if name in known and without_effect(known[name], chosen):
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
            idle = without_effect(item, chosen)
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
