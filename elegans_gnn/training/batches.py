"""Batches and their augmentation: every image once an epoch, all of it a function of seed and step.

The number of processes changes nothing: each takes its slice of the same batch. Augmentations are batched functions of
pixels and rows of numbers, one row an image and epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from elegans_gnn._shapes import Bool, Float, Int
from elegans_gnn.datasets import INK_THRESHOLD, Images, ink
from elegans_gnn.errors import invalid
from elegans_gnn.training.config import TrainingConfig
from elegans_gnn.training.metrics import EVALUATION_BATCH
from elegans_gnn.training.settings import Augment, check_size

Batch = Tensor | tuple[Tensor, Tensor]
# How far "strong" goes. Lengths are for images of 28 pixels and grow and shrink with the size.
_ANGLE, _SCALE, _SHEAR, _MOVE, _ELASTIC = math.radians(15), 0.15, 0.15, 2.0, 1.0
_NOMINAL_SIZE = 28
# Elastic displacements are drawn on a grid of so many points each way and are smooth in between.
_KNOTS = 5
_INK_CUTS = (0.15, 0.5)
# Random erasing (Zhong et al. 2020, arXiv:1708.04896): shares of the image's area, and the largest ratio of the sides.
_ERASED, _RATIO = (0.02, 0.4), 3.3


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
        self.processes = config.machine.processes
        self.batch_size = min(config.optim.batch_size, len(images.pixels)) // self.processes * self.processes
        if not self.batch_size:
            raise invalid("devices", f"at most {len(images.pixels)}, the training images", self.processes, "use fewer")
        check_size(config.augment, images.pixels.shape[-1])
        self.per_epoch = len(images.pixels) // self.batch_size
        self.binary = config.task == "autoencoder"

    def __len__(self) -> int:
        return self.config.optim.steps

    def __iter__(self) -> Iterator[Batch]:
        share = self.batch_size // self.processes
        mine = self._rank() * share
        epoch = -1
        for step in range(self._start(), self.config.optim.steps):
            if step // self.per_epoch != epoch:
                epoch = step // self.per_epoch
                order, augmented = self._draw(epoch)
            first = step % self.per_epoch * self.batch_size + mine
            index = order[first : first + share]
            batch = augmented(self.pixels, index)
            yield batch if self.binary else (batch, self.labels[index])

    def state_dict(self) -> dict[str, int]:
        """Marks the batches as resumable for Lightning; the trainer's own step, saved with it, is what counts."""
        return {"step": self._start()}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Nothing to restore: `start` asks the trainer when the pass begins."""

    def _draw(self, epoch: int) -> tuple[Tensor, Augmentation]:
        count, size = len(self.pixels), self.pixels.shape[-1]
        # Distinct for every (seed, epoch) within 2^20 epochs.
        generator = torch.Generator().manual_seed((self.config.optim.seed << 20) + epoch)
        order = torch.randperm(count, generator=generator)
        return order, Augmentation(self.config.augment, count, size, generator, binary=self.binary, epoch=epoch)


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


class Augmentation:
    """What happens to the training images in one epoch.

    Row i of every table drawn here belongs to image i, so that a change is a function of (seed, epoch, i), whichever
    batch or process the image falls into.

    Args:
        settings: which augmentation, and how much of it.
        count, size: number of images, and their height and width.
        generator: of this epoch; the tables are drawn from it in a fixed order.
        binary: turn the pixels into ink, the cut being part of the augmentation; else grey values and colours stay.
        epoch: its number, for what alternates.
    """

    def __init__(
        self, settings: Augment, count: int, size: int, generator: torch.Generator, *, binary: bool, epoch: int = 0
    ) -> None:
        self.kind, self.share, self.binary = settings.augment, settings.augment_share, binary
        self.cutout = settings.cutout
        reach = 0 if settings.augment == "none" else settings.shift
        self.moves = torch.randint(-reach, reach + 1, (count, 2), generator=generator)
        if self.kind == "strong":
            self.chosen = torch.rand(count, generator=generator) < self.share
            low, high = _INK_CUTS
            self.cuts = low + (high - low) * torch.rand(count, generator=generator)
            self.affine = 2 * torch.rand(count, 5, generator=generator) - 1
            self.elastic = torch.randn(count, 2, _KNOTS, _KNOTS, generator=generator)
        elif self.kind == "crop-flip":
            sides = {"random": torch.rand(count, generator=generator) < 0.5, "alternating": _alternating(count, epoch)}
            self.mirrored = sides.get(settings.flip)
            self.holes = torch.randint(0, size, (count, 2), generator=generator)
            self.erase = settings.erase
            if self.erase:
                self.corners, self.sides = _rectangles(torch.rand(count, 5, generator=generator), size, self.erase)
                self.paint = torch.rand(count, generator=generator)

    def __call__(
        self, pixels: Float[Tensor, "image channel height width"], index: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch channel height width"]:
        """The images at these places, changed as this epoch wants it."""
        batch = shifted(pixels[index], self.moves[index])
        if self.kind == "crop-flip":
            if self.mirrored is not None:
                batch = mirrored(batch, self.mirrored[index])
            if self.erase:
                batch = painted(batch, self.corners[index], self.sides[index], self.paint[index])
            if self.cutout:
                batch = cut_out(batch, self.holes[index], self.cutout)
        cuts = torch.full((len(index),), INK_THRESHOLD)
        if self.kind == "strong":
            chosen = self.chosen[index]
            rows = index[chosen]
            batch[chosen] = warped(pixels[rows], self.affine[rows], self.elastic[rows])
            cuts[chosen] = self.cuts[rows]
        if not self.binary:
            return batch
        return ink(batch) if self.kind != "strong" else (batch >= cuts[:, None, None, None]).to(torch.float32)


def shifted(
    pixels: Float[Tensor, "batch channel height width"], moves: Int[Tensor, "batch 2"]
) -> Float[Tensor, "batch channel height width"]:
    """Each image moved down and right by its own whole number of pixels; what moves in is background."""
    height, width = pixels.shape[-2:]
    reach = int(moves.abs().max()) if moves.numel() else 0
    padded = F.pad(pixels, (reach, reach, reach, reach))
    rows = torch.arange(height)[None, :] + (reach - moves[:, :1])
    columns = torch.arange(width)[None, :] + (reach - moves[:, 1:])
    image = torch.arange(len(pixels))[:, None, None]
    return padded[image, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()


def warped(
    pixels: Float[Tensor, "batch channel size size"],
    affine: Float[Tensor, "batch 5"],
    elastic: Float[Tensor, "batch 2 knot knot"],
) -> Float[Tensor, "batch channel size size"]:
    """Each image turned, scaled, sheared, moved and bent; bilinear, and what comes in is background.

    The pixel drawn at p is the one found at A p - t + d(p), p counted from the middle.

    Args:
        pixels: square images.
        affine: numbers in -1..1 that say how much of the largest angle (15 degrees), scaling (15 %), shear (0.15) and
            moves down and right (2 pixels of 28) is used.
        elastic: displacements d down and right at the knots of a coarse grid, in 1/28 of the image.
    """
    size = pixels.shape[-1]
    angle, scale, shear = _ANGLE * affine[:, 0], 1 + _SCALE * affine[:, 1], _SHEAR * affine[:, 2]
    cosine, sine = torch.cos(angle) / scale, torch.sin(angle) / scale
    # grid_sample counts x before y, and from -1 to 1 across the image.
    turn = torch.stack([cosine, shear * cosine - sine, sine, shear * sine + cosine], dim=1).view(-1, 2, 2)
    pixel = 2 / _NOMINAL_SIZE
    move = _MOVE * pixel * affine[:, [4, 3]]
    line = (2 * torch.arange(size, dtype=pixels.dtype) + 1) / size - 1
    place = torch.stack(torch.meshgrid(line, line, indexing="xy"), dim=-1)
    bend = torch.einsum("ndab,ah,bw->nhwd", elastic.flip(1), _basis(size), _basis(size))
    grid = torch.einsum("nij,hwj->nhwi", turn, place) - move[:, None, None, :] + _ELASTIC * pixel * bend
    return F.grid_sample(pixels, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


@cache
def _basis(size: int) -> Float[Tensor, "knot size"]:
    """The smooth line through the knots, as weights of each knot at each pixel: cubic convolution."""
    knots = torch.eye(_KNOTS)[None, None]
    return F.interpolate(knots, size=(_KNOTS, size), mode="bicubic", align_corners=True)[0, 0]


def mirrored(
    pixels: Float[Tensor, "batch channel height width"], mirror: Tensor
) -> Float[Tensor, "batch channel height width"]:
    """Left and right exchanged where `mirror` [B] is true."""
    return torch.where(mirror[:, None, None, None], pixels.flip(-1), pixels)


def _alternating(count: int, epoch: int) -> Bool[Tensor, "image"]:
    """One half of the images in even epochs, the other in odd ones: two epochs show both sides (airbench's flip)."""
    # Multiplicative hashing of the image's number: neighbours fall into either half.
    return (((torch.arange(count) * 2654435761) >> 16) + epoch) % 2 == 0


def cut_out(
    pixels: Float[Tensor, "batch channel height width"], centres: Int[Tensor, "batch 2"], side: int
) -> Float[Tensor, "batch channel height width"]:
    """A square of `side` pixels set to background in each image, cut off at the borders; side 0 changes nothing."""
    sides = torch.full_like(centres, side)
    return painted(pixels, centres - side // 2, sides, torch.zeros(len(pixels)))


def painted(
    pixels: Float[Tensor, "batch channel height width"],
    corners: Int[Tensor, "batch 2"],
    sides: Int[Tensor, "batch 2"],
    paint: Float[Tensor, "batch"],
) -> Float[Tensor, "batch channel height width"]:
    """A rectangle in each image set to one value, cut off at the borders.

    Args:
        pixels: the images.
        corners: row and column of its first pixel.
        sides: its height and width; 0 for none.
        paint: the value.
    """
    down, right = (
        (place := torch.arange(length) - corners[:, axis, None]).ge(0) & (place < sides[:, axis, None])
        for axis, length in enumerate(pixels.shape[-2:])
    )
    hole = down[:, None, :, None] & right[:, None, None, :]
    return torch.where(hole, paint[:, None, None, None], pixels)


def _rectangles(
    draws: Float[Tensor, "image 5"], size: int, share: float
) -> tuple[Int[Tensor, "image 2"], Int[Tensor, "image 2"]]:
    """Corners and sides of rectangles inside the image, from uniform draws; a `share` of the images has one.

    Area and the logarithm of height / width are uniform; a side longer than the image is cut to it.
    """
    low, high = _ERASED
    area, tall = size**2 * (low + (high - low) * draws[:, 0]), _RATIO ** (2 * draws[:, 1] - 1)
    sides = torch.stack([(area * tall).sqrt(), (area / tall).sqrt()], dim=1).round().long().clamp(1, size)
    corners = (draws[:, 2:4] * (size - sides + 1)).long()
    return corners, sides * (draws[:, 4, None] < share)
