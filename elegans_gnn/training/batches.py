"""Batches: every image once an epoch, all of it a function of seed and step, whatever the number of processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from elegans_gnn.datasets import Images, ink
from elegans_gnn.errors import invalid
from elegans_gnn.training.augment import Augmentation
from elegans_gnn.training.config import AutoencoderConfig, TrainingConfig
from elegans_gnn.training.metrics import EVALUATION_BATCH

Batch = Tensor | tuple[Tensor, Tensor]


class TrainingBatches:
    """The training images batch by batch, each batch a function of (seed, step) alone.

    One pass serves a whole run. Every epoch has its own permutation and its own augmentation, drawn from a generator
    seeded with (seed, epoch), so a run resumed at step t sees what an uninterrupted one sees. With several processes
    each takes its slice of the same batch. Autoencoders are given ink [B, 1, H, W], classifiers pixels and labels.

    Args:
        images: the training images.
        config: batch_size, steps, seed, the augmentation, and the number of processes.
        start: called when a pass begins; the step to begin at, 0 if not given.
        rank: called when a pass begins; which process this is, 0 if not given.

    Raises:
        ValueError: fewer images than processes.
    """

    def __init__(
        self,
        images: Images,
        config: TrainingConfig,
        start: Callable[[], int] = lambda: 0,
        rank: Callable[[], int] = lambda: 0,
    ) -> None:
        self.pixels, self.labels, self.config, self._start, self._rank = *images, config, start, rank
        self.processes = config.devices * config.nodes
        self.batch_size = min(config.batch_size, len(images.pixels)) // self.processes * self.processes
        if not self.batch_size:
            raise invalid("devices", f"at most {len(images.pixels)}, the training images", self.processes, "use fewer")
        self.per_epoch = len(images.pixels) // self.batch_size
        self.binary = isinstance(config, AutoencoderConfig)

    def __len__(self) -> int:
        return self.config.steps

    def __iter__(self) -> Iterator[Batch]:
        share = self.batch_size // self.processes
        mine = self._rank() * share
        epoch = -1
        for step in range(self._start(), self.config.steps):
            if step // self.per_epoch != epoch:
                epoch = step // self.per_epoch
                order, augmented = self._draw(epoch)
            first = step % self.per_epoch * self.batch_size + mine
            index = order[first : first + share]
            batch = augmented(self.pixels, index)
            yield batch if self.binary else (batch, self.labels[index])

    def state_dict(self) -> dict[str, int]:
        """Marks the batches as resumable for Lightning; the trainer's own step, saved beside it, is what counts."""
        return {"step": self._start()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Nothing to restore: `start` asks the trainer when the pass begins."""

    def _draw(self, epoch: int) -> tuple[Tensor, Augmentation]:
        count, size = len(self.pixels), self.pixels.shape[-1]
        # Distinct for every (seed, epoch) within 2^20 epochs.
        generator = torch.Generator().manual_seed((self.config.seed << 20) + epoch)
        order = torch.randperm(count, generator=generator)
        return order, Augmentation(self.config, count, size, generator, binary=self.binary)


class ValidationBatches:
    """The validation images in fixed batches; every process of a distributed run goes over all of them.

    Args:
        images: the validation images.
        size: images in a batch.
        binary: ink [B, 1, H, W] instead of pixels and labels.
    """

    def __init__(self, images: Images, size: int = EVALUATION_BATCH, *, binary: bool = True) -> None:
        pixels, labels = images.pixels.split(size), images.labels.split(size)
        self.batches: list[Batch] = (
            list(ink(images.pixels).split(size)) if binary else list(zip(pixels, labels, strict=True))
        )

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Batch]:
        return iter(self.batches)
