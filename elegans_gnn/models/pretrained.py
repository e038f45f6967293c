"""The folder format of models: weights (safetensors), how to build the model (JSON), and its graph (JSON).

model.safetensors   every parameter and saved buffer
config.json         format version, class, arguments, library version, name and fingerprint of the graph
connectome.json     the graph in plain lists; absent for models without one

A training run adds two small files: classes.json, the names of a classifier's classes, and training.json, the data set
the model was trained on and, of the folded digits, the fold (``{"data": "digits", "fold": 2}``); the latter is absent
after a run on images that were passed from Python.

The format knows no model: classes enter :data:`MODEL_CLASSES` where they are defined.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast, runtime_checkable

import torch
from torch import Tensor, nn

from elegans_gnn._paths import __version__, model_path, or_bundled
from elegans_gnn._text import read_json
from elegans_gnn.connectome import Connectome
from elegans_gnn.errors import InvalidArgumentError, invalid, require, unknown_name

FORMAT = 2
# Arguments of format 1, and parameters of its cores, that have another name in format 2.
RENAMED_IN_2 = {"keep": "leak"}
# Class name -> class, of all models that a folder may hold.
MODEL_CLASSES: dict[str, type[Any]] = {}

WEIGHTS, CONFIG, GRAPH = "model.safetensors", "config.json", "connectome.json"
CLASSES, TRAINING = "classes.json", "training.json"
_FILES = frozenset((WEIGHTS, CONFIG, GRAPH, CLASSES, TRAINING))
_KEYS = {"format", "class", "arguments", "library", "connectome"}
_BROKEN = "copy or save the folder again"

Model = TypeVar("Model", bound=nn.Module)


@runtime_checkable
class SavedModel(Protocol):
    """What a folder is written from: the keywords the model was built with, its graph if it has one, its weights."""

    @property
    def arguments(self) -> dict[str, Any]: ...

    @property
    def connectome(self) -> Connectome | None: ...

    def state_dict(self) -> dict[str, Any]: ...


def save_pretrained(model: SavedModel, folder: Path | str, *, overwrite: bool = False, half: bool = False) -> Path:
    """Write a model into a folder that :func:`from_pretrained` reads; an error or Ctrl-C leaves no partial folder.

    Args:
        model: one of this package's models.
        folder: the new folder; must not exist.
        overwrite: replace a folder that holds a model and nothing else.
        half: store numbers of 32 bits with 16 (float16, 11 significant bits): half the size. They are read as 32 bits.

    Returns:
        The folder.

    Raises:
        ValueError: the folder exists, the model was built with something that JSON cannot hold, or a number is too
            large for 16 bits.
    """
    folder = Path(folder)
    name = type(model).__name__
    if MODEL_CLASSES.get(name) is not type(model):
        raise unknown_name("model", name, MODEL_CLASSES)
    if folder.exists():
        check_replaceable(folder, overwrite)
    save, weights = require("safetensors.torch").save_file, _stored(model.state_dict(), half)
    graph = model.connectome
    config = {
        "format": FORMAT,
        "class": name,
        "arguments": model.arguments,
        "library": __version__,
        "connectome": None if graph is None else {"name": graph.name, "sha256": graph.fingerprint},
    }
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        _write_json(fresh / CONFIG, config)
        if graph is not None:
            _write_json(fresh / GRAPH, graph.to_dict())
        save(weights, fresh / WEIGHTS)
        fresh.chmod(0o755)
        _put_in_place(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _stored(state: dict[str, Tensor], half: bool) -> dict[str, Tensor]:
    """The weights as a file holds them."""
    stored = {key: value.detach().cpu().contiguous() for key, value in state.items()}
    for key, value in stored.items():
        if half and value.dtype == torch.float32:
            stored[key] = value.to(torch.float16)
            if not torch.equal(stored[key].isfinite(), value.isfinite()):
                raise invalid("half", "False for numbers above 65,504", f"one in {key}", "save it with 32 bits")
    return stored


def check_replaceable(folder: Path, overwrite: bool) -> None:
    """Refuse to replace anything but a folder that :func:`save_pretrained` wrote and that holds no other files."""
    if not overwrite:
        remedy = "choose another one, or pass overwrite=True to replace a model"
        raise invalid("folder", "new", f"{folder}, which exists", remedy)
    if not (folder.is_dir() and (folder / WEIGHTS).is_file() and (folder / CONFIG).is_file()):
        raise invalid("folder", "new", f"{folder}, which exists", "choose another one")
    _config(folder)
    others = sorted(path.name for path in folder.iterdir() if path.name not in _FILES or not path.is_file())
    if others:
        got = f"{folder}, which also holds {_first(others)}"
        raise invalid("folder", "one with a model and nothing else", got, "choose another one, or move those files")


def _first(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _write_json(path: Path, content: Any) -> None:
    try:
        text = json.dumps(content, indent=1, allow_nan=False)
    except (TypeError, ValueError) as error:
        remedy = "build it with names and numbers instead of functions and modules"
        raise invalid("model", "built with arguments that JSON can hold", str(error), remedy) from error
    path.write_text(text + "\n", encoding="utf-8")


def _put_in_place(fresh: Path, folder: Path) -> None:
    """Rename; an old folder is moved aside first and deleted last."""
    if not folder.exists():
        os.rename(fresh, folder)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    old = aside / "old"
    try:
        os.rename(folder, old)
        os.rename(fresh, folder)
    except BaseException:  # Ctrl-C too
        if old.exists() and not folder.exists():
            os.rename(old, folder)
        raise
    finally:
        # If the old folder could not be moved back either, it stays in `aside`.
        if folder.exists():
            shutil.rmtree(aside, ignore_errors=True)


def from_pretrained(folder: Path | str, wanted: type[Model] | None = None) -> Model:
    """Read a model that :func:`save_pretrained` wrote, in evaluation mode. Torch's random state is left as it was.

    Args:
        folder: the folder; or the name of a model that comes with the package, where no such folder exists.
        wanted: the class it must be of.

    Raises:
        ValueError: a file is missing, damaged or does not fit the others, or a newer version wrote the folder; the
            message names the file.
    """
    folder = model_path(folder)
    config = _config(folder)
    build = MODEL_CLASSES.get(str(config["class"]))
    if build is None:
        raise unknown_name(f"class in {folder / CONFIG}", str(config["class"]), MODEL_CLASSES)
    if wanted is not None and not issubclass(build, wanted):
        remedy = f"use {build.__name__}.from_pretrained"
        raise invalid("folder", f"a model of class {wanted.__name__}", f"{folder}, of class {build.__name__}", remedy)
    graph = _graph(folder, config["connectome"])
    arguments, weights = config["arguments"], _weights(folder / WEIGHTS)
    if config["format"] == 1:
        arguments, weights = upgraded(arguments, weights)
    model = _build(folder, build, graph, arguments)
    _load(model, weights, folder / WEIGHTS)
    return cast(Model, model.eval())


def upgraded(arguments: dict[str, Any], weights: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Arguments and weights of format 1 under the names of format 2."""

    def new_key(key: str) -> str:
        owner, _, name = key.rpartition(".")
        return f"{owner}.{RENAMED_IN_2.get(name, name)}" if owner.rpartition(".")[2] == "core" else key

    return (
        {RENAMED_IN_2.get(name, name): value for name, value in arguments.items()},
        {new_key(key): value for key, value in weights.items()},
    )


