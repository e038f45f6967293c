"""The autoencoder under Lightning: batches, loss, validation figures, optimiser."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from elegans_gnn.connectome import Connectome
from elegans_gnn.datasets import Images, ink
from elegans_gnn.models import ElegansAutoencoder
from elegans_gnn.training.config import AutoencoderConfig
from elegans_gnn.training.metrics import ReconstructionMetrics
from elegans_gnn.training.optim import MuonAdamW, exponential_average, parameter_groups, warmup_cosine


class TrainingBatches:
    """The training images batch by batch, each batch a function of (seed, step) alone.

    One pass serves a whole run. Every epoch has its own permutation and its own shifts, drawn from a generator seeded
    with (seed, epoch), so a run resumed at step t sees what an uninterrupted one sees.

    Args:
        images: the training images.
        config: batch_size, steps, shift and seed.
        start: called when a pass begins; the step to begin at, 0 if not given.
    """

    def __init__(self, images: Images, config: AutoencoderConfig, start: Callable[[], int] = lambda: 0) -> None:
        self.pixels, self.config, self._start = images.pixels, config, start
        self.batch_size = min(config.batch_size, len(images.pixels))
        self.per_epoch = len(images.pixels) // self.batch_size

    def __len__(self) -> int:
        return self.config.steps

    def __iter__(self) -> Iterator[Tensor]:
        epoch, order, moves = -1, torch.empty(0), torch.empty(0)
        for step in range(self._start(), self.config.steps):
            if step // self.per_epoch != epoch:
                epoch = step // self.per_epoch
                order, moves = self._draw(epoch)
            first = step % self.per_epoch * self.batch_size
            index = order[first : first + self.batch_size]
            yield ink(shifted(self.pixels[index], moves[index]))

    def state_dict(self) -> dict[str, int]:
        """Marks the batches as resumable for Lightning; the trainer's own step, saved beside it, is what counts."""
        return {"step": self._start()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Nothing to restore: `start` asks the trainer when the pass begins."""

    def _draw(self, epoch: int) -> tuple[Tensor, Tensor]:
        count, reach = len(self.pixels), self.config.shift
        # Distinct for every (seed, epoch) within 2^20 epochs.
        generator = torch.Generator().manual_seed((self.config.seed << 20) + epoch)
        order = torch.randperm(count, generator=generator)
        return order, torch.randint(-reach, reach + 1, (count, 2), generator=generator)


class ValidationBatches:
    """The validation images in fixed batches."""

    def __init__(self, images: Images, size: int = 200) -> None:
        self.batches = ink(images.pixels).split(size)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Tensor]:
        return iter(self.batches)


def shifted(pixels: Tensor, moves: Tensor) -> Tensor:
    """Each image moved down and right by its own whole number of pixels [M, 2]; what moves in is background."""
    height, width = pixels.shape[-2:]
    reach = int(moves.abs().max()) if moves.numel() else 0
    padded = torch.nn.functional.pad(pixels, (reach, reach, reach, reach))
    rows = torch.arange(height)[None, :] + (reach - moves[:, :1])
    columns = torch.arange(width)[None, :] + (reach - moves[:, 1:])
    image = torch.arange(len(pixels))[:, None, None]
    return padded[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


class AutoencoderModule(L.LightningModule):
    """Trains an :class:`ElegansAutoencoder`; validation figures are those of the averaged weights."""

    def __init__(self, config: AutoencoderConfig, connectome: Connectome) -> None:
        super().__init__()
        self.save_hyperparameters(config.to_dict(), logger=False)
        self.config = config
        self.model = ElegansAutoencoder(connectome, **config.model_arguments())
        self.metrics = ReconstructionMetrics()

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """Loss of one batch."""
        loss = self.model.loss(batch)
        self.log("train/loss", loss, prog_bar=True)
        # Lightning files a row under this step; its own count is off by one after some restarts.
        self.log("step", float(self.global_step + 1))
        return loss

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        """Gather the figures of one validation batch."""
        self.metrics.update(self.model(batch), batch)

    def on_validation_epoch_end(self) -> None:
        """Log the validation figures."""
        figures = {f"val/{name}": value for name, value in self.metrics.compute().items()}
        self.log_dict({**figures, "step": float(self.global_step)})
        self.log("val_accuracy", figures["val/accuracy"], prog_bar=True, logger=False)
        self.metrics.reset()

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        """Muon and AdamW under one warm-up and cosine."""
        config, model = self.config, self.model
        groups = parameter_groups(
            model,
            matrix_parts=[model.encoder, model.to_code, model.from_code, model.decoder],
            lr=config.learning_rate,
            muon_lr=config.muon_learning_rate,
            weight_decay=config.weight_decay,
        )
        optimizer = MuonAdamW(groups)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: warmup_cosine(step, warmup=config.warmup, total=config.steps)
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let the graph travel with the weights, as plain lists."""
        checkpoint["connectome"] = self.model.connectome.to_dict()


def averaging(decay: float) -> WeightAveraging:
    """Exponential moving average of the weights as a callback, see :func:`exponential_average`."""
    return WeightAveraging(use_buffers=False, avg_fn=exponential_average(decay))
