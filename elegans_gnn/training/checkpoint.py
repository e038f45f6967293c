"""What a run's checkpoint file holds, what has to fit before it is used, and the model in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from elegans_gnn._text import read_json
from elegans_gnn.connectome import Connectome
from elegans_gnn.datasets import DATA_SETS
from elegans_gnn.errors import InvalidArgumentError, invalid, unknown_name
from elegans_gnn.nn import wiring_hash
from elegans_gnn.training.config import CONFIGS, TrainingConfig
from elegans_gnn.training.folder import BEST, CONFIG, LAST
from elegans_gnn.training.prepare import build, needs_graph

_AS_WRITTEN = "use the file as the run wrote it"
_ANOTHER = "use another checkpoint of the run, or start a new run"


@dataclass(frozen=True)
class Checkpoint:
    """A run's file of weights, opened.

    Args:
        config: what the run was asked to do.
        model: the network with its weights, ready to use.
        shape: see :func:`build`.
        classes: what a classifier's labels mean.
        step: optimiser steps done.
        own_images: whether the images were passed from Python; `config.data.data` is then their name.
    """

    config: TrainingConfig
    model: nn.Module
    shape: dict[str, int]
    classes: tuple[str, ...]
    step: int
    own_images: bool


def read_plain(path: Path, argument: str) -> dict[str, Any]:
    """What a checkpoint file holds, as plain values and tensors.

    Raises:
        ValueError: the file cannot be read or is not a run's checkpoint; the message names it.
    """
    try:
        plain: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    # A few bytes of junk make the unpickler raise almost anything.
    except Exception as error:
        said = str(error).strip().partition("\n")[0][:80] or type(error).__name__
        raise invalid(argument, "a readable checkpoint", f"{path}, which is damaged ({said})", _ANOTHER) from error
    wanted = {"hyper_parameters", "state_dict", "connectome", "global_step"}
    if not isinstance(plain, dict) or not wanted <= plain.keys():
        raise invalid(argument, "a checkpoint of a run", f"{path}, which holds something else", _ANOTHER)
    return plain


def config_in(plain: dict[str, Any]) -> TrainingConfig:
    """The configuration inside a checkpoint."""
    task = plain.get("task", "autoencoder")
    if not isinstance(task, str) or task not in CONFIGS:
        raise unknown_name("task of the checkpoint", str(task), CONFIGS)
    return CONFIGS[task].from_dict(plain["hyper_parameters"])


def own_images_in(plain: dict[str, Any], config: TrainingConfig) -> bool:
    """Whether the run was trained on images passed from Python, whatever their name."""
    here = config.data.data in DATA_SETS or Path(config.data.data).is_dir()
    return bool(plain.get("own_images", not here))


def graph_in(plain: dict[str, Any], argument: str, path: Path) -> Connectome:
    """The graph inside the checkpoint of a model that has one.

    Raises:
        ValueError: it is missing or damaged, or the weights belong to another one, or it is not the graph of the run
            in whose folder the file lies.
    """
    _check_folder(plain["hyper_parameters"], argument, path)
    try:
        graph = Connectome.from_dict(plain["connectome"])
    except InvalidArgumentError:
        raise
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise invalid(argument, "a checkpoint with a whole graph", f"{path}: {error}", _AS_WRITTEN) from error
    hashes = [value for key, value in _items(plain["state_dict"]) if key.endswith(".wiring")]
    if any(not isinstance(value, Tensor) or not torch.equal(value, wiring_hash(graph)) for value in hashes):
        expected = f"a checkpoint whose weights belong to the graph in it, {graph.name}"
        raise invalid(argument, expected, f"{path}, where they belong to another graph", _AS_WRITTEN)
    return graph


def _check_folder(settings: Mapping[str, Any], argument: str, path: Path) -> None:
    """Refuse a whole checkpoint that was put into the folder of a run on another graph."""
    try:
        of_run = read_json(path.parent / CONFIG, argument)
    except InvalidArgumentError:
        return  # a checkpoint needs no folder of its own
    names = ("connectome", "graph", "graph_seed")
    if not isinstance(of_run, dict) or not all(name in of_run and name in settings for name in names):
        return
    ours, theirs = ([plain[name] for name in names] for plain in (of_run, settings))
    if ours != theirs:
        expected = f"a checkpoint of the run in {path.parent}, on {_called(*ours)}"
        raise invalid(argument, expected, f"{path}, on {_called(*theirs)}", _ANOTHER)


def _called(connectome: str, graph: str, seed: int) -> str:
    return connectome if graph == "original" else f"{graph} (seed {seed}) drawn like {connectome}"


def load_weights(target: nn.Module, state: Any, argument: str, path: Path) -> None:
    """Put weights into a model, or say which do not fit.

    Raises:
        ValueError: some are missing, too many, or of another shape.
    """
    try:
        target.load_state_dict(state)
    except InvalidArgumentError:
        raise
    except (RuntimeError, TypeError) as error:
        said = str(error).strip().splitlines()[-1].strip()[:160]
        remedy = "use the library's version that wrote it"
        raise invalid(argument, "weights of the model it names", f"{path}: {said}", remedy) from error


def check_resumable(plain: dict[str, Any], path: Path) -> None:
    """Refuse a checkpoint that has weights but lacks what training goes on with.

    Raises:
        ValueError: it does; the message names the first thing missing.
    """
    kinds = {"optimizer_states": list, "lr_schedulers": list, "loops": dict, "callbacks": dict}
    if config_in(plain).optim.ema:
        kinds |= {"current_model_state": dict, "averaging_state": dict}
    for name, kind in kinds.items():
        if not isinstance(plain.get(name), kind) or not plain[name]:
            raise invalid("resume", f"a checkpoint with {name}", f"{path}, which lacks it", _ANOTHER)


def load_resumed(module: nn.Module, plain: dict[str, Any], path: Path) -> None:
    """Put the weights to go on with into a module; the averaged ones have to fit, too."""
    load_weights(module, plain["state_dict"], "resume", path)
    if "current_model_state" in plain:
        load_weights(module, plain["current_model_state"], "resume", path)


def _items(state: Any) -> list[tuple[str, Any]]:
    return [(str(key), value) for key, value in state.items()] if isinstance(state, Mapping) else []


def open_checkpoint(checkpoint: Path | str) -> Checkpoint:
    """A checkpoint (or a run folder: its best one), with the graph it was trained on.

    Raises:
        ValueError: not a checkpoint, a damaged one, or weights that do not belong to their graph.
    """
    path = Path(checkpoint)
    path = path / BEST if path.is_dir() else path
    if not path.is_file():
        raise invalid("checkpoint", "a checkpoint or a run folder", str(path), f"pass the path of {BEST} or {LAST}")
    plain = read_plain(path, "checkpoint")
    config = config_in(plain)
    own_images = own_images_in(plain, config)
    graph = graph_in(plain, "checkpoint", path) if needs_graph(config) else None
    shape = plain.get("shape", {"in_channels": 1, "image_size": 28})
    # The checkpoint brings the backbone's weights: none are fetched.
    model = build(config.changed(weights=None) if config.model.backbone else config, graph, shape)
    prefix = "model."
    state = {key[len(prefix) :]: value for key, value in plain["state_dict"].items() if key.startswith(prefix)}
    load_weights(model, state, "checkpoint", path)
    classes, step = tuple(plain.get("classes", ())), int(plain["global_step"])
    return Checkpoint(config, model.eval(), shape, classes, step, own_images)


def load_autoencoder(checkpoint: Path | str) -> Any:
    """The autoencoder of a checkpoint (or of a run folder: its best one), with the graph it was trained on."""
    return _of_task(checkpoint, "autoencoder")


def load_classifier(checkpoint: Path | str) -> Any:
    """The classifier of a checkpoint (or of a run folder: its best one), with the graph it was trained on."""
    return _of_task(checkpoint, "classifier")


def _of_task(checkpoint: Path | str, task: str) -> nn.Module:
    opened = open_checkpoint(checkpoint)
    if opened.config.task != task:
        remedy = f"load it with load_{opened.config.task}"
        raise invalid("checkpoint", f"that of a run of the task {task}", opened.config.task, remedy)
    return opened.model
