"""Training runs (extra `train`); names are imported at first use, so that the configuration loads without Lightning."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elegans_gnn._lazy import lazy_names

_HOME = {
    "AutoencoderConfig": "config",
    "TrainingBatches": "module",
    "MuonAdamW": "optim",
    "exponential_average": "optim",
    "parameter_groups": "optim",
    "warmup_cosine": "optim",
    "ReconstructionMetrics": "metrics",
    "evaluate_reconstruction": "metrics",
    "pca_reconstruction": "baselines",
    "RunResult": "run",
    "train_autoencoder": "run",
    "load_autoencoder": "run",
    "new_run_folder": "run",
    "print_result": "report",
}
__getattr__, __dir__ = lazy_names(__name__, _HOME)

__all__ = [
    "AutoencoderConfig",
    "MuonAdamW",
    "ReconstructionMetrics",
    "RunResult",
    "TrainingBatches",
    "evaluate_reconstruction",
    "exponential_average",
    "load_autoencoder",
    "new_run_folder",
    "parameter_groups",
    "pca_reconstruction",
    "print_result",
    "train_autoencoder",
    "warmup_cosine",
]

if TYPE_CHECKING:
    from elegans_gnn.training.baselines import pca_reconstruction
    from elegans_gnn.training.config import AutoencoderConfig
    from elegans_gnn.training.metrics import ReconstructionMetrics, evaluate_reconstruction
    from elegans_gnn.training.module import TrainingBatches
    from elegans_gnn.training.optim import MuonAdamW, exponential_average, parameter_groups, warmup_cosine
    from elegans_gnn.training.report import print_result
    from elegans_gnn.training.run import RunResult, load_autoencoder, new_run_folder, train_autoencoder
