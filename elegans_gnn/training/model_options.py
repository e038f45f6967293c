"""The options of the chosen model and its core as settings: which there are, and whether given ones fit.

They come from the classes themselves (:func:`elegans_gnn.models.options_of`), so torch is imported at first use.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from elegans_gnn.errors import InvalidArgumentError, invalid, unknown_name

if TYPE_CHECKING:
    from elegans_gnn.models import ImageModel, Option

    OptionTable: TypeAlias = dict[str, Option]
else:
    OptionTable = dict

# An option that bears the name of a setting has this in front of it: --core-steps, not --steps.
CORE = "core_"


class Choice(Protocol):
    """The settings that choose a model."""

    @property
    def model(self) -> str: ...
    @property
    def core(self) -> str: ...
    @property
    def backbone(self) -> str: ...


def class_of(task: str, choice: Choice) -> type[ImageModel]:
    """The class of the chosen model.

    Raises:
        ValueError: no such model.
    """
    from elegans_gnn.models import MODELS, BackboneClassifier

    if choice.backbone:
        return BackboneClassifier
    if choice.model not in MODELS[task]:
        raise unknown_name("model", choice.model, MODELS[task])
    return MODELS[task][choice.model]


def uses_connectome(task: str, choice: Choice) -> bool:
    """Whether the chosen model is built on a connectome."""
    from elegans_gnn.models import uses_connectome

    return bool(choice.backbone) or uses_connectome(task, choice.model)


def options_of_choice(task: str, choice: Choice, settings: Collection[str]) -> OptionTable:
    """The options of the chosen model and core, by the name of their setting.

    Args:
        task: of the model.
        choice: model, core and backbone.
        settings: names that are taken; an option of such a name gets ``core_`` in front.
    """
    from elegans_gnn.models import options_of

    own = {"core", "backbone"}
    found = options_of(class_of(task, choice), choice.core)
    return {setting_name(name, settings): option for name, option in found.items() if name not in own}


def setting_name(option: str, settings: Collection[str]) -> str:
    """The name of an option among the settings."""
    return CORE + option if option in settings else option


def option_name(setting: str, settings: Collection[str]) -> str:
    """The option that a setting stands for, the reverse of :func:`setting_name`."""
    bare = setting.removeprefix(CORE)
    return bare if bare in settings else setting


def checked_options(task: str, choice: Choice, options: Mapping[str, Any], settings: Collection[str]) -> dict[str, Any]:
    """The given options, each of its type.

    Raises:
        ValueError: an unknown one, one that the chosen model and core do not take, or a value of another type.
    """
    known = options_of_choice(task, choice, settings)
    for name, value in options.items():
        if name not in known:
            raise _not_taken(task, choice, name, value, [*settings, *known], settings)
    return {name: _checked(name, value, known[name]) for name, value in options.items()}


def _not_taken(
    task: str, choice: Choice, name: str, value: Any, known: Collection[str], settings: Collection[str]
) -> InvalidArgumentError:
    from elegans_gnn.models import CORES, BackboneClassifier, core_options, models_with_option

    option = option_name(name, settings)
    if any(option in core.python_only for core in CORES.values()):
        return invalid(name, "omitted here", repr(value), "pass it to the class in Python")
    if uses_connectome(task, choice) and any(option in core_options(core) for core in CORES):
        return no_effect(name, value, f"core={choice.core}")
    if models_with_option(task, option):
        return no_effect(name, value, model_chooser(choice))
    if task == "classifier" and option in BackboneClassifier.options():
        return no_effect(name, value, model_chooser(choice), "omit it, or use backbone=resnet18")
    return unknown_name("setting", name, known)


def _checked(name: str, value: Any, option: Option) -> Any:
    if value is None or value == "none":
        if option.optional:
            return None
        if value is None:
            raise invalid(
                name, f"of type {option.type.__name__}", "nothing", f"omit it, or use {name}={option.default!r}"
            )
    if option.many and isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return list(value)
    fits = isinstance(value, int | float if option.type is float else option.type)
    if not fits or (isinstance(value, bool) and option.type is not bool):
        raise invalid(name, f"of type {option.type.__name__}", repr(value), f"use {name}={option.default!r}")
    if option.choices and value not in option.choices:
        raise unknown_name(name, value, option.choices)
    return value


def idle_settings(task: str, choice: Choice) -> tuple[str, ...]:
    """The settings that have no effect on the chosen model."""
    if choice.backbone:
        return ("model",)
    return () if uses_connectome(task, choice) else ("connectome", "graph", "graph_seed", "core")


def model_chooser(choice: Choice) -> str:
    """The setting that chose the model, as name=value."""
    return f"backbone={choice.backbone}" if choice.backbone else f"model={choice.model}"


def no_effect(name: str, value: Any, other: str, remedy: str = "omit it") -> InvalidArgumentError:
    """The error for a setting that changes nothing with another one, given as name=value."""
    return InvalidArgumentError(f"{name} has no effect with {other}, got {value!r}; {remedy}")
