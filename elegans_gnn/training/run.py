"""A whole training run: fit, choose on validation, open the test images once, write the run folder."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

from elegans_gnn.connectome import Connectome, load_connectome
from elegans_gnn.datasets import Images, ImageSource, ink, load_digits
from elegans_gnn.errors import invalid, require_extras
from elegans_gnn.models import ElegansAutoencoder
from elegans_gnn.training.baselines import pca_reconstruction
from elegans_gnn.training.config import AutoencoderConfig
from elegans_gnn.training.last_checkpoint import LastCheckpoint
from elegans_gnn.training.metrics import evaluate_reconstruction
from elegans_gnn.training.module import AutoencoderModule, TrainingBatches, ValidationBatches, averaging
from elegans_gnn.training.run_log import kept_rows, without_chatter
from elegans_gnn.viz import plot_edge_weights, plot_reconstructions

_SHOWN = 16


@dataclass(frozen=True)
class RunResult:
    """What a run came to.

    Args:
        folder: where everything was written.
        model: the network with the best validation accuracy, averaged weights.
        test, validation: the four figures by name.
        pca: the same figures on the test images for PCA.
        pca_components: as many as the code has floats, if there are so many pixels and training images.
        parameters: number of parameters by part.
        seconds: of training, validation included.
        best_step: the step whose weights were chosen.
    """

    folder: Path
    model: ElegansAutoencoder
    test: dict[str, float]
    validation: dict[str, float]
    pca: dict[str, float]
    pca_components: int
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
    # Some are used at the end only: whoever lacks one hears of it before training, not after.
    require_extras("train", "viz")
    folder = Path(folder)
    last = folder / "last.ckpt"
    _check_start(config, folder, resume)
    saved = torch.load(last, map_location="cpu", weights_only=True) if resume else None
    graph = _graph(config, connectome, saved)
    images = load_digits(config.data, config.data_dir) if source is None else source
    # What was handed over replaces what the configuration names, so that the run folder says what was used.
    config = replace(config, connectome=graph.name, data=config.data if source is None else source.name)
    if saved is not None:
        _check_same_run(config, saved["hyper_parameters"])
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
    keeper = LastCheckpoint(last, config.validation_interval)
    with without_chatter():
        trainer = _trainer(config, folder, [checkpoint, keeper, *callbacks], progress)
    started = time.perf_counter()
    try:
        with without_chatter(), keeper.catching_ctrl_c(), kept_rows(folder / "metrics.csv"):
            trainer.fit(
                module,
                TrainingBatches(train, config, lambda: trainer.global_step),
                ValidationBatches(validation),
                ckpt_path=last if resume else None,
                weights_only=True,
            )
    except SystemExit as error:  # how Lightning ends after Ctrl-C, when all callbacks have had their word
        raise KeyboardInterrupt from error
    seconds = time.perf_counter() - started
    best, best_step = _load(folder / "best.ckpt")
    return _finish(folder, best, config, images, train, validation, seconds, best_step)


def _check_start(config: AutoencoderConfig, folder: Path, resume: bool) -> None:
    """Refuse what would spoil the run later, before anything is read or written."""
    if resume and not (folder / "last.ckpt").is_file():
        raise invalid("resume", "a run folder with last.ckpt", str(folder), "start the run anew without resume")
    if not resume and folder.exists() and any(folder.iterdir()):
        raise invalid("folder", "new or empty", str(folder), "choose another folder, or resume the run in it")
    if config.accelerator == "gpu" and not torch.accelerator.is_available():
        raise invalid("accelerator", "there", "gpu on a machine where torch finds none", "use accelerator='cpu'")


def _graph(config: AutoencoderConfig, given: Connectome | None, saved: dict[str, Any] | None) -> Connectome:
    """The graph to train on; a resumed run goes on with the one in its checkpoint."""
    if saved is None:
        return load_connectome(config.connectome) if given is None else given
    graph = Connectome.from_dict(saved["connectome"])
    if given is not None and given != graph:
        raise invalid("connectome", f"the graph of the run, {graph.name}", given.name, "leave it away when resuming")
    return graph


def _check_same_run(config: AutoencoderConfig, saved: dict[str, Any]) -> None:
    changed = {name: value for name, value in config.to_dict().items() if saved.get(name) != value}
    if changed:
        before = {name: saved.get(name) for name in changed}
        raise invalid("config", f"that of the interrupted run ({before})", changed, "resume with the run's config.json")


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


class _Progress(RichProgressBar):
    """Lightning's bar without the logger's version, which is the same word in every run."""

    def get_metrics(self, trainer: L.Trainer, pl_module: L.LightningModule) -> dict[str, Any]:
        metrics: dict[str, Any] = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        return metrics


def _trainer(config: AutoencoderConfig, folder: Path, callbacks: list[Callback], progress: bool) -> L.Trainer:
    bar: list[Callback] = [_Progress()] if progress else []
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
        val_check_interval=config.validation_interval,
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
    components = min(config.code, len(train.pixels), test[0].numel())
    result = RunResult(
        folder=folder,
        model=model,
        test=evaluate_reconstruction(model, test),
        validation=chosen,
        pca=evaluate_reconstruction(pca_reconstruction(ink(train.pixels), components), test),
        pca_components=components,
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
