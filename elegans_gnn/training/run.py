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
from elegans_gnn.training.config import AutoencoderConfig, ClassifierConfig, TrainingConfig
from elegans_gnn.training.effects import check_effects
from elegans_gnn.training.folders import check_new, new_folder, plain_path
from elegans_gnn.training.last_checkpoint import LastCheckpoint
from elegans_gnn.training.load import (
    build,
    check_labels,
    config_in,
    graph_of,
    needs_graph,
    open_checkpoint,
    read_plain,
    shape_of,
    try_backbone,
)
from elegans_gnn.training.module import MONITOR, AutoencoderModule, ClassifierModule, averaging
from elegans_gnn.training.processes import global_rank
from elegans_gnn.training.results import (
    ClassifierResult,
    Fitted,
    RunResult,
    finish_autoencoder,
    finish_classifier,
    write_json,
)
from elegans_gnn.training.run_log import kept_rows, without_chatter

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
        source: images instead of those the configuration names.
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
    _check_start(config, folder, resume, first_process)
    saved = read_plain(last, "resume") if resume else None
    graph = _graph(config, connectome, saved)
    images = load_images(config.data, config.data_dir, getattr(config, "fold", 0)) if source is None else source
    # What was handed over replaces what the configuration names, so that the run folder says what was used.
    before = None if saved is None else config_in(saved)
    config = _as_used(config, connectome, source, before)
    if before is not None:
        _check_same_run(config, before.to_dict())
    training, validation = images.train(), images.validation()
    shape = shape_of(config, training, images.classes)
    if "num_classes" in shape:
        check_labels(validation, images.classes)
    L.seed_everything(config.seed, verbose=False)
    if config.threads:
        torch.set_num_threads(config.threads)
    model = build(config, graph, shape)
    try_backbone(config, model, training)
    module = module_type(config, model, shape, images.classes)

    keeper = LastCheckpoint(last, config.validation_interval)
    with new_folder(folder, last) if first_process and not resume else nullcontext():
        if first_process:
            write_json(folder / "config.json", config.to_dict())
        _run(config, folder, module, keeper, training, validation, resume, progress, callbacks)
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
) -> None:
    """Training itself; only the first process comes back from it."""
    checkpoint = ModelCheckpoint(
        dirpath=folder, filename="best", monitor=MONITOR, mode="max", enable_version_counter=False
    )
    first_process = _is_first(config)
    with without_chatter():
        trainer = _trainer(config, folder, [checkpoint, keeper, *callbacks], progress)
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


def _check_start(config: TrainingConfig, folder: Path, resume: bool, first_process: bool) -> None:
    """Refuse what would spoil the run later, before anything is read or written."""
    if resume and not (folder / "last.ckpt").is_file():
        raise invalid("resume", "a run folder with last.ckpt", str(folder), "start the run anew without resume")
    # The other processes of a distributed run find what the first one has begun to write.
    if first_process and not resume:
        check_new(folder)
    if not resume:
        check_effects(config)
    if config.accelerator == "gpu" and not torch.accelerator.is_available():
        raise invalid("accelerator", "there", "gpu on a machine where torch finds none", "use accelerator='cpu'")


def _graph(config: TrainingConfig, given: Connectome | None, saved: dict[str, Any] | None) -> Connectome | None:
    """The graph to train on, if the model has one; a resumed run goes on with the one in its checkpoint."""
    if not needs_graph(config):
        return None
    if saved is None:
        return graph_of(config) if given is None else given
    graph = Connectome.from_dict(saved["connectome"])
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


def _check_same_run(config: TrainingConfig, saved: dict[str, Any]) -> None:
    changed = {name: value for name, value in config.to_dict().items() if saved.get(name) != value}
    if changed:
        before = {name: saved.get(name) for name in changed}
        raise invalid("config", f"that of the interrupted run ({before})", changed, "resume with the run's config.json")


class _Progress(RichProgressBar):
    """Lightning's bar without the logger's version, which is the same word in every run."""

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        metrics: dict[str, Any] = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics


def _trainer(config: TrainingConfig, folder: Path, callbacks: list[Callback], progress: bool) -> L.Trainer:
    bar: list[Callback] = [_Progress()] if progress else []
    # The averaging callback comes first: what follows must see, save and judge the averaged weights.
    average: list[Callback] = [averaging(config.ema)] if config.ema else []
    patience: list[Callback] = [EarlyStopping(MONITOR, mode="max", patience=config.patience)] if config.patience else []
    return L.Trainer(
        accelerator=config.accelerator,
        devices=config.devices,
        num_nodes=config.nodes,
        strategy="ddp" if config.devices * config.nodes > 1 else "auto",
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
        log_every_n_steps=min(10, config.steps),
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=progress,
        default_root_dir=folder,
        gradient_clip_val=config.clip or None,
    )