def _read_object(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise invalid("folder", f"one with {path.name}", f"{path.parent}, which lacks it", _BROKEN)
    plain = read_json(path, "folder", expected=f"one with a whole {path.name}", remedy=_BROKEN)
    if not isinstance(plain, dict):
        raise invalid("folder", f"one with an object in {path.name}", f"{path}: {type(plain).__name__}", _BROKEN)
    return plain


def _config(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        expected = f"the folder of a saved model{or_bundled()}"
        raise invalid("folder", expected, f"{folder}, which is none", "see save_pretrained")
    config = _read_object(folder / CONFIG)
    missing = sorted(_KEYS - config.keys())
    if missing:
        raise invalid("folder", f"one whose {CONFIG} has {', '.join(missing)}", f"{folder}, which lacks it", _BROKEN)
    number, arguments = config["format"], config["arguments"]
    if not isinstance(number, int) or not 1 <= number <= FORMAT:
        newer = isinstance(number, int) and number > FORMAT
        remedy = "read it with a newer version of the library" if newer else _BROKEN
        raise invalid("folder", f"of format 1 to {FORMAT}", f"{folder}, of format {str(number)[:20]}", remedy)
    if not isinstance(arguments, dict):
        got = f"{folder / CONFIG}, with a {type(arguments).__name__}"
        raise invalid("folder", f"one with arguments by name in {CONFIG}", got, _BROKEN)
    return config


def _graph(folder: Path, about: Any) -> Connectome | None:
    if about is None:
        return None
    try:
        graph = Connectome.from_dict(_read_object(folder / GRAPH))
        expected = str(about["sha256"])
    except InvalidArgumentError:
        raise
    except (KeyError, TypeError, ValueError) as error:
        raise invalid("folder", f"one with a whole {GRAPH}", f"{folder / GRAPH}: {error!r}", _BROKEN) from error
    if graph.fingerprint != expected:
        got = f"{graph.fingerprint[:12]}... in {folder / GRAPH}, not {expected[:12]}..."
        raise invalid("folder", "one with the graph the model was trained on", got, _BROKEN)
    return graph


def _weights(path: Path) -> dict[str, Tensor]:
    safetensors = require("safetensors.torch")
    if not path.is_file():
        raise invalid("folder", f"one with {path.name}", f"{path.parent}, which lacks it", _BROKEN)
    try:
        weights: dict[str, Tensor] = safetensors.load_file(path)
    except (require("safetensors").SafetensorError, OSError, ValueError) as error:
        raise invalid("folder", f"one with a whole {path.name}", f"{path}: {error}", _BROKEN) from error
    return weights


def _build(folder: Path, build: Any, graph: Connectome | None, arguments: dict[str, Any]) -> nn.Module:
    given = build.arguments_when_loaded(arguments)
    if graph is not None:
        given["connectome"] = graph
    try:
        with torch.random.fork_rng(devices=[]):
            model: nn.Module = build(**given)
            return model
    except (ValueError, TypeError) as error:
        got = f"those in {folder / CONFIG} ({error})"
        raise invalid("folder", f"one with arguments of {build.__name__}", got, _BROKEN) from error


def _load(model: nn.Module, weights: dict[str, Tensor], path: Path) -> None:
    own = model.state_dict()
    for key, value in weights.items():
        if value.dtype == torch.float16 and key in own and own[key].dtype == torch.float32:
            weights[key] = value.to(torch.float32)
    different = sorted(weights.keys() ^ own.keys()) or sorted(
        key for key in own if own[key].shape != weights[key].shape or own[key].dtype != weights[key].dtype
    )
    if different:
        got = f"{path}, which differs in {_first(different)}"
        raise invalid("folder", f"one with the weights of a {type(model).__name__}", got, _BROKEN)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise invalid("folder", "one with weights of its graph", f"{path}: {error}", _BROKEN) from error
