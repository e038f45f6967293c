"""Augmentation of training images: batched functions of pixels and rows of numbers, one row an image and epoch."""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from elegans_gnn._shapes import Float, Int
from elegans_gnn.datasets import INK_THRESHOLD, ink
from elegans_gnn.training.config import TrainingConfig

# How far "strong" goes. Lengths are for images of 28 pixels and grow and shrink with the size.
_ANGLE, _SCALE, _SHEAR, _MOVE, _ELASTIC = math.radians(15), 0.15, 0.15, 2.0, 1.0
_NOMINAL_SIZE = 28
# Elastic displacements are drawn on a grid of so many points each way and are smooth in between.
_KNOTS = 5
_INK_CUTS = (0.15, 0.5)


class Augmentation:
    """What happens to the training images in one epoch.

    Row i of every table drawn here belongs to image i, so that a change is a function of (seed, epoch, i), whichever
    batch or process the image falls into.

    Args:
        config: augment, augment_share, shift and cutout.
        count, size: number of images, and their height and width.
        generator: of this epoch; the tables are drawn from it in a fixed order.
        binary: turn the pixels into ink, the cut being part of the augmentation; else grey values and colours stay.
    """

    def __init__(
        self, config: TrainingConfig, count: int, size: int, generator: torch.Generator, *, binary: bool
    ) -> None:
        self.kind, self.share, self.cutout, self.binary = config.augment, config.augment_share, config.cutout, binary
        reach = 0 if config.augment == "none" else config.shift
        self.moves = torch.randint(-reach, reach + 1, (count, 2), generator=generator)
        if self.kind == "strong":
            self.chosen = torch.rand(count, generator=generator) < self.share
            low, high = _INK_CUTS
            self.cuts = low + (high - low) * torch.rand(count, generator=generator)
            self.affine = 2 * torch.rand(count, 5, generator=generator) - 1
            self.elastic = torch.randn(count, 2, _KNOTS, _KNOTS, generator=generator)
        elif self.kind == "crop-flip":
            self.mirrored = torch.rand(count, generator=generator) < 0.5
            self.holes = torch.randint(0, size, (count, 2), generator=generator)

    def __call__(
        self, pixels: Float[Tensor, "image channel height width"], index: Int[Tensor, "batch"]
    ) -> Float[Tensor, "batch channel height width"]:
        """The images at these places, changed as this epoch wants it."""
        batch = shifted(pixels[index], self.moves[index])
        if self.kind == "crop-flip":
            batch = cut_out(mirrored(batch, self.mirrored[index]), self.holes[index], self.cutout)
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


def cut_out(
    pixels: Float[Tensor, "batch channel height width"], centres: Int[Tensor, "batch 2"], side: int
) -> Float[Tensor, "batch channel height width"]:
    """A square of `side` pixels set to background in each image, cut off at the borders; side 0 changes nothing."""
    if not side:
        return pixels
    height, width = pixels.shape[-2:]
    first = centres - side // 2
    rows = torch.arange(height)[None, :] - first[:, :1]
    columns = torch.arange(width)[None, :] - first[:, 1:]
    hole = ((rows >= 0) & (rows < side))[:, :, None] & ((columns >= 0) & (columns < side))[:, None, :]
    return pixels.masked_fill(hole[:, None], 0.0)
