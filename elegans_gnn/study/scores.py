"""The score of a graph: train a model on it for a fixed number of steps, and look at validation images alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from elegans_gnn.connectome import Connectome
from elegans_gnn.datasets import Images, ImageSource, ink, load_images
from elegans_gnn.errors import invalid, unknown_name
from elegans_gnn.models import count_flops, parameters
from elegans_gnn.study.start import SharedDraws
from elegans_gnn.training.batches import TrainingBatches
from elegans_gnn.training.config import CONFIGS, TrainingConfig
from elegans_gnn.training.metrics import evaluate_classification, evaluate_reconstruction
from elegans_gnn.training.module import diverged, groups_of
from elegans_gnn.training.optim import MuonAdamW, exponential_average, warmup_cosine
from elegans_gnn.training.prepare import build, needs_graph, shape_of

# What the study sets for each trial.
OWN = (
    "connectome",
    "graph",
    "graph_seed",
    "seed",
    "threads",
    "accelerator",
    "devices",
    "nodes",
    "precision",
    "patience",
)
LESIONS = ("", "classes", "neurons", "all")


def config_of(learn: str, settings: Mapping[str, Any]) -> TrainingConfig:
    """The configuration of a trial: the data set's recipe `demo`, changed by what is given; refused if it cannot work.

    Raises:
        ValueError: an unknown setting, or one that the study sets itself.
    """
    if learn not in CONFIGS:
        raise unknown_name("learn", learn, CONFIGS)
    for name in settings:
        if name in OWN:
            raise invalid(name, "left to the study", repr(settings[name]), "omit it")
    return CONFIGS[learn].preset("demo", **settings)


def score(
    connectome: Connectome,
    seed: int,
    *,
    learn: str = "classifier",
    images: int = 0,
    validation_images: int = 0,
    lesions: str = "",
    **settings: Any,
) -> dict[str, Any]:
    """Train a model on a graph and evaluate it on validation images; nothing is written, test images are never read.

    The same arguments give the same figures: one thread, and a budget in steps. All graphs share the order of the
    images and, through :class:`SharedDraws`, every initial tensor whose shape they have in common.

    Args:
        connectome: the graph.
        seed: of the first weights and of the order and augmentation of the images.
        learn: ``"classifier"`` or ``"autoencoder"``.
        images, validation_images: how many training and validation images are used, the same ones in all trials;
            0: all.
        lesions: also evaluate the trained model without each neuron (``"neurons"``), without each class of several
            neurons (``"classes"``), or both (``"all"``).
        settings: of the training run, see :class:`elegans_gnn.training.ClassifierConfig`; the rest is the recipe
            ``demo`` of the data set.

    Returns:
        the figures of the averaged weights after the last step (of a classifier: ``accuracy`` as a share, and
        ``cross_entropy``), one called ``without NAME`` for each lesion, ``parameters``, ``flops`` of one image,
        ``steps``, and ``curve``, the accuracy at each validation.
    """
    config = config_of(learn, settings).changed(seed=seed)
    source = load_images(config.data.data, config.data.data_dir, config.data.fold)
    training, validation = _subset(source.train(), images), _subset(source.validation(), validation_images)
    with _one_thread(), torch.random.fork_rng(devices=[]):
        with SharedDraws(seed):
            model: Any = build(
                config, connectome if needs_graph(config) else None, shape_of(config, training, source.classes)
            )
        trained, curve = fit(model, config, training, validation, source)
        found: dict[str, Any] = dict(curve[-1])
        found |= _lesioned(trained, connectome, lesions, lambda: evaluate(trained, config, validation, source))
        size = (1, *training.pixels.shape[1:])
        budgets = {"parameters": parameters(model), "flops": count_flops(model, *size), "steps": config.optim.steps}
    return {**found, **budgets, "curve": [figures["accuracy"] for figures in curve]}


def fit(
    model: Any, config: TrainingConfig, training: Images, validation: Images, source: ImageSource
) -> tuple[Any, list[dict[str, float]]]:
    """What :func:`elegans_gnn.training.train` does to the weights, without its folder.

    Returns:
        the averaged model, in evaluation mode, and its figures at each validation.
    """
    optim = config.optim
    optimizer = MuonAdamW(groups_of(model, optim))
    rate = LambdaLR(optimizer, lambda step: warmup_cosine(step, warmup=optim.warmup, total=optim.steps))
    average = AveragedModel(model, use_buffers=False, avg_fn=exponential_average(optim.ema)) if optim.ema else None
    evaluated = model if average is None else average.module
    smoothing = {"label_smoothing": optim.label_smoothing} if config.task == "classifier" else {}
    curve = []
    for step, batch in enumerate(TrainingBatches(training, config), 1):
        torch.manual_seed(int(np.random.SeedSequence((optim.seed, step - 1, 0)).generate_state(1)[0]))
        model.train()
        loss: Tensor = model.loss(*(batch if isinstance(batch, tuple) else (batch,)), **smoothing)
        optimizer.zero_grad()
        loss.backward()
        if optim.clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), optim.clip)
        optimizer.step()
        rate.step()
        if average is not None:
            average.update_parameters(model)
        if step % config.validation_interval == 0:
            if not torch.isfinite(loss):
                raise diverged("the training loss", loss.item(), step, optim)
            curve.append(evaluate(evaluated, config, validation, source))
    return evaluated.eval(), curve


def evaluate(model: Any, config: TrainingConfig, images: Images, source: ImageSource) -> dict[str, float]:
    """The figures of the task on some images."""
    model.eval()
    if config.task == "classifier":
        return evaluate_classification(model, *images, len(source.classes))
    return evaluate_reconstruction(model, ink(images.pixels))


def lesion_groups(connectome: Connectome, lesions: str) -> dict[str, list[str]]:
    """Name of a figure of :func:`score` -> the neurons that it leaves out."""
    if lesions not in LESIONS:
        raise unknown_name("lesions", lesions, LESIONS)
    groups: dict[str, list[str]] = {}
    if lesions in ("classes", "all"):
        members: dict[str, list[str]] = {}
        for name, of_class in zip(connectome.names.tolist(), connectome.classes.tolist(), strict=True):
            members.setdefault(of_class, []).append(name)
        groups |= {f"without class {key}": names for key, names in members.items() if key and len(names) > 1}
    if lesions in ("neurons", "all"):
        groups |= {f"without {name}": [name] for name in connectome.names.tolist()}
    return groups


def _lesioned(model: Any, connectome: Connectome, lesions: str, figures: Any) -> dict[str, float]:
    found = {}
    for name, neurons in lesion_groups(connectome, lesions).items():
        model.core.lesion(neurons=neurons)
        found[name] = figures()["accuracy"]
        model.core.heal()
    return found


def _subset(images: Images, number: int) -> Images:
    """The first images of a fixed permutation."""
    if number < 0 or number > len(images.labels):
        raise invalid("images", f"0 (all) to {len(images.labels)}", number, "use fewer images")
    if number == 0:
        return images
    order = torch.randperm(len(images.labels), generator=torch.Generator().manual_seed(0))[:number]
    return Images(images.pixels[order], images.labels[order])


@contextmanager
def _one_thread() -> Iterator[None]:
    """Figures must not depend on how many processors a machine has."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
