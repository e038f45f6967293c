"""A frozen backbone's features of the images, computed once and kept in a folder: every head then trains in seconds."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from torch import Tensor

from elegans_gnn.datasets import Images
from elegans_gnn.errors import invalid
from elegans_gnn.training.config import TrainingConfig
from elegans_gnn.training.metrics import EVALUATION_BATCH
from elegans_gnn.training.model_options import chooser, no_effect

# Bytes of one part's features; 55,000 images with 1,280 features each have 0.3 GB.
_LARGEST = 4 << 30


def with_features(
    config: TrainingConfig,
    model: Any,
    training: Images,
    validation: Images,
    test: Callable[[], Images],
    progress: bool = False,
) -> tuple[Images, Images, Callable[[], Images]]:
    """The images of a run, replaced by features [M, F, 1, 1] if the run has a `feature_cache`.

    Args:
        config: of the run.
        model: a backbone with a head.
        training, validation, test: the three parts; `test` is still read when it is called, and not before.
        progress: show a progress bar.

    Raises:
        ValueError: the backbone trains, the features are too many, or the folder cannot be used.
    """
    folder = getattr(config.data, "feature_cache", "")
    if not folder:
        return training, validation, test
    if not getattr(model, "frozen", False):
        raise no_effect("feature_cache", folder, chooser(config.model), "use a backbone with frozen=True, or omit it")
    weights = _digest_of_backbone(model)

    def kept(images: Images) -> Images:
        return Images(_kept(Path(folder), weights, model, images.pixels, progress), images.labels)

    return kept(training), kept(validation), lambda: kept(test())


def _digest_of_backbone(model: Any) -> bytes:
    """What the features depend on besides the images: weights, colours, size, and the version of torch."""
    about = f"{torch.__version__} {type(model.backbone).__name__} {model.resize}"
    found = hashlib.sha256(about.encode())
    for name, value in (*model.backbone.state_dict().items(), ("mean", model.mean), ("std", model.std)):
        found.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        found.update(value.detach().cpu().contiguous().numpy().tobytes())
    return found.digest()


@torch.no_grad()
def _kept(folder: Path, weights: bytes, model: Any, pixels: Tensor, progress: bool) -> Tensor:
    """The features of some images: read from their file, or computed and written to it, whole or not at all."""
    found = hashlib.sha256(weights + str(list(pixels.shape)).encode())
    found.update(pixels.contiguous().numpy().tobytes())
    path, shape = folder / f"{found.hexdigest()[:32]}.npy", (len(pixels), model.head.in_features)
    if 4 * shape[0] * shape[1] > _LARGEST:
        got = f"{shape[0]} x {shape[1]} numbers"
        raise invalid("feature_cache", f"omitted for features of more than {_LARGEST >> 30} GiB", got, "omit it")
    if not path.is_file():
        batches = track(pixels.split(EVALUATION_BATCH), f"features for {folder}", transient=True, disable=not progress)
        _write(path, torch.cat([model.features(batch) for batch in batches]).numpy())
    try:
        features = np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        raise _damaged(path, str(error)) from error
    if features.shape != shape or features.dtype != np.float32:
        raise _damaged(path, f"{features.dtype} {list(features.shape)}")
    return torch.from_numpy(features)[:, :, None, None]


def _damaged(path: Path, said: str) -> ValueError:
    expected, remedy = "a folder with features that this library wrote", "remove that file: it is computed again"
    return invalid("feature_cache", expected, f"{path} ({said[:80]})", remedy)


def _write(path: Path, features: np.ndarray) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".tmp", delete=False) as file:
            try:
                np.save(file, features)
                file.close()
                os.replace(file.name, path)
            except BaseException:  # Ctrl-C too
                os.unlink(file.name)
                raise
    except OSError as error:
        said = f"{path.parent}: {error.strerror or error}"
        raise invalid("feature_cache", "a folder that can be written", said, "choose another") from error
