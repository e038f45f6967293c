"""The options of models and cores as a command line shows them: type, default and help, from the classes themselves."""

from __future__ import annotations

import collections.abc
import inspect
import re
import sys
import types
import typing
from dataclasses import dataclass, replace
from typing import Any

from elegans_gnn.errors import Range
from elegans_gnn.models._base import Configurable, ImageModel
from elegans_gnn.models.cores import CORES, core_class
from elegans_gnn.models.registry import models_of

_ENTRY = re.compile(r"    (\w+(?:, \w+)*): (.*)")
_SEE = re.compile(r"see :class:`(\w+)`")
_MARKUP = re.compile(r":\w+:`~?(?:\w+\.)*([^`]+)`|``([^`]+)``|`([^`]+)`")
_SEE_ALSO = re.compile(r"[;,]? \(?see :\w+:`[^`]*`\)?")
_NAMED = re.compile(r"``\"([^`\"]+)\"``")
_SCALARS = (str, float, int, bool)
_COLLECTIONS = (list, tuple, collections.abc.Iterable, collections.abc.Sequence)


@dataclass(frozen=True)
class Option:
    """One option of a model or of its core.

    Args:
        name: of the keyword.
        type: int, float, bool or str; of the entries, if there may be many.
        optional: whether None is allowed, ``none`` on a command line.
        default: value of the keyword when it is not given.
        help: one line of plain text.
        choices: the names it takes, if they are few; None, if `optional`, is not among them.
        many: whether it takes several values, ``A,B`` on a command line.
        range: of a number, if not all of its type are taken.
    """

    name: str
    type: type
    optional: bool
    default: Any
    help: str
    choices: tuple[str, ...] = ()
    many: bool = False
    range: Range | None = None


def options_of(build: type[ImageModel], core: str = "message-passing") -> dict[str, Option]:
    """The options of a model class by name, and those of the core that it passes its other keywords to, in order.

    Left out are the connectome, what the images decide (num_classes, in_channels, image_size), and options that no
    command line can give.

    Args:
        build: a class of :data:`MODELS`, ElegansHead or BackboneClassifier.
        core: a key of :data:`CORES`; models without a core ignore it.

    Raises:
        ValueError: no core of this name.
    """
    found = _described(build)
    if "core" in found:
        found["core"] = replace(found["core"], choices=tuple(CORES))
        found |= _described(core_class(core))
    return found


def models_with_option(task: str, option: str) -> list[str]:
    """Settings that choose a model or core of a task with this option, such as ``model=vit`` or ``core=frozen``.

    Raises:
        ValueError: no such task.
    """
    models = models_of(task)
    found = [f"model={name}" for name, build in models.items() if option in build.options()]
    if any("core" in build.options() for build in models.values()):
        found += [f"core={name}" for name, build in CORES.items() if option in build.options()]
    return found


def _described(build: type[Configurable]) -> dict[str, Option]:
    return {
        name: _describe(owner, parameter, build)
        for name, (owner, parameter) in build.options().items()
        if name not in build.python_only
    }


def _describe(owner: type, parameter: inspect.Parameter, build: type[Configurable]) -> Option:
    name = parameter.name
    members = _members(owner, parameter)
    kinds = [kind for member in members for kind in (member, *typing.get_args(member))]
    kind = next((kind for kind in _SCALARS if kind in kinds), str)
    text = _entry(owner, name)
    # Where an entry begins with names, it lists them all; elsewhere names are examples.
    listed = tuple(_NAMED.findall(text)) if text.startswith(("None", '``"')) and kind is str else ()
    many = any(typing.get_origin(member) in _COLLECTIONS for member in members)
    plain = _MARKUP.sub(lambda found: found[1] or found[2] or found[3], _SEE_ALSO.sub("", text)).replace("\\", "")
    plain = re.sub(r"\bNone\b", "none", plain)  # as it is typed on a command line
    return Option(
        name,
        kind,
        type(None) in members,
        parameter.default,
        plain.removesuffix("."),
        build.choices.get(name) or listed,
        many,
        {**getattr(owner, "ranges", {}), **build.ranges}.get(name),
    )


def _members(owner: type, parameter: inspect.Parameter) -> tuple[Any, ...]:
    """The types that an argument's annotation unites."""
    init = inspect.unwrap(vars(owner)["__init__"])
    # One argument alone, since other annotations may name what only a type checker imports.
    holder = types.SimpleNamespace(__annotations__={"it": parameter.annotation})
    hint = typing.get_type_hints(holder, init.__globals__)["it"]
    united = typing.get_origin(hint) in (typing.Union, types.UnionType)
    return typing.get_args(hint) if united else (hint,)


def _entry(owner: type, name: str) -> str:
    """What a class's docstring says of an argument, markup included; of another class, if it only says "see" that."""
    text = _entries(owner).get(name, "")
    elsewhere = _SEE.match(text)
    if elsewhere is None:
        return text
    other = getattr(sys.modules[owner.__module__], elsewhere[1], None)
    if other is None:
        return text
    title = (inspect.getdoc(other) or text).partition("\n")[0]
    return _entries(other).get(name) or title[0].lower() + title[1:]


def _entries(owner: type) -> dict[str, str]:
    """Argument -> its text in the section ``Args:`` of a docstring, on one line."""
    entries: dict[str, str] = {}
    names: list[str] = []
    _, _, section = (inspect.getdoc(owner) or "").partition("\nArgs:\n")
    for line in section.splitlines():
        if line.strip() and not line.startswith(" "):
            break
        entry = _ENTRY.fullmatch(line)
        if entry is not None:
            names, text = entry[1].split(", "), entry[2]
        else:
            text = line.strip()
        for name in names:
            entries[name] = f"{entries[name]} {text}".rstrip() if name in entries else text
    return entries
