"""A whole training run: fit, choose on validation, open the test images once, write the run folder."""

from __future__ import annotations

import csv
import json
import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from elegans_gnn.connectome import Connectome, load_connectome
from elegans_gnn.datasets import Images, ImageSource, ink, load_digits
from elegans_gnn.errors import invalid, require
from elegans_gnn.models import ElegansAutoencoder
from elegans_gnn.training.baselines import pca_reconstruction
from elegans_gnn.training.config import AutoencoderConfig
from elegans_gnn.training.metrics import evaluate_reconstruction
from elegans_gnn.training.module import AutoencoderModule, TrainingBatches, ValidationBatches, averaging
from elegans_gnn.viz import plot_edge_weights, plot_reconstructions

_SHOWN = 16


@dataclass(frozen=True)
class RunResult:
    """What a run came to.

    Args:
        folder: where everything was written.
        model: the network with the best validation accuracy, averaged weights.
        test, validation: the four figures by name.
        pca: the same figures on the test images for PCA with as many components as the code has floats.
        parameters: number of parameters by part.
        seconds: of training, validation included.
        best_step: the step whose weights were chosen.
    """

    folder: Path
    model: ElegansAutoencoder
    test: dict[str, float]
    validation: dict[str, float]
    pca: dict[str, float]
    parameters: dict[str, int]
    seconds: float
    best_step: int


def new_run_folder(root: Path, name: str | None, prefix: str) -> Path:
    """The folder of a new run: `root/name`, or the first free `root/prefix-001`, `-002`, ... Never an existing one."""
    if root.exists() and not root.is_dir():
        raise invalid("runs", "a folder", f"{root}, which is a file", "choose another")
    if name is not None:
        if Path(name).name != name:
            raise invalid("name", "a plain folder name", repr(name), f"its folder is made in {root}")
        folder = root / name
        if folder.exists():
            raise invalid(
                "name", "a new run's name", f"{name!r}, which exists in {root}", "choose another or resume it"
            )
        return folder
    number = 1
    while (root / f"{prefix}-{number:03d}").exists():
        number += 1
    return root / f"{prefix}-{number:03d}"


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
    """Train an :class:`ElegansAutoencoder` and evaluate it once on the test images.

    Args:
        config: what to do.
        folder: the run folder to write: ``config.json``, ``best.ckpt``, ``last.ckpt``, ``metrics.csv``,
            ``tensorboard/``, ``summary.json``, ``reconstructions.png`` and ``edge_weights.png``.
        source: images instead of ``load_digits(config.data)``.
        connectome: a graph instead of ``load_connectome(config.connectome)``.
        resume: go on from ``last.ckpt`` in the folder.
        progress: show a progress bar.
        callbacks: further Lightning callbacks.

    Raises:
        KeyboardInterrupt: after Ctrl-C, when ``last.ckpt`` has been written.
        ValueError: a setting that cannot work, before anything is written.
        ImportError: a package of the extras ``train`` and ``viz`` is missing.
    """
    # Used at the end only: whoever lacks one hears of it before training, not after.
    for package in ("tensorboard", "sklearn", "matplotlib"):
        require(package)
    folder = Path(folder)
    last = folder / "last.ckpt"
    if resume and not last.is_file():
        raise invalid("resume", "a run folder with last.ckpt", str(folder), "start the run anew without resume")
    if not resume and folder.exists() and any(folder.iterdir()):
        raise invalid("folder", "new or empty", str(folder), "choose another folder, or resume the run in it")
    if config.accelerator == "gpu" and not torch.accelerator.is_available():
        raise invalid("accelerator", "there", "gpu on a machine where torch finds none", "use accelerator='cpu'")
    graph = load_connectome(config.connectome) if connectome is None else connectome
    images = load_digits(config.data, config.data_dir) if source is None else source
    train, validation = images.train(), images.validation()
    L.seed_everything(config.seed, verbose=False)
    if config.threads:
        torch.set_num_threads(config.threads)
    module = AutoencoderModule(config, graph)

    folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / "config.json", config.to_dict())
    checkpoint = ModelCheckpoint(
        dirpath=folder, filename="best", monitor="val/accuracy", mode="max", enable_version_counter=False
    )
    with _without_chatter():
        trainer = _trainer(
            config, folder, [checkpoint, _KeepLast(last, validation_interval(config)), *callbacks], progress
        )
    earlier = _logged_rows(folder / "metrics.csv") if resume else []
    started = time.perf_counter()
    try:
        with _without_chatter():
            trainer.fit(
                module,
                TrainingBatches(train, config, lambda: trainer.global_step),
                ValidationBatches(validation),
                ckpt_path=last if resume else None,
                weights_only=True,
            )
    except SystemExit as error:  # how Lightning ends after Ctrl-C, when all callbacks have had their word
        raise KeyboardInterrupt from error
    finally:
        _merge_rows(folder / "metrics.csv", earlier)
    seconds = time.perf_counter() - started
    best, best_step = _load(Path(checkpoint.best_model_path))
    return _finish(folder, best, config, images, train, validation, seconds, best_step)


def load_autoencoder(checkpoint: Path | str) -> ElegansAutoencoder:
    """The network of a checkpoint (or of a run folder: its best one), with the graph it was trained on."""
    path = Path(checkpoint)
    return _load(path / "best.ckpt" if path.is_dir() else path)[0]


