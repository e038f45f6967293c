"""Training runs (extra `train`); names are imported at first use, so that the configuration loads without Lightning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elegans_gnn._lazy import lazy_names

_HOME = {
    "AutoencoderConfig": "config",
    "ClassifierConfig": "config",
    "TrainingConfig": "config",
    "TrainingBatches": "batches",
    "MuonAdamW": "optim",
    "exponential_average": "optim",
    "parameter_groups": "optim",
    "warmup_cosine": "optim",
    "ClassificationMetrics": "metrics",
    "evaluate_classification": "metrics",
    "ReconstructionMetrics": "metrics",
    "evaluate_reconstruction": "metrics",
    "pca_reconstruction": "pca",
    "EightBitCode": "metrics",
    "eight_bit_reconstruction": "metrics",
    "AutoencoderResult": "results",
    "ClassifierResult": "results",
    "train": "run",
    "train_autoencoder": "run",
    "train_classifier": "run",
    "load_autoencoder": "checkpoint",
    "load_classifier": "checkpoint",
    "open_checkpoint": "checkpoint",
    "new_run_folder": "folder",
    "print_result": "report",
}
_RENAMED = {"RunResult": "AutoencoderResult"}
__getattr__, __dir__ = lazy_names(__name__, _HOME, renamed=_RENAMED)

__all__ = [
    "AutoencoderConfig",
    "AutoencoderResult",
    "ClassificationMetrics",
    "ClassifierConfig",
    "ClassifierResult",
    "EightBitCode",
    "MuonAdamW",
    "ReconstructionMetrics",
    "TrainingBatches",
    "TrainingConfig",
    "eight_bit_reconstruction",
    "evaluate_classification",
    "evaluate_reconstruction",
    "exponential_average",
    "load_autoencoder",
    "load_classifier",
    "new_run_folder",
    "open_checkpoint",
    "parameter_groups",
    "pca_reconstruction",
    "print_result",
    "train",
    "train_autoencoder",
    "train_classifier",
    "warmup_cosine",
]

if TYPE_CHECKING:
    from elegans_gnn.training.batches import TrainingBatches
    from elegans_gnn.training.checkpoint import load_autoencoder, load_classifier, open_checkpoint
    from elegans_gnn.training.config import AutoencoderConfig, ClassifierConfig, TrainingConfig
    from elegans_gnn.training.folder import new_run_folder
    from elegans_gnn.training.metrics import (
        ClassificationMetrics,
        EightBitCode,
        ReconstructionMetrics,
        eight_bit_reconstruction,
        evaluate_classification,
        evaluate_reconstruction,
    )
    from elegans_gnn.training.optim import MuonAdamW, exponential_average, parameter_groups, warmup_cosine
    from elegans_gnn.training.pca import pca_reconstruction
    from elegans_gnn.training.report import print_result
    from elegans_gnn.training.results import AutoencoderResult, ClassifierResult
    from elegans_gnn.training.run import train, train_autoencoder, train_classifier
