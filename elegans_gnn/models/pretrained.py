"""A model as one folder: weights (safetensors), how to build it (JSON), and its graph (JSON).

model.safetensors   every parameter and saved buffer
config.json         format version, class, arguments, library version, name and fingerprint of the graph
connectome.json     the graph in plain lists; absent for models without one

A training run adds two small files: classes.json, the names of a classifier's classes, and training.json, the data set
the model was trained on and, of the folded digits, the fold (``{"data": "digits", "fold": 2}``); the latter is absent
after a run on images that were handed over from Python.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from elegans_gnn._paths import __version__
from elegans_gnn.connectome import Connectome
from elegans_gnn.errors import InvalidArgumentError, invalid, require, unknown_name
from elegans_gnn.models._base import ImageModel
from elegans_gnn.models.backbone import BackboneClassifier
from elegans_gnn.models.head import ElegansHead
from elegans_gnn.models.registry import MODELS

FORMAT = 1
WEIGHTS, CONFIG, GRAPH = "model.safetensors", "config.json", "connectome.json"
CLASSES, TRAINING = "classes.json", "training.json"
_FILES = frozenset((WEIGHTS, CONFIG, GRAPH, CLASSES, TRAINING))
_KEYS = {"format", "class", "arguments", "library", "connectome"}
_BROKEN = "copy or save the folder again"

Model = TypeVar("Model", bound=ImageModel)


def _classes() -> dict[str, type[ImageModel]]:
    listed = [build for models in MODELS.values() for build in models.values()]
    return {build.__name__: build for build in [*listed, ElegansHead, BackboneClassifier]}


def save_pretrained(model: ImageModel, folder: Path | str, *, overwrite: bool = False) -> Path:
    """Write a model into a folder that :func:`from_pretrained` reads; the folder appears whole or not at all.

    Args:
        model: one of this package's models.
        folder: where to; must not exist.
        overwrite: replace a folder that holds a model and nothing besides.

    Returns:
        The folder.

    Raises:
        ValueError: the folder exists, or the model was built with something that JSON cannot hold.
    """
    folder = Path(folder)
    name = type(model).__name__
    if name not in _classes():
        raise unknown_name("model", name, _classes())
    if folder.exists():
        check_replaceable(folder, overwrite)
    save = require("safetensors.torch").save_file
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
        save({key: value.detach().cpu().contiguous() for key, value in model.state_dict().items()}, fresh / WEIGHTS)
        fresh.chmod(0o755)
        _put_in_place(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def check_replaceable(folder: Path, overwrite: bool) -> None:
    """Refuse to replace anything but a folder that :func:`save_pretrained` wrote, with nobody else's files in it."""
    if not overwrite:
        remedy = "choose another one, or pass overwrite=True to replace a model"
        raise invalid("folder", "new", f"{folder}, which exists", remedy)
    if not (folder.is_dir() and (folder / WEIGHTS).is_file() and (folder / CONFIG).is_file()):
        raise invalid("folder", "new", f"{folder}, which exists", "choose another one")
    _config(folder)
    strange = sorted(path.name for path in folder.iterdir() if path.name not in _FILES or not path.is_file())
    if strange:
        got = f"{folder}, which holds {', '.join(strange[:3])}{', ...' if len(strange) > 3 else ''} too"
        raise invalid("folder", "one with a model and nothing besides", got, "choose another one, or move that away")


def _write_json(path: Path, content: Any) -> None:
    try:
        text = json.dumps(content, indent=1, allow_nan=False)
    except (TypeError, ValueError) as error:
        remedy = "build it with names and numbers instead of functions and modules"
        raise invalid("model", "built with arguments that JSON can hold", str(error), remedy) from error
    path.write_text(text + "\n", encoding="utf-8")


def _put_in_place(fresh: Path, folder: Path) -> None:
    """Rename; what was there before is moved aside first and deleted last."""
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
        # If even the way back failed, the old model stays where it is.
        if folder.exists():
            shutil.rmtree(aside, ignore_errors=True)


def from_pretrained(folder: Path | str, wanted: type[Model] | None = None) -> Model:
    """Read a model that :func:`save_pretrained` wrote, in evaluation mode. Torch's random state is left as it was.

    Args:
        folder: the folder.
        wanted: the class it must be of.

    Raises:
        ValueError: a file is missing, damaged or does not fit the others; the message says which.
    """
    folder = Path(folder)
    config = _config(folder)
    classes = _classes()
    if config["class"] not in classes:
        raise unknown_name(f"class in {folder / CONFIG}", str(config["class"]), classes)
    build = classes[config["class"]]
    if wanted is not None and not issubclass(build, wanted):
        remedy = f"use {build.__name__}.from_pretrained"
        raise invalid("folder", f"of a {wanted.__name__}", f"{folder}, of a {build.__name__}", remedy)
    graph = _graph(folder, config["connectome"])
    weights = _weights(folder / WEIGHTS)
    model = _build(folder, build, graph, config["arguments"])
    _load(model, weights, folder / WEIGHTS)
    return cast(Model, model.eval())


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise invalid("folder", f"one with {path.name}", f"{path.parent}, which lacks it", _BROKEN)
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise invalid("folder", f"one with a whole {path.name}", f"{path}: {error}", _BROKEN) from error
    if not isinstance(plain, dict):
        raise invalid("folder", f"one with an object in {path.name}", f"{path}: {type(plain).__name__}", _BROKEN)
    return plain


def _config(folder: Path) -> dict[str, Any]:
    if not folder.is_dir():
        raise invalid("folder", "the folder of a saved model", f"{folder}, which is none", "see save_pretrained")
    config = _read_json(folder / CONFIG)
    missing = sorted(_KEYS - config.keys())
    if missing:
        raise invalid("folder", f"one whose {CONFIG} has {', '.join(missing)}", f"{folder}, which lacks it", _BROKEN)
    if config["format"] != FORMAT:
        remedy = f"read it with version {config['library']} of the library"
        raise invalid("folder", f"of format {FORMAT}", f"{folder}, of format {config['format']}", remedy)
    if not isinstance(config["arguments"], dict):
        raise invalid("folder", f"one with arguments by name in {CONFIG}", config["arguments"], _BROKEN)
    return config


def _graph(folder: Path, about: Any) -> Connectome | None:
    if about is None:
        return None
    try:
        graph = Connectome.from_dict(_read_json(folder / GRAPH))
        expected = about["sha256"]
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


def _build(folder: Path, build: type[ImageModel], graph: Connectome | None, arguments: Mapping[str, Any]) -> ImageModel:
    # The folder brings the weights of a backbone: none are fetched.
    given = {**arguments, "weights": None} if issubclass(build, BackboneClassifier) else dict(arguments)
    if graph is not None:
        given["connectome"] = graph
    try:
        with torch.random.fork_rng(devices=[]):
            return build(**given)
    except (InvalidArgumentError, TypeError) as error:
        got = f"those in {folder / CONFIG} ({error})"
        raise invalid("folder", f"one with arguments of {build.__name__}", got, _BROKEN) from error


def _load(model: ImageModel, weights: dict[str, Tensor], path: Path) -> None:
    own = model.state_dict()
    strange = sorted(weights.keys() ^ own.keys()) or sorted(
        key for key in own if own[key].shape != weights[key].shape or own[key].dtype != weights[key].dtype
    )
    if strange:
        got = f"{path}, which differs in {', '.join(strange[:3])}{', ...' if len(strange) > 3 else ''}"
        raise invalid("folder", f"one with the weights of a {type(model).__name__}", got, _BROKEN)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise invalid("folder", "one with weights of its graph", f"{path}: {error}", _BROKEN) from error
