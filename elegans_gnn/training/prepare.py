"""From a configuration to a model and its images, and what would spoil the run later, refused before it is written."""

from __future__ import annotations

import copy
import inspect
from pathlib import Path

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from elegans_gnn.connectome import Connectome
from elegans_gnn.datasets import Images, ImageSource
from elegans_gnn.errors import InvalidArgumentError, invalid
from elegans_gnn.graphs import open_graph
from elegans_gnn.models import attach_head, build_model
from elegans_gnn.models.pretrained import check_replaceable
from elegans_gnn.training.config import TrainingConfig
from elegans_gnn.training.folder import LAST, check_new
from elegans_gnn.training.model_options import class_of, uses_connectome


def check_start(config: TrainingConfig, folder: Path, resume: bool, first_process: bool) -> None:
    """Refuse a folder or a machine that is not fit for the run, before anything is read.

    Raises:
        ValueError: which of them, and why.
    """
    if resume and not (folder / LAST).is_file():
        raise invalid("resume", f"a run folder with {LAST}", str(folder), "start a new run without resume")
    # The other processes of a distributed run find what the first one has begun to write.
    if first_process and not resume:
        check_new(folder)
    if first_process and resume and (folder / "model").exists():
        check_replaceable(folder / "model", overwrite=True)
    if config.machine.accelerator == "gpu" and not torch.accelerator.is_available():
        got = "gpu on a machine where it finds none"
        raise invalid("accelerator", "a GPU that torch finds", got, "use accelerator=cpu")


def check_same_run(
    config: TrainingConfig, saved: TrainingConfig, source: ImageSource | None, own_images: bool, folder: Path
) -> None:
    """Refuse to go on with other settings or other images.

    Args:
        config: of the run that goes on.
        saved: of the interrupted one.
        source: the images passed from Python.
        own_images: whether images were passed to the interrupted run.
        folder: of the run.

    Raises:
        ValueError: something differs.
    """
    if own_images and source is None:
        remedy = "resume it in Python: train(config, folder, source=..., resume=True)"
        raise invalid("source", f"the images that the run in {folder} was started with", "none", remedy)
    before = saved.settings()
    changed = {name: value for name, value in config.settings().items() if before.get(name) != value}
    if changed:
        was = {name: before.get(name) for name in changed}
        raise invalid("config", f"that of the interrupted run ({was})", changed, "resume with the run's config.json")


def graph_of(config: TrainingConfig) -> Connectome:
    """The wiring diagram that a configuration names, by its name or its path, or the random graph drawn like it."""
    chosen = config.graph
    return open_graph(chosen.connectome, chosen.graph, chosen.graph_seed, argument="connectome")


def needs_graph(config: TrainingConfig) -> bool:
    """Whether the model is built on a connectome."""
    return uses_connectome(config.task, config.model)


def shape_of(config: TrainingConfig, images: Images, classes: tuple[str, ...]) -> dict[str, int]:
    """What a model has to know of its images: size and colours, and for a classifier the number of classes.

    Raises:
        ValueError: labels without a class.
    """
    shape = {"in_channels": images.pixels.shape[1], "image_size": images.pixels.shape[-1]}
    if config.task == "classifier":
        shape["num_classes"] = len(classes)
        check_labels(images, classes)
    return shape


def check_labels(images: Images, classes: tuple[str, ...]) -> None:
    """Refuse labels without a class."""
    least, largest = (int(value) for value in torch.aminmax(images.labels))
    if largest >= len(classes):
        raise invalid("source.classes", f"a name for each label up to {largest}", len(classes), "name them all")
    if least < 0:
        raise invalid("labels", "0 or larger", least, "count the classes from 0")


def build(config: TrainingConfig, graph: Connectome | None, shape: dict[str, int]) -> nn.Module:
    """The model of a configuration, with random weights.

    Args:
        config: what to build.
        graph: of the core; None for a baseline.
        shape: ``in_channels`` and ``image_size`` of the images; for a classifier ``num_classes`` too.
    """
    chosen = config.model
    keywords = config.model_keywords()
    if chosen.backbone:
        assert graph is not None
        return attach_head(chosen.backbone, graph, shape["num_classes"], **keywords)
    if config.task == "autoencoder" and shape["in_channels"] != 1:
        raise _wrong_images(shape, 1, shape["image_size"])
    takes = inspect.signature(class_of(config.task, chosen)).parameters
    keywords |= {name: value for name, value in shape.items() if name in takes}
    model = build_model(config.task, chosen.model, connectome=graph, **keywords)
    if model.image_size != shape["image_size"]:
        raise _wrong_images(shape, model.in_channels, model.image_size)
    return model


def _wrong_images(shape: dict[str, int], channels: int, size: int) -> InvalidArgumentError:
    expected = f"of images with {channels} channel and {size} x {size} pixels"
    got = f"{shape['in_channels']} x {shape['image_size']} x {shape['image_size']}"
    return invalid("data", expected, got, "choose another data set")


def try_backbone(config: TrainingConfig, model: nn.Module, images: Images) -> None:
    """Put two images through a copy of the model as a training step would; the state of random numbers stays.

    Raises:
        ValueError: the model's backbone cannot take images of this size.
    """
    backbone = config.model.backbone
    if not backbone:
        return
    # Batch norms refuse single images in training: as many as a process will see, but no more than needed.
    few = min(2, config.optim.batch_size // config.machine.processes)
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


def syncs_batch_norms(config: TrainingConfig, model: nn.Module) -> bool:
    """Whether batch norms must share their statistics, so that several processes train what one would.

    Raises:
        ValueError: they must, and torch cannot do it on the CPU.
    """
    machine = config.machine
    # A frozen backbone stays in evaluation mode.
    train = any(isinstance(module, _BatchNorm) and module.training for module in model.train().modules())
    if machine.processes == 1 or not train:
        return False
    if machine.accelerator == "cpu" or not torch.cuda.is_available():
        remedy = "use --frozen (frozen=True), or one process"
        got = f"{machine.processes} processes"
        raise invalid("devices", "1 on the CPU for a model whose batch norms train", got, remedy)
    return True