def _load(path: Path) -> tuple[ElegansAutoencoder, int]:
    if not path.is_file():
        raise invalid(
            "checkpoint", "a checkpoint or a run folder", str(path), "pass the path of best.ckpt or last.ckpt"
        )
    plain = torch.load(path, map_location="cpu", weights_only=True)
    config = AutoencoderConfig.from_dict(plain["hyper_parameters"])
    model = ElegansAutoencoder(Connectome.from_dict(plain["connectome"]), **config.model_arguments())
    prefix = "model."
    state = {key[len(prefix) :]: value for key, value in plain["state_dict"].items() if key.startswith(prefix)}
    model.load_state_dict(state)
    return model.eval(), int(plain["global_step"])


class _KeepLast(Callback):
    """Writes last.ckpt at the start, at every validation and when training breaks off; whole or not at all."""

    def __init__(self, path: Path, interval: int) -> None:
        self.path, self.interval = path, interval
        self.validated = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.validated = trainer.global_step
        if not trainer.global_step:
            self._save(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.validated = trainer.global_step
        self._save(trainer)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        # Lightning would take a validation broken off here for done; the file before it leads back to it.
        due = trainer.global_step % self.interval == 0 and self.validated != trainer.global_step
        if self.path.exists() and not due:
            self._save(trainer)

    def _save(self, trainer: L.Trainer) -> None:
        aside = self.path.with_suffix(".tmp")
        trainer.save_checkpoint(aside)
        aside.replace(self.path)


def validation_interval(config: AutoencoderConfig) -> int:
    """Steps between validations: the least divisor of `steps` from `validate_every` on, so the last step counts."""
    least = min(config.validate_every, config.steps)
    return next(interval for interval in range(least, config.steps + 1) if config.steps % interval == 0)


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Lightning's notes on what is meant to be so stay unsaid; its other warnings come through."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        # The run folder holds configuration, logs and checkpoints side by side; _merge_rows keeps the earlier log.
        warnings.filterwarnings("ignore", message="Experiment logs directory .* exists", module="lightning")
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists", module="lightning")
        warnings.filterwarnings("ignore", message=".*isinstance.treespec, LeafSpec.* is deprecated", module="lightning")
        for logger in loggers:
            logger.setLevel(logging.WARNING)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def _trainer(config: AutoencoderConfig, folder: Path, callbacks: list[Callback], progress: bool) -> L.Trainer:
    bar: list[Callback] = [RichProgressBar()] if progress else []
    # The averaging callback comes first: what follows must see, save and judge the averaged weights.
    average: list[Callback] = [averaging(config.ema)] if config.ema else []
    return L.Trainer(
        accelerator=config.accelerator,
        devices=1,
        max_steps=config.steps,
        max_epochs=1,
        callbacks=[*average, *callbacks, *bar],
        logger=[
            CSVLogger(folder.parent, name=folder.name, version=""),
            TensorBoardLogger(folder.parent, name=folder.name, version="tensorboard"),
        ],
        val_check_interval=validation_interval(config),
        check_val_every_n_epoch=None,
        log_every_n_steps=min(10, config.steps),
        num_sanity_val_steps=0,
        enable_model_summary=False,
        enable_progress_bar=progress,
        default_root_dir=folder,
        gradient_clip_val=None,
    )


def _finish(
    folder: Path,
    model: ElegansAutoencoder,
    config: AutoencoderConfig,
    images: ImageSource,
    train: Images,
    validation: Images,
    seconds: float,
    best_step: int,
) -> RunResult:
    """Everything after training: the choice is made, the test images are opened."""
    chosen = evaluate_reconstruction(model, ink(validation.pixels))
    test = ink(images.test().pixels)
    components = min(config.code, len(train.pixels))
    result = RunResult(
        folder=folder,
        model=model,
        test=evaluate_reconstruction(model, test),
        validation=chosen,
        pca=evaluate_reconstruction(pca_reconstruction(ink(train.pixels), components), test),
        parameters=model.parameters_by_part(),
        seconds=seconds,
        best_step=best_step,
    )
    # Spread over the test images, which some sources sort by digit.
    shown = test[torch.linspace(0, len(test) - 1, _SHOWN).long()]
    with torch.no_grad():
        drawn = torch.sigmoid(model(shown))
        weights = model.core.conv.edge_weight()
    plot_reconstructions(shown[:, 0].numpy(), drawn[:, 0].numpy(), folder / "reconstructions.png")
    plot_edge_weights(model.connectome, weights.numpy(), folder / "edge_weights.png")
    summary: dict[str, Any] = {
        "test": result.test,
        "validation": result.validation,
        f"pca{components}_test": result.pca,
        "parameters": result.parameters,
        "seconds": round(seconds, 2),
        "best_step": best_step,
        "connectome": {"name": model.connectome.name, "sha256": model.connectome.fingerprint},
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    _write_json(folder / "summary.json", summary)
    return result


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _logged_rows(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _merge_rows(path: Path, earlier: list[dict[str, str]]) -> None:
    """Put the rows of the interrupted part back in front: the logger begins its file anew."""
    if not earlier:
        return
    rows = _logged_rows(path)
    first = min((int(row["step"]) for row in rows), default=None)
    kept = [row for row in earlier if first is None or int(row["step"]) < first]
    columns = list(dict.fromkeys(key for row in [*kept, *rows] for key in row))
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows([*kept, *rows])
