"""The options of the chosen model and its core as settings: which there are, and whether given ones fit.

They come from the classes themselves (:func:`elegans_gnn.models.options_of`), so torch is imported at first use.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from elegans_gnn.errors import InvalidArgumentError, invalid, unknown_name
from elegans_gnn.training.settings import Core, Model, Options, declared

if TYPE_CHECKING:
    from elegans_gnn.models import ImageModel, Option

# An option that has the name of a setting gets this in front: --core-steps, since --steps is the optimiser's.
CORE = "core_"
# Other cores than message passing train no synapses.
SYNAPSE_RATE = "synapse_learning_rate"


def class_of(task: str, chosen: Model) -> type[ImageModel]:
    """The class of the chosen model.

    Raises:
        ValueError: no such model.
    """
    from elegans_gnn.models import MODELS, BackboneClassifier

    if chosen.backbone:
        return BackboneClassifier
    if chosen.model not in MODELS[task]:
        raise unknown_name("model", chosen.model, MODELS[task])
    return MODELS[task][chosen.model]


def uses_connectome(task: str, chosen: Model) -> bool:
    """Whether the chosen model is built on a connectome."""
    return chosen.backbone != "" or "connectome" in inspect.signature(class_of(task, chosen)).parameters


def known_options(task: str, chosen: Model, core: Core) -> dict[str, Option]:
    """The options of the chosen model and core, by the name of their setting."""
    from elegans_gnn.models import options_of

    found, settings = options_of(class_of(task, chosen), core.core), declared(task)
    return {CORE * (name in settings) + name: option for name, option in found.items() if name != "core"}


def option_name(setting: str, task: str) -> str:
    """The keyword of the model's class that a setting gives."""
    bare = setting.removeprefix(CORE)
    return bare if bare in declared(task) else setting


def checked_options(
    task: str, chosen: Model, core: Core, options: Mapping[str, Any], usual: Mapping[str, Any]
) -> tuple[Options, Options]:
    """The given options of the model and those of its core, each of its type, after those of a recipe that they take.

    Raises:
        ValueError: an unknown one, one that the chosen model and core do not take, or a value of another type.
    """
    known = known_options(task, chosen, core)
    for name, value in options.items():
        if name not in known:
            raise _not_taken(task, chosen, core, name, value, [*declared(task), *known])
    found = {name: value for name, value in usual.items() if name in known}
    found |= {name: _checked(name, value, known[name]) for name, value in options.items()}
    own = class_of(task, chosen).options()
    of_model = {name: value for name, value in found.items() if option_name(name, task) in own}
    return Options(of_model), Options({name: value for name, value in found.items() if name not in of_model})


def _not_taken(task: str, chosen: Model, core: Core, name: str, value: Any, known: list[str]) -> InvalidArgumentError:
    from elegans_gnn.models import CORES, BackboneClassifier, core_options, models_with_option

    option = option_name(name, task)
    if any(option in build.python_only for build in CORES.values()):
        return invalid(name, "omitted here", repr(value), "pass it to the class in Python")
    if "core" in class_of(task, chosen).options() and any(option in core_options(other) for other in CORES):
        return no_effect(name, value, f"core={core.core}")
    if models_with_option(task, option):
        return no_effect(name, value, chooser(chosen))
    if task == "classifier" and option in BackboneClassifier.options():
        return no_effect(name, value, chooser(chosen), "omit it, or use backbone=resnet18")
    return unknown_name("setting", name, known)


def _checked(name: str, value: Any, option: Option) -> Any:
    if option.optional and (value is None or value == "none"):
        return None
    if option.many and not (isinstance(value, str) and isinstance(option.default, str)):
        return _checked_list(name, value, option)
    fits = isinstance(value, int | float if option.type is float else option.type)
    if not fits or (isinstance(value, bool) and option.type is not bool):
        raise invalid(name, f"of type {option.type.__name__}", repr(value), f"use {name}={option.default!r}")
    if option.choices and value not in option.choices:
        raise unknown_name(name, value, option.choices, "none" if option.optional else "")
    if option.range is not None:
        option.range.check(name, value, f"use {name}={option.default!r}")
    return value


def _checked_list(name: str, value: Any, option: Option) -> tuple[Any, ...]:
    """Several values, such as ``["SI", "IM"]`` or the text ``SI,IM``; of neurons also indices."""
    items = value.split(",") if isinstance(value, str) else value
    kinds = (str, int) if isinstance(option.default, str) else (str, option.type, int)
    if not isinstance(items, list | tuple) or not all(isinstance(i, kinds) and not isinstance(i, bool) for i in items):
        raise invalid(name, f"a list of {option.type.__name__}", repr(value), f"use {name}={option.default!r}")
    try:
        return tuple(map(float, items)) if option.type is float else tuple(items)
    except ValueError:
        raise invalid(name, "a list of numbers", repr(value), "such as 0.5,0.5,0.5") from None


def idle_settings(task: str, chosen: Model, core: Core) -> dict[str, str]:
    """The settings that have no effect on the chosen model, each with the setting that makes it idle, as name=value."""
    build = class_of(task, chosen)
    found = {"model": chooser(chosen)} if chosen.backbone else {}
    if not uses_connectome(task, chosen):
        found |= dict.fromkeys(("connectome", "graph", "graph_seed", SYNAPSE_RATE), chooser(chosen))
    if "core" not in build.options():
        found["core"] = chooser(chosen)
    elif core.core != Core().core:
        found[SYNAPSE_RATE] = f"core={core.core}"
    return found


def chooser(chosen: Model) -> str:
    """The setting that chose the model, as name=value."""
    return f"backbone={chosen.backbone}" if chosen.backbone else f"model={chosen.model}"


def no_effect(name: str, value: Any, other: str, remedy: str = "omit it") -> InvalidArgumentError:
    """The error for a setting that changes nothing with another one, given as name=value."""
    return InvalidArgumentError(f"{name} has no effect with {other}, got {value!r}; {remedy}")
