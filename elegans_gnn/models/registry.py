"""Models by task and name, and the one function that builds them."""

from __future__ import annotations

import inspect
from typing import Any

from elegans_gnn.connectome import Connectome
from elegans_gnn.errors import invalid, unknown_name
from elegans_gnn.models._base import MODELS, ImageModel
from elegans_gnn.models.cores import core_options


def models_of(task: str) -> dict[str, type[ImageModel]]:
    """The models of a task by name; refuses an unknown task."""
    if task not in MODELS:
        raise unknown_name("task", task, MODELS)
    return MODELS[task]


def model_class(task: str, name: str) -> type[ImageModel]:
    """The class of a model; refuses unknown names."""
    models = models_of(task)
    if name not in models:
        raise unknown_name("model", name, models)
    return models[name]


def uses_connectome(task: str, name: str) -> bool:
    """Whether a model is built on a connectome."""
    return "connectome" in inspect.signature(model_class(task, name)).parameters


def model_arguments(task: str, name: str, core: str = "message-passing") -> tuple[str, ...]:
    """Names of the keywords that :func:`build_model` takes for a model, with the options of its core, if it has one."""
    named = inspect.signature(model_class(task, name)).parameters.values()
    own = [p.name for p in named if p.kind is not inspect.Parameter.VAR_KEYWORD and p.name != "connectome"]
    others = core_options(core) if "core" in own else model_class(task, name).options()
    return (*own, *(option for option in others if option not in own))


def build_model(task: str, name: str, *, connectome: Connectome | None = None, **arguments: Any) -> ImageModel:
    """Build a model by name.

    Args:
        task: a key of :data:`MODELS`.
        name: a model of that task.
        connectome: needed if :func:`uses_connectome`; the other models ignore it.
        arguments: for the model, see :func:`model_arguments`.

    Raises:
        ValueError: an unknown task, model or argument, a missing connectome, or an argument the model cannot use.
    """
    build = model_class(task, name)
    known = model_arguments(task, name, arguments.get("core", "message-passing"))
    for argument in arguments:
        if argument not in known:
            raise unknown_name("argument", argument, known)
    if not uses_connectome(task, name):
        return build(**arguments)
    if connectome is None:
        raise invalid("connectome", f"given for the {task} {name!r}", None, "pass load_connectome('varshney2011')")
    return build(connectome, **arguments)
