"""What would spoil a run later, refused before anything is written."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from elegans_gnn.datasets import ImageSource
from elegans_gnn.errors import invalid
from elegans_gnn.models.pretrained import check_replaceable
from elegans_gnn.training.config import TrainingConfig
from elegans_gnn.training.effects import check_effects
from elegans_gnn.training.folders import check_new


def check_start(config: TrainingConfig, folder: Path, resume: bool, first_process: bool) -> None:
    """Refuse a folder or a machine that is not fit for the run, before anything is read.

    Raises:
        ValueError: which of them, and why.
    """
    if resume and not (folder / "last.ckpt").is_file():
        raise invalid("resume", "a run folder with last.ckpt", str(folder), "start the run anew without resume")
    # The other processes of a distributed run find what the first one has begun to write.
    if first_process and not resume:
        check_new(folder)
    if first_process and resume and (folder / "model").exists():
        check_replaceable(folder / "model", overwrite=True)
    if not resume:
        check_effects(config)
    if config.accelerator == "gpu" and not torch.accelerator.is_available():
        got = "gpu on a machine where it finds none"
        raise invalid("accelerator", "a GPU that torch finds", got, "use accelerator=cpu")


def check_same_run(
    config: TrainingConfig, saved: TrainingConfig, source: ImageSource | None, own_images: bool, folder: Path
) -> None:
    """Refuse to go on with other settings or other images.

    Args:
        config: of the run that goes on.
        saved: of the interrupted one.
        source: the images handed over.
        own_images: whether the interrupted run was given some.
        folder: of the run.

    Raises:
        ValueError: something differs.
    """
    if own_images and source is None:
        remedy = "resume it in Python: train(config, folder, source=..., resume=True)"
        raise invalid("source", f"the images that the run in {folder} was started with", "none", remedy)
    before = saved.to_dict()
    changed = {name: value for name, value in config.to_dict().items() if before.get(name) != value}
    if changed:
        was = {name: before.get(name) for name in changed}
        raise invalid("config", f"that of the interrupted run ({was})", changed, "resume with the run's config.json")


def syncs_batch_norms(config: TrainingConfig, model: nn.Module) -> bool:
    """Whether batch norms must share their statistics, so that several processes train what one would.

    Raises:
        ValueError: they must, and torch cannot do it on the CPU.
    """
    processes = config.devices * config.nodes
    # A frozen backbone stays in evaluation mode.
    train = any(isinstance(module, _BatchNorm) and module.training for module in model.train().modules())
    if processes == 1 or not train:
        return False
    if config.accelerator == "cpu" or not torch.cuda.is_available():
        remedy = "use --frozen (frozen=True), or one process"
        raise invalid("devices", "1 on the CPU for a model whose batch norms train", f"{processes} processes", remedy)
    return True
