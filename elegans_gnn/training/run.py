"""A whole training run: fit, choose on validation, open the test images once, write the run folder."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities.seed import isolate_rng

from elegans_gnn._text import write_json
from elegans_gnn.connectome import Connectome
from elegans_gnn.datasets import Images, ImageSource, load_images
from elegans_gnn.errors import invalid, require_extras
from elegans_gnn.training.batches import TrainingBatches, ValidationBatches
from elegans_gnn.training.checkpoint import (
    check_resumable,
    config_in,
    graph_in,
    load_resumed,
    open_checkpoint,
    own_images_in,
    read_plain,
)
from elegans_gnn.training.config import CONFIGS, AutoencoderConfig, ClassifierConfig, TrainingConfig
from elegans_gnn.training.features import with_features
from elegans_gnn.training.folder import (
    BEST,
    CONFIG,
    LAST,
    global_rank,
    kept_rows,
    new_folder,
    plain_path,
    without_chatter,
)
from elegans_gnn.training.last_checkpoint import LastCheckpoint
from elegans_gnn.training.module import LOG_EVERY, MODULES, MONITOR, averaging
from elegans_gnn.training.prepare import (
    build,
    check_labels,
    check_same_run,
    check_start,
    graph_of,
    needs_graph,
    shape_of,
    syncs_batch_norms,
    try_backbone,
)
from elegans_gnn.training.results import (
    AutoencoderResult,
    ClassifierResult,
    FittedRun,
    finish_autoencoder,
    finish_classifier,
)

_PRECISIONS: dict[str, Any] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]


def train(
    config: TrainingConfig,
    folder: Path | str,
    *,
    source: ImageSource | None = None,
    connectome: Connectome | None = None,
    resume: bool = False,
    progress: bool = True,
    callbacks: tuple[Callback, ...] = (),
) -> AutoencoderResult | ClassifierResult:
    """Train a model, choose its weights on the validation images and evaluate it once on the test images.

    Threads, random states, signal handlers and the environment of the process are afterwards as they were before.

    Args:
        config: what to do: an :class:`AutoencoderConfig` or a :class:`ClassifierConfig`.
        folder: the run folder to write: ``config.json``, ``best.ckpt``, ``last.ckpt``, ``metrics.csv``,
            ``tensorboard/``, ``summary.json``, ``model/``, for autoencoders ``reconstructions.png`` and, if the model
            has synapses, ``edge_weights.png``.
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
    if not isinstance(config, tuple(CONFIGS.values())):
        got = type(config).__name__
        raise invalid("config", "an AutoencoderConfig or a ClassifierConfig", got, "such as AutoencoderConfig()")
    # Some are used at the end only: a missing one is reported before training, not after.
    require_extras("train", "viz")
    with isolate_rng(), _process_state_restored():
        fitted = _fit(config, plain_path(Path(folder)), source, connectome, resume, progress, callbacks)
        return (finish_autoencoder if config.task == "autoencoder" else finish_classifier)(fitted)


def train_autoencoder(config: AutoencoderConfig, folder: Path | str, **options: Any) -> AutoencoderResult:
    """:func:`train` for an autoencoder."""
    result = train(config, folder, **options)
    assert isinstance(result, AutoencoderResult)
    return result


def train_classifier(config: ClassifierConfig, folder: Path | str, **options: Any) -> ClassifierResult:
    """:func:`train` for a classifier."""
    result = train(config, folder, **options)
    assert isinstance(result, ClassifierResult)
    return result


@contextmanager
def _process_state_restored() -> Iterator[None]:
    """Leave threads, the environment and signal handlers as they were."""
    threads, environment = torch.get_num_threads(), dict(os.environ)
    handlers = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        for name in os.environ.keys() - environment.keys():
            del os.environ[name]
        os.environ.update(environment)
        if threading.current_thread() is threading.main_thread():
            for number, handler in handlers.items():
                if handler is not None:  # one that was not set from Python cannot be set again
                    signal.signal(number, handler)


