"""Settings under the names and in the formats of earlier releases."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

from elegans_gnn.errors import invalid

# Version of config.json and of checkpoints. Format 1 had no version and wrote every setting, used or not.
FORMAT = 2
OLD_NAMES = ("keep", "depth", "graph_seed")
_ABSENT = ("activation", "norm", "signs")
_OF_CORES = (
    "core_steps", "unit", "keep", "activation", "norm", "signs", "gap", "init", "inputs", "outputs", "channels",
)  # fmt: skip
_CODERS = ("encoder_width", "encoder_blocks", "decoder_width", "decoder_blocks")
_BACKBONE = ("weights", "frozen", "resize")
_DEFAULTS_1 = {
    "core_steps": 4, "unit": "shared", "keep": 0.5, "activation": "none", "norm": "none", "signs": "none",
    "gap": "coupled", "init": "fan-in", "inputs": "sensory", "outputs": "motor",
}  # fmt: skip


def with_new_names(task: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by their present names; an old name works for one release, with a warning."""
    names = {"keep": "leak"}
    if settings.get("model") == "randomly-wired" and settings.get("graph_seed"):
        names["graph_seed"] = "wiring_seed"
    elif task == "classifier" and settings.get("model", "elegans") == "elegans":
        names["depth"] = "blocks"
    found: dict[str, Any] = {}
    for name, value in settings.items():
        new = names.get(name, name)
        if new != name and new in settings:
            raise invalid(name, f"omitted with {new}, its present name", repr(value), f"give {new} alone")
        if new != name:
            warnings.warn(f"the setting {name} is now called {new}", DeprecationWarning, stacklevel=4)
        found[new] = value
    return found


def task_of(plain: Mapping[str, Any]) -> object:
    """The task of a run, from its config.json of any format."""
    return plain.get("task", "classifier" if "label_smoothing" in plain else "autoencoder")


def is_whole(plain: Mapping[str, Any]) -> bool:
    """Whether a file of settings is a run's config.json of any format; format 1 named every setting."""
    return "format" in plain or {"data", "keep", "core_steps", "nodes"} <= plain.keys()


def settings_of(plain: Mapping[str, Any], task: str) -> dict[str, Any]:
    """The settings in a run's configuration of any format.

    Args:
        plain: as it was written, ``format`` included.
        task: that the settings are wanted for.

    Raises:
        ValueError: a format of a later release, or another task.
    """
    found_task = task_of(plain)
    if found_task != task:
        got = f"one of the task {str(found_task)[:40]}"
        raise invalid("configuration", f"of the task {task}", got, "use the other configuration class")
    settings = dict(plain)
    found = settings.pop("format", 1)
    settings.pop("task", None)
    if found == FORMAT:
        return settings
    if found != 1:
        remedy = "use the release that wrote it, or a later one"
        raise invalid("configuration", f"of format 1 to {FORMAT}", f"format {str(found)[:20]}", remedy)
    return _from_format_1(settings, task)


def _from_format_1(settings: dict[str, Any], task: str) -> dict[str, Any]:
    """Leave out what had no effect, and give what stays its present name and value."""
    model, backbone, core = (settings.get(name, "") for name in ("model", "backbone", "core"))
    wired = bool(backbone) or model in ("", "elegans")
    drop = {"width", "depth"} if backbone or (task == "autoencoder" and wired) else set()
    drop |= {"wiring"} if backbone or model != "randomly-wired" else set()
    drop |= set() if backbone else set(_BACKBONE)
    drop |= {name for name in ("width", "depth") if not settings.get(name)}
    if not wired:
        drop |= {*_OF_CORES, "core", "connectome", "graph", *_CODERS}
    if backbone:
        drop.add("model")
    if core not in ("", "message-passing", "frozen", "silent"):
        drop |= {name for name, usual in _DEFAULTS_1.items() if settings.get(name) == usual}
    if model == "randomly-wired" and not backbone:
        settings["wiring_seed"] = settings.pop("graph_seed", 0)
    elif settings.get("graph", "original") == "original" or not wired:
        drop.add("graph_seed")
    if settings.get("augment") != "strong":
        drop.add("augment_share")
    if settings.get("augment") != "crop-flip":
        drop.add("cutout")
    if settings.get("augment") == "none":
        drop.add("shift")
    if settings.get("data") != "digits":
        drop.add("fold")
    kept = {name: value for name, value in settings.items() if name not in drop}
    new = {"keep": "leak", "depth": "blocks"} if wired else {}
    return {
        new.get(name, name): None if name in (*_ABSENT, "weights") and value in ("none", "") else value
        for name, value in kept.items()
    }
