"""Reading and writing JSON and YAML: the same limits and the same kind of error for every file.

Nothing in such a file runs: JSON through the standard library, YAML through a safe loader that also refuses aliases (a
few of which can expand to gigabytes) and repeated keys.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from elegans_gnn.errors import invalid, require

MAX_BYTES = 512 << 20
MAX_SETTINGS_BYTES = 1 << 20
_SAID = 200  # letters of another library's message
_NUMBERS = {
    "int": re.compile(r"^[-+]?(0|[1-9][0-9_]*)$"),
    "float": re.compile(r"^[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?$|^[-+]?\.inf$|^\.nan$"),
}


def read_json(
    path: Path, argument: str, *, expected: str | None = None, remedy: str = "write or copy the file again"
) -> Any:
    """The content of a JSON file.

    Args:
        path: the file.
        argument: what the error message names as the argument at fault.
        expected: what should have come, a readable JSON file if not given.
        remedy: what the user can do.

    Raises:
        ValueError: the file is missing, too large, or not JSON; the message names it.
    """
    return _read(path, json.loads, MAX_BYTES, argument, expected or f"a readable JSON file {path.name}", remedy)


def read_yaml(path: Path, argument: str, *, expected: str = "a YAML file", remedy: str = "fix the file") -> Any:
    """The content of a YAML file of settings; arguments and errors are those of :func:`read_json`."""
    return _read(path, _load_yaml, MAX_SETTINGS_BYTES, argument, expected, remedy)


def parse_yaml(text: str, argument: str) -> Any:
    """One value as YAML writes it, under the limits of :func:`read_yaml`.

    Raises:
        ValueError: not YAML.
    """
    try:
        return _load_yaml(text)
    except ValueError as error:
        said = " ".join(str(error).split())[:_SAID]
        raise invalid(argument, "a value as YAML writes it", f"{text!r}: {said}", "quote it") from error


def _read(path: Path, parse: Callable[[str], Any], limit: int, argument: str, expected: str, remedy: str) -> Any:
    try:
        if path.stat().st_size > limit:
            raise ValueError(f"larger than {limit:,} bytes")
        return parse(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise invalid(argument, expected, f"{path}: nested too deeply", remedy) from error
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) and error.strerror else " ".join(str(error).split())
        raise invalid(argument, expected, f"{path}: {said[:_SAID]}", remedy) from error


def _load_yaml(text: str) -> Any:
    yaml = require("yaml")
    try:
        return yaml.load(text, Loader=_loader())
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


@cache
def _loader() -> Any:
    yaml = require("yaml")

    safe: Any = yaml.SafeLoader

    class Loader(safe):
        """Plain values alone: no aliases, no repeated keys, and 2e-3 is a number."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.events.AliasEvent):
                raise ValueError("an alias (*name); write the value itself")
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            for key in keys:
                if not isinstance(key, str | int | float | bool | None):
                    raise ValueError(f"a key that is not a name, on line {node.start_mark.line + 1}")
                if keys.count(key) > 1:
                    raise ValueError(f"the key {key!r} appears twice")
            mapping: dict[Any, Any] = super().construct_mapping(node, deep)
            return mapping

    # YAML 1.1 takes 2e-3 for text, 010 for eight and 1:30 for ninety; here numbers are what Python and JSON write.
    Loader.yaml_implicit_resolvers = {
        letter: [(tag, pattern) for tag, pattern in entries if tag.rpartition(":")[2] not in _NUMBERS]
        for letter, entries in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    for kind, pattern in _NUMBERS.items():
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{kind}", pattern, list("-+0123456789."))
    return Loader


def json_text(content: Mapping[str, Any]) -> str:
    """Plain values as indented JSON that every reader takes: what is not finite becomes null."""
    return json.dumps(_finite(content), indent=2, allow_nan=False)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write plain values as a JSON file."""
    path.write_text(json_text(content) + "\n", encoding="utf-8")


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _finite(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
