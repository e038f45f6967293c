"""The end of a run: the weights are chosen, the test images are opened, the run folder is completed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from elegans_gnn._text import write_json
from elegans_gnn.datasets import Images, ink
from elegans_gnn.models.pretrained import CLASSES
from elegans_gnn.training.checkpoint import Checkpoint
from elegans_gnn.training.metrics import eight_bit_reconstruction, evaluate_classification, evaluate_reconstruction
from elegans_gnn.training.pca import pca_reconstruction
from elegans_gnn.training.provenance import trained_on, write_training
from elegans_gnn.viz import plot_edge_weights, plot_reconstructions

_SHOWN = 16


@dataclass(frozen=True)
class Result:
    """The result of a run.

    Args:
        folder: where everything was written.
        model: the network with the best validation figure, averaged weights.
        test, validation: the figures by name.
        parameters: number of parameters by part.
        seconds: of training, validation included.
        best_step: the step whose weights were chosen.
    """

    folder: Path
    model: Any
    test: dict[str, float]
    validation: dict[str, float]
    parameters: dict[str, int]
    seconds: float
    best_step: int


@dataclass(frozen=True)
class AutoencoderResult(Result):
    """The result of a reconstruction run; its best network has the highest accuracy on validation images.

    Args:
        test_8bit: the figures on the test images with the code rounded to eight bits a float.
        pca: the same figures on the test images for PCA.
        pca_components: as many as the code has floats, if there are so many pixels and training images.

    The others are those of :class:`Result`.
    """

    test_8bit: dict[str, float]
    pca: dict[str, float]
    pca_components: int


@dataclass(frozen=True)
class ClassifierResult(Result):
    """The result of a classification run; its best network has the smallest cross-entropy on validation images."""


@dataclass(frozen=True)
class FittedRun:
    """What training hands to the evaluation: the chosen weights, the images used, and how to read the test images."""

    folder: Path
    best: Checkpoint
    train: Images
    validation: Images
    test: Callable[[], Images]
    seconds: float


def finish_autoencoder(fitted: FittedRun) -> AutoencoderResult:
    """Evaluate, draw, and write ``summary.json``, the pictures and ``model/``."""
    model: Any = fitted.best.model
    train, validation = ink(fitted.train.pixels), ink(fitted.validation.pixels)
    chosen = evaluate_reconstruction(model, validation)
    eight_bit = eight_bit_reconstruction(model, torch.cat([train, validation]))
    test = ink(fitted.test().pixels)
    components = min(model.code_length, len(train), test[0].numel())
    result = AutoencoderResult(
        folder=fitted.folder,
        model=model,
        test=evaluate_reconstruction(model, test),
        validation=chosen,
        test_8bit=evaluate_reconstruction(eight_bit, test),
        pca=evaluate_reconstruction(pca_reconstruction(train, components), test),
        pca_components=components,
        parameters=model.parameters_by_part(),
        seconds=fitted.seconds,
        best_step=fitted.best.step,
    )
    # Spread over the test images, which some sources sort by digit.
    shown = test[torch.linspace(0, len(test) - 1, _SHOWN).long()]
    with torch.no_grad():
        drawn = torch.sigmoid(model(shown))
    plot_reconstructions(shown[:, 0].numpy(), drawn[:, 0].numpy(), fitted.folder / "reconstructions.png")
    _complete(fitted, result, {"test_8bit": result.test_8bit, f"pca{components}_test": result.pca})
    return result


def finish_classifier(fitted: FittedRun) -> ClassifierResult:
    """Evaluate, and write ``summary.json`` and ``model/``."""
    model: Any = fitted.best.model
    classes = fitted.best.shape["num_classes"]
    result = ClassifierResult(
        folder=fitted.folder,
        model=model,
        validation=evaluate_classification(model, *fitted.validation, classes),
        test=evaluate_classification(model, *fitted.test(), classes),
        parameters=model.parameters_by_part(),
        seconds=fitted.seconds,
        best_step=fitted.best.step,
    )
    _complete(fitted, result, {})
    (fitted.folder / "model" / CLASSES).write_text(json.dumps(fitted.best.classes) + "\n", encoding="utf-8")
    return result


def edge_weights_of(model: Any) -> torch.Tensor | None:
    """Weights [E] or filters [E, F] of the synapses in the order of the graph's edges, where the core has such."""
    core = getattr(model, "core", None)
    layer: Any = getattr(core, "conv", core)
    if not hasattr(layer, "edge_weight"):
        return None
    weights: torch.Tensor = layer.edge_weight().detach()
    return weights.flatten(1) if weights.dim() > 1 else weights


def _complete(fitted: FittedRun, result: Result, more: dict[str, Any]) -> None:
    model = result.model
    graph, weights = getattr(model, "connectome", None), edge_weights_of(model)
    if graph is not None and weights is not None:
        # The core may have merged parallel edges.
        plot_edge_weights(model.core.connectome, weights.numpy(), fitted.folder / "edge_weights.png")
    summary: dict[str, Any] = {
        "test": result.test,
        "validation": result.validation,
        **more,
        "parameters": result.parameters,
        "seconds": round(result.seconds, 2),
        "best_step": result.best_step,
        "connectome": None if graph is None else {"name": graph.name, "sha256": graph.fingerprint},
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
    }
    write_json(fitted.folder / "summary.json", summary)
    model.save_pretrained(fitted.folder / "model", overwrite=True)
    seen = trained_on(fitted.best)
    if seen is not None:
        write_training(seen, fitted.folder / "model")
