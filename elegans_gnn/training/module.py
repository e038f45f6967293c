"""Models under Lightning: loss, validation figures, optimiser, and what goes into a checkpoint."""

from __future__ import annotations

from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn

from elegans_gnn.errors import InvalidArgumentError, invalid
from elegans_gnn.training.config import TrainingConfig
from elegans_gnn.training.metrics import ClassificationMetrics, ReconstructionMetrics
from elegans_gnn.training.optim import MuonAdamW, exponential_average, parameter_groups, warmup_cosine
from elegans_gnn.training.settings import Optim

# What a checkpoint is chosen by: the larger, the better.
MONITOR = "val/merit"
# Steps between two rows of the training loss in the log.
LOG_EVERY = 10


class _TrainedModule(L.LightningModule):
    """What both tasks share; validation figures are those of the averaged weights.

    Args:
        config: everything the run depends on.
        model: with `loss`, `matrix_parts` and perhaps `connectome`.
        shape: what the images decide about the model, see :func:`elegans_gnn.training.prepare.build`.
        classes: what a classifier's labels mean.
        own_images: whether the images were passed from Python instead of named by the configuration.

    Raises:
        ValueError: (while it trains) the loss is no longer finite.
    """

    model: Any
    metrics: Any

    def __init__(
        self,
        config: TrainingConfig,
        model: nn.Module,
        shape: dict[str, int],
        classes: tuple[str, ...] = (),
        *,
        own_images: bool = False,
    ) -> None:
        super().__init__()
        self.save_hyperparameters(config.to_dict(), logger=False)
        self.config, self.model, self.shape, self.classes = config, model, shape, classes
        self.own_images = own_images
        self.metrics = self.new_metrics()

    def new_metrics(self) -> Any:
        """Empty figures of the task."""
        raise NotImplementedError

    def merit(self, figures: dict[str, Tensor]) -> Tensor:
        """What is to be as large as possible."""
        return figures["accuracy"]

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed the model's own randomness, such as dropout, by step and process: a resumed run draws the same."""
        drawn = np.random.SeedSequence((self.config.optim.seed, self.global_step, self.global_rank)).generate_state(1)
        torch.manual_seed(int(drawn[0]))

    def log_loss(self, loss: Tensor) -> Tensor:
        """Log one step's loss, the mean over all processes."""
        self.log("train/loss", loss, prog_bar=True, sync_dist=self.trainer.world_size > 1)
        # Lightning files a row under this step; its own count is off by one after some restarts.
        self.log("step", float(self.global_step + 1))
        self._check_loss(loss)
        return loss

    def _check_loss(self, loss: Tensor) -> None:
        """Read the loss only as often as it is logged: reading it waits for the device."""
        # In half precision a loss may overflow once; its step is then left out.
        if (self.global_step + 1) % LOG_EVERY or self.config.machine.precision == "16":
            return
        lost = not bool(torch.isfinite(loss))
        if self.trainer.world_size > 1:  # all processes leave together
            lost = self.trainer.strategy.reduce_boolean_decision(lost, all=False)
        if lost:
            raise diverged("the training loss", loss.item(), self.global_step + 1, self.config.optim)

    def on_validation_epoch_end(self) -> None:
        """Log the validation figures."""
        figures = self.metrics.compute()
        for name, value in figures.items():
            if not torch.isfinite(value):
                raise diverged(f"the validation {name}", float(value), self.global_step, self.config.optim)
        logged = {f"val/{name}": value for name, value in figures.items()}
        self.log_dict({**logged, "step": float(self.global_step)})
        self.log("val_accuracy", figures["accuracy"], prog_bar=True, logger=False)
        self.log(MONITOR, self.merit(figures), logger=False)
        self.metrics.reset()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Muon and AdamW under one warm-up and cosine."""
        settings = self.config.optim
        optimizer = MuonAdamW(groups_of(self.model, settings))
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: warmup_cosine(step, warmup=settings.warmup, total=settings.steps)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Store the task, the shape and the graph with the weights, as plain values."""
        graph = getattr(self.model, "connectome", None)
        checkpoint |= {
            "task": self.config.task,
            "shape": self.shape,
            "classes": list(self.classes),
            "own_images": self.own_images,
            "connectome": None if graph is None else graph.to_dict(),
        }


class AutoencoderModule(_TrainedModule):
    """Trains an autoencoder on images of ink."""

    def new_metrics(self) -> ReconstructionMetrics:
        """The four figures of a reconstruction."""
        return ReconstructionMetrics()

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """Loss of one batch."""
        return self.log_loss(self.model.loss(batch))

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        """Gather the figures of one validation batch."""
        self.metrics.update(self.model(batch), batch)


class ClassifierModule(_TrainedModule):
    """Trains a classifier on images and labels."""

    def new_metrics(self) -> ClassificationMetrics:
        """Top-1 accuracy and cross-entropy."""
        return ClassificationMetrics(self.shape["num_classes"])

    def merit(self, figures: dict[str, Tensor]) -> Tensor:
        """The smaller cross-entropy: on a few hundred images accuracy knows a few values only and chooses by luck."""
        return -figures["cross_entropy"]

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        """Loss of one batch."""
        images, labels = batch
        return self.log_loss(self.model.loss(images, labels, label_smoothing=self.config.optim.label_smoothing))

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Gather the figures of one validation batch."""
        images, labels = batch
        self.metrics.update(self.model(images), labels)


def groups_of(model: Any, settings: Optim) -> list[dict[str, Any]]:
    """The parameters that train, in groups for :class:`MuonAdamW`."""
    return parameter_groups(
        model,
        matrix_parts=model.matrix_parts(),
        lr=settings.learning_rate,
        muon_lr=settings.muon_learning_rate,
        weight_decay=settings.weight_decay,
        synapse_parts=model.synapse_parts(),
        synapse_lr=settings.synapse_learning_rate,
    )


def averaging(decay: float) -> WeightAveraging:
    """Exponential moving average of the weights as a callback, see :func:`exponential_average`."""
    return WeightAveraging(use_buffers=False, multi_avg_fn=exponential_average(decay))


def diverged(what: str, value: float, step: int, settings: Optim) -> InvalidArgumentError:
    """The error that ends a run whose loss or figures are no longer finite."""
    expected = f"small enough that {what} stays finite"
    rates = f"{settings.learning_rate:g} with muon_learning_rate {settings.muon_learning_rate:g}"
    got = f"{rates} ({value} at step {step})"
    return invalid("learning_rate", expected, got, "use smaller rates, or clip=1")


MODULES: dict[str, type[_TrainedModule]] = {"autoencoder": AutoencoderModule, "classifier": ClassifierModule}