def _fit(
    config: TrainingConfig,
    folder: Path,
    source: ImageSource | None,
    connectome: Connectome | None,
    resume: bool,
    progress: bool,
    callbacks: tuple[Callback, ...],
) -> FittedRun:
    """Everything up to the choice of the weights."""
    last, first_process = folder / LAST, _is_first(config)
    check_start(config, folder, resume, first_process)
    saved = read_plain(last, "resume") if resume else None
    before = None if saved is None else config_in(saved)
    if saved is not None:
        check_resumable(saved, last)
    graph = _graph(config, connectome, saved, last)
    # What was passed in replaces what the configuration names, so that the run folder says what was used.
    config = _as_used(config, connectome, source, before).resolved()
    if saved is not None and before is not None:
        check_same_run(config, before.resolved(), source, own_images_in(saved, before), folder)
    named = config.data
    images = load_images(named.data, named.data_dir, named.fold) if source is None else source
    training, validation = images.train(), images.validation()
    shape = shape_of(config, training, images.classes)
    if "num_classes" in shape:
        check_labels(validation, images.classes)
    L.seed_everything(config.optim.seed, verbose=False)
    if config.machine.threads:
        torch.set_num_threads(config.machine.threads)
    model = build(config, graph, shape)
    try_backbone(config, model, training)
    sync = syncs_batch_norms(config, model)
    module = MODULES[config.task](config, model, shape, images.classes, own_images=source is not None)
    if saved is not None:
        load_resumed(module, saved, last)
    training, validation, test = with_features(config, model, training, validation, images.test, progress)

    keeper = LastCheckpoint(last, config.validation_interval)
    with new_folder(folder, last) if first_process and not resume else nullcontext():
        if first_process:
            write_json(folder / CONFIG, config.to_dict())
        trainer = _trainer(config, folder, keeper, callbacks, progress, sync)
        _run(trainer, config, module, keeper, training, validation, resume)
    return FittedRun(folder, open_checkpoint(folder / BEST), training, validation, test, keeper.seconds)


def _run(
    trainer: L.Trainer,
    config: TrainingConfig,
    module: L.LightningModule,
    keeper: LastCheckpoint,
    training: Images,
    validation: Images,
    resume: bool,
) -> None:
    """Training itself; only the first process returns from it."""
    log = keeper.path.with_name("metrics.csv")
    try:
        with without_chatter(), keeper.catching_ctrl_c(), kept_rows(log, _is_first(config)):
            trainer.fit(
                module,
                TrainingBatches(training, config, lambda: trainer.global_step, lambda: trainer.global_rank),
                ValidationBatches(validation, binary=config.task == "autoencoder"),
                ckpt_path=keeper.path if resume else None,
                weights_only=True,
            )
    except SystemExit as error:  # how Lightning ends after Ctrl-C, when all callbacks have run
        raise KeyboardInterrupt from error
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        # From here on the first process works alone; figures must not wait for the others.
        torch.distributed.destroy_process_group()
    if not trainer.is_global_zero:
        raise SystemExit(0)


def _is_first(config: TrainingConfig) -> bool:
    return config.machine.processes == 1 or global_rank() == 0


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
        raise invalid("connectome", f"the graph of the run, {graph.name}", given.name, "omit it when resuming")
    return graph


def _as_used(
    config: TrainingConfig, connectome: Connectome | None, source: ImageSource | None, before: TrainingConfig | None
) -> TrainingConfig:
    if before is not None:
        graph = before.graph
        config = config.changed(connectome=graph.connectome, graph=graph.graph, graph_seed=graph.graph_seed)
    elif connectome is not None:
        config = config.changed(connectome=connectome.name, graph="original", graph_seed=0)
    return config if source is None else config.changed(data=source.name)


class _Progress(RichProgressBar):
    """Lightning's bar without the logger's version, which is the same word in every run."""

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        metrics: dict[str, Any] = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics


def _trainer(
    config: TrainingConfig,
    folder: Path,
    keeper: LastCheckpoint,
    callbacks: tuple[Callback, ...],
    progress: bool,
    sync: bool,
) -> L.Trainer:
    optim, machine = config.optim, config.machine
    best = ModelCheckpoint(folder, filename=Path(BEST).stem, monitor=MONITOR, mode="max", enable_version_counter=False)
    bar: list[Callback] = [_Progress()] if progress else []
    # The averaging callback comes first: what follows must see, save and judge the averaged weights.
    average: list[Callback] = [averaging(optim.ema)] if optim.ema else []
    patience: list[Callback] = [EarlyStopping(MONITOR, mode="max", patience=optim.patience)] if optim.patience else []
    with without_chatter():
        return L.Trainer(
            accelerator=machine.accelerator,
            devices=machine.devices,
            num_nodes=machine.nodes,
            strategy="ddp" if machine.processes > 1 else "auto",
            sync_batchnorm=sync,
            use_distributed_sampler=False,
            precision=_PRECISIONS[machine.precision],
            max_steps=optim.steps,
            max_epochs=1,
            callbacks=[*average, *patience, best, keeper, *callbacks, *bar],
            logger=[
                CSVLogger(folder.parent, name=folder.name, version=""),
                TensorBoardLogger(folder.parent, name=folder.name, version="tensorboard"),
            ],
            val_check_interval=config.validation_interval,
            check_val_every_n_epoch=None,
            log_every_n_steps=min(LOG_EVERY, optim.steps),
            num_sanity_val_steps=0,
            enable_model_summary=False,
            enable_progress_bar=progress,
            default_root_dir=folder,
            gradient_clip_val=optim.clip or None,
        )
