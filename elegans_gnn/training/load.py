"""From a configuration to a model, and from a checkpoint back to one."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from elegans_gnn.connectome import Connectome, open_connectome
from elegans_gnn.datasets import Images
from elegans_gnn.errors import InvalidArgumentError, invalid, unknown_name
from elegans_gnn.graphs import list_random_models, random_connectome
from elegans_gnn.training.config import ClassifierConfig, TrainingConfig
from elegans_gnn.training.saved import config_in, graph_in, load_weights, own_images_in, read_plain


@dataclass(frozen=True)
class Checkpoint:
    """A run's file of weights, opened.

    Args:
        config: what the run was asked to do.
        model: the network with its weights, ready to use.
        shape: see :func:`build`.
        classes: what a classifier's labels stand for.
        step: optimiser steps done.
        own_images: whether the images were handed over; `config.data` is then the name they bore.
    """

    config: TrainingConfig
    model: nn.Module
    shape: dict[str, int]
    classes: tuple[str, ...]
    step: int
    own_images: bool


def graph_of(config: TrainingConfig) -> Connectome:
    """The wiring diagram a configuration names, by its name or its path, or the random graph drawn like it."""
    if config.graph != "original" and config.graph not in list_random_models():
        raise unknown_name("graph", config.graph, ("original", *list_random_models()))
    graph = open_connectome(config.connectome, argument="connectome")
    if config.graph == "original":
        return graph
    return random_connectome(config.graph, like=graph, seed=config.graph_seed)


def shape_of(config: TrainingConfig, images: Images, classes: tuple[str, ...]) -> dict[str, int]:
    """What a model has to know of its images: their size and colours, and for a classifier how many classes.

    Raises:
        ValueError: labels that stand for no class.
    """
    shape = {"in_channels": images.pixels.shape[1], "image_size": images.pixels.shape[-1]}
    if isinstance(config, ClassifierConfig):
        shape["num_classes"] = len(classes)
        check_labels(images, classes)
    return shape


def check_labels(images: Images, classes: tuple[str, ...]) -> None:
    """Refuse labels that stand for no class."""
    least, largest = (int(value) for value in torch.aminmax(images.labels))
    if largest >= len(classes):
        raise invalid("source.classes", f"a name for each label up to {largest}", len(classes), "name them all")
    if least < 0:
        raise invalid("labels", "0 or larger", least, "count the classes from 0")


def needs_graph(config: TrainingConfig) -> bool:
    """Whether the model has a connectome inside."""
    from elegans_gnn.models.registry import uses_connectome

    return bool(getattr(config, "backbone", "")) or uses_connectome(config.task, config.model)


def build(config: TrainingConfig, graph: Connectome | None, shape: dict[str, int]) -> nn.Module:
    """The model of a configuration, with random weights.

    Args:
        config: what to build.
        graph: of the core; None for a baseline.
        shape: ``in_channels`` and ``image_size`` of the images; for a classifier ``num_classes`` too.
    """
    from elegans_gnn.models import ElegansAutoencoder
    from elegans_gnn.models.registry import build_model

    if isinstance(config, ClassifierConfig) and config.backbone:
        from elegans_gnn.models import attach_head

        assert graph is not None
        weights, classes = config.weights or None, shape["num_classes"]
        options = {"weights": weights, "frozen": config.frozen, "resize": config.resize, **config.core_arguments()}
        return attach_head(config.backbone, graph, classes, **options)
    arguments = config.model_arguments()
    if config.task == "classifier":
        return build_model("classifier", config.model, connectome=graph, **arguments, **shape)
    if config.model == "elegans":
        assert graph is not None
        check_shape(shape, 1, 28)
        return ElegansAutoencoder(graph, **arguments)
    check_shape(shape, 1, shape["image_size"])
    return build_model("autoencoder", config.model, connectome=None, image_size=shape["image_size"], **arguments)


def try_backbone(config: TrainingConfig, model: nn.Module, images: Images) -> None:
    """Put two images through a copy of the model as a training step would; the state of random numbers stays.

    Raises:
        ValueError: the model's backbone cannot take images of this size.
    """
    backbone = getattr(config, "backbone", "")
    if not backbone:
        return
    # Batch norms refuse single images in training: as many as a process will see, but no more than needed.
    few = min(2, config.batch_size // (config.devices * config.nodes))
    height, width = images.pixels.shape[-2:]
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            copy.deepcopy(model).train()(images.pixels[:few])
    except InvalidArgumentError:
        raise
    except Exception as error:  # whatever a foreign network says of a shape it was not made for
        said = " ".join(str(error).split())[:120] or type(error).__name__
        expected = f"one that can be trained on batches of {few} images of {height} x {width} pixels"
        remedy = "use resize=224, or a convolutional one such as resnet18"
        raise invalid("backbone", expected, f"{backbone} ({said})", remedy) from error


def check_shape(shape: dict[str, int], channels: int, size: int) -> None:
    """Refuse images that the autoencoders cannot take."""
    got = (shape["in_channels"], shape["image_size"])
    if got != (channels, size):
        expected = f"of images with {channels} channel and {size} x {size} pixels"
        raise invalid("data", expected, f"{got[0]} x {got[1]} x {got[1]}", "choose another data set")


def open_checkpoint(checkpoint: Path | str) -> Checkpoint:
    """A checkpoint (or a run folder: its best one), with the graph it was trained on.

    Raises:
        ValueError: not a checkpoint, a damaged one, or weights that do not belong to their graph.
    """
    path = Path(checkpoint)
    path = path / "best.ckpt" if path.is_dir() else path
    if not path.is_file():
        raise invalid(
            "checkpoint", "a checkpoint or a run folder", str(path), "pass the path of best.ckpt or last.ckpt"
        )
    plain = read_plain(path, "checkpoint")
    config = config_in(plain)
    own_images = own_images_in(plain, config)
    graph = graph_in(plain, "checkpoint", path) if needs_graph(config) else None
    shape = plain.get("shape", {"in_channels": 1, "image_size": 28})
    if isinstance(config, ClassifierConfig):
        # The checkpoint brings the backbone's weights: none are fetched.
        config = replace(config, weights="")
    model = build(config, graph, shape)
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
