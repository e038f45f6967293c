"""A whole training run: fit, choose on validation, open the test images once, write the run folder."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from elegans_gnn.connectome import Connectome
from elegans_gnn.datasets import Images, ImageSource, load_images
from elegans_gnn.errors import invalid, require_extras
from elegans_gnn.training.batches import TrainingBatches, ValidationBatches
from elegans_gnn.training.checks import check_same_run, check_start, syncs_batch_norms
from elegans_gnn.training.config import AutoencoderConfig, ClassifierConfig, TrainingConfig
from elegans_gnn.training.folders import new_folder, plain_path
from elegans_gnn.training.json_text import write_json
from elegans_gnn.training.last_checkpoint import LastCheckpoint
from elegans_gnn.training.load import (
    build,
    check_labels,
    graph_of,
    needs_graph,
    open_checkpoint,
    shape_of,
    try_backbone,
)
from elegans_gnn.training.module import LOG_EVERY, MONITOR, AutoencoderModule, ClassifierModule, averaging
from elegans_gnn.training.processes import global_rank
from elegans_gnn.training.results import (
    ClassifierResult,
    Fitted,
    RunResult,
    finish_autoencoder,
    finish_classifier,
)
from elegans_gnn.training.run_log import kept_rows, without_chatter
from elegans_gnn.training.saved import (
    check_resumable,
    config_in,
    graph_in,
    load_resumed,
    own_images_in,
    read_plain,
)

_PRECISIONS: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}


def train(config: TrainingConfig, folder: Path | str, **options: Any) -> RunResult | ClassifierResult:
    """Train whatever the configuration describes, see :func:`train_autoencoder` and :func:`train_classifier`."""
    if isinstance(config, AutoencoderConfig):
        return train_autoencoder(config, folder, **options)
    assert isinstance(config, ClassifierConfig)
    return train_classifier(config, folder, **options)


def train_autoencoder(
    config: AutoencoderConfig,
    folder: Path | str,
    *,
    source: ImageSource | None = None,
    connectome: Connectome | None = None,
    resume: bool = False,
    progress: bool = True,
    callbacks: tuple[Callback, ...] = (),
) -> RunResult:
    """Train an :class:`ElegansAutoencoder`, or a baseline, and evaluate it once on the test images.

    Args:
        config: what to do.
        folder: the run folder to write: ``config.json``, ``best.ckpt``, ``last.ckpt``, ``metrics.csv``,
            ``tensorboard/``, ``summary.json``, ``model/``, ``reconstructions.png`` and, if the model has synapses,
            ``edge_weights.png``.
        source: images instead of those the configuration names; a run that goes on needs them again.
        connectome: a graph instead of the one the configuration names.
        resume: go on from ``last.ckpt`` in the folder.
        progress: show a progress bar.
        callbacks: further Lightning callbacks.

    Raises:
        KeyboardInterrupt: after Ctrl-C, when ``last.ckpt`` has been written.
        SystemExit: at the end of training, in every process of a distributed run but the first.
        ValueError: a setting that cannot work, before anything is written.
        ImportError: a package of the extras ``train`` and ``viz`` is missing.
    """
    return finish_autoencoder(
        _fit(config, Path(folder), AutoencoderModule, source, connectome, resume, progress, callbacks)
    )


def train_classifier(
    config: ClassifierConfig,
    folder: Path | str,
    *,
    source: ImageSource | None = None,
    connectome: Connectome | None = None,
    resume: bool = False,
    progress: bool = True,
    callbacks: tuple[Callback, ...] = (),
) -> ClassifierResult:
    """Train an :class:`ElegansClassifier`, a backbone with a connectome as its head, or a baseline.

    Arguments, files and errors are those of :func:`train_autoencoder`; there are no reconstructions to draw.
    """
    return finish_classifier(
        _fit(config, Path(folder), ClassifierModule, source, connectome, resume, progress, callbacks)
    )


def _fit(
    config: TrainingConfig,
    folder: Path,
    module_type: Callable[..., L.LightningModule],
    source: ImageSource | None,
    connectome: Connectome | None,
    resume: bool,
    progress: bool,
    callbacks: tuple[Callback, ...],
) -> Fitted:
    """Everything up to the choice of the weights."""
    # Some are used at the end only: whoever lacks one hears of it before training, not after.
    require_extras("train", "viz")
    folder = plain_path(folder)
    last = folder / "last.ckpt"
    first_process = _is_first(config)
    check_start(config, folder, resume, first_process)
    saved = read_plain(last, "resume") if resume else None
    before = None if saved is None else config_in(saved)
    if saved is not None:
        check_resumable(saved, last)
    graph = _graph(config, connectome, saved, last)
    # What was handed over replaces what the configuration names, so that the run folder says what was used.
    config = _as_used(config, connectome, source, before)
    if saved is not None and before is not None:
        check_same_run(config, before, source, own_images_in(saved, before), folder)
    images = load_images(config.data, config.data_dir, getattr(config, "fold", 0)) if source is None else source
    training, validation = images.train(), images.validation()
    shape = shape_of(config, training, images.classes)
    if "num_classes" in shape:
        check_labels(validation, images.classes)
    L.seed_everything(config.seed, verbose=False)
    if config.threads:
        torch.set_num_threads(config.threads)
    model = build(config, graph, shape)
    try_backbone(config, model, training)
    sync = syncs_batch_norms(config, model)
    module = module_type(config, model, shape, images.classes, own_images=source is not None)
    if saved is not None:
        load_resumed(module, saved, last)

    keeper = LastCheckpoint(last, config.validation_interval)
    with new_folder(folder, last) if first_process and not resume else nullcontext():
        if first_process:
            write_json(folder / "config.json", config.to_dict())
        _run(config, folder, module, keeper, training, validation, resume, progress, callbacks, sync)
    return Fitted(folder, open_checkpoint(folder / "best.ckpt"), training, validation, images.test, keeper.seconds)


def _run(
    config: TrainingConfig,
    folder: Path,
    module: L.LightningModule,
    keeper: LastCheckpoint,
    training: Images,
    validation: Images,
    resume: bool,
    progress: bool,
    callbacks: tuple[Callback, ...],
    sync: bool,
) -> None:
    """Training itself; only the first process comes back from it."""
    checkpoint = ModelCheckpoint(
        dirpath=folder, filename="best", monitor=MONITOR, mode="max", enable_version_counter=False
    )
    first_process = _is_first(config)
    with without_chatter():
        trainer = _trainer(config, folder, [checkpoint, keeper, *callbacks], progress, sync)
    try:
        with without_chatter(), keeper.catching_ctrl_c(), kept_rows(folder / "metrics.csv", first_process):
            trainer.fit(
                module,
                TrainingBatches(training, config, lambda: trainer.global_step, lambda: trainer.global_rank),
                ValidationBatches(validation, binary=config.task == "autoencoder"),
                ckpt_path=keeper.path if resume else None,
                weights_only=True,
            )
    except SystemExit as error:  # how Lightning ends after Ctrl-C, when all callbacks have had their word
        raise KeyboardInterrupt from error
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        # From here on the first process works alone; figures must not wait for the others.
        torch.distributed.destroy_process_group()
    if not trainer.is_global_zero:
        raise SystemExit(0)


def _is_first(config: TrainingConfig) -> bool:
    return config.devices * config.nodes == 1 or global_rank() == 0


def _graph(
    config: TrainingConfig, given: Connectome | None, saved: dict[str, Any] | None, last: Path
) -> Connectome | None:
    """The graph to train on, if the model has one; a resumed run goes on with the one in its checkpoint."""
    if not needs_graph(config):
        return None
    if saved is None:
        return graph_of(config) if given is None else given
    graph = graph_in(saved, "resume", last)
    if given is not None and given != graph:
        raise invalid("connectome", f"the graph of the run, {graph.name}", given.name, "leave it away when resuming")
    return graph


def _as_used(
    config: TrainingConfig, connectome: Connectome | None, source: ImageSource | None, before: TrainingConfig | None
) -> TrainingConfig:
    if before is not None:
        config = replace(config, connectome=before.connectome, graph=before.graph, graph_seed=before.graph_seed)
    elif connectome is not None:
        config = replace(config, connectome=connectome.name, graph="original")
    return config if source is None else replace(config, data=source.name)


class _Progress(RichProgressBar):
    """Lightning's bar without the logger's version, which is the same word in every run."""

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        metrics: dict[str, Any] = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics


def _trainer(config: TrainingConfig, folder: Path, callbacks: list[Callback], progress: bool, sync: bool) -> L.Trainer:
    bar: list[Callback] = [_Progress()] if progress else []
    # The averaging callback comes first: what follows must see, save and judge the averaged weights.
    average: list[Callback] = [averaging(config.ema)] if config.ema else []
    patience: list[Callback] = [EarlyStopping(MONITOR, mode="max", patience=config.patience)] if config.patience else []
    return L.Trainer(
        accelerator=config.accelerator,
        devices=config.devices,
        num_nodes=config.nodes,
        strategy="ddp" if config.devices * config.nodes > 1 else "auto",
        sync_batchnorm=sync,
        use_distributed_sampler=False,
        precision=_PRECISIONS[config.precision],
        max_steps=config.steps,
        max_epochs=1,
        callbacks=[*average, *patience, *callbacks, *bar],
        logger=[
            CSVLogger(folder.parent, name=folder.name, version=""),
            TensorBoardLogger(folder.parent, name=folder.name, version="tensorboard"),
        ],
        val_check_interval=config.validation_interval,
        check_val_every_n_epoch=None,
        log_every_n_steps=min(LOG_EVERY, config.steps),
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=progress,
        default_root_dir=folder,
        gradient_clip_val=config.clip or None,
    )
