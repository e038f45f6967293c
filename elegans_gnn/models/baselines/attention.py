"""Transformers on patches: an autoencoder and a small vision transformer."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elegans_gnn._shapes import Float
from elegans_gnn.errors import Range, invalid
from elegans_gnn.models._base import ANY_NUMBER, Autoencoder, Classifier, keeps_arguments
from elegans_gnn.models._blocks import SMALL_IMAGE, centred, check_images, start_as_ink
from elegans_gnn.models.baselines.plain import MULTIPLE_OF_4

_HEAD_SIZE = 16


class TransformerBlock(nn.Module):
    """t + attention(norm(t)), then t + mlp(norm(t)), with heads of 16 features and a fourfold hidden layer.

    Shapes:
        t: [B, T, width]; output: the same.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.heads = width // _HEAD_SIZE
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_qkv, self.merge = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, tokens: Float[Tensor, "batch token feature"]) -> Float[Tensor, "batch token feature"]:
        """Mix the tokens, then the features."""
        qkv = self.to_qkv(self.norm_attention(tokens)).unflatten(2, (3, self.heads, _HEAD_SIZE)).transpose(1, 3)
        mixed = F.scaled_dot_product_attention(*qkv.unbind(2))
        tokens = tokens + self.merge(mixed.transpose(1, 2).flatten(2))
        return tokens + self.mlp(self.norm_mlp(tokens))


def patches(images: Float[Tensor, "batch channel height width"], size: int) -> Float[Tensor, "batch token pixel"]:
    """Cut images into square patches, row by row."""
    return F.pixel_unshuffle(images, size).flatten(2).transpose(1, 2)


# The width must divide into heads.
HEADS = Range(least=_HEAD_SIZE, divisor=_HEAD_SIZE, whole=True)


class AttentionAutoencoder(Autoencoder, name="attention", place=3):
    """Patches of 4 x 4 as tokens, transformer blocks, all tokens onto one linear code, and the same way back.

    Args:
        code, in_channels: see :class:`Autoencoder`.
        image_size: a multiple of 4.
        width: features of a token, a multiple of 16.
        depth: transformer blocks on each side of the code.
    """

    PARTS: ClassVar = {
        "encoder": ("embed", "positions", "encoder"),
        "code": ("to_code", "from_code"),
        "decoder": ("decoder_positions", "decoder", "to_pixels"),
    }
    MATRICES = ("embed", "encoder", "to_code", "from_code", "decoder", "to_pixels")
    ranges: ClassVar = {**Autoencoder.ranges, "image_size": MULTIPLE_OF_4, "width": HEADS, "depth": ANY_NUMBER}

    @keeps_arguments
    def __init__(
        self, *, code: int = 128, image_size: int = 28, in_channels: int = 1, width: int = 48, depth: int = 3
    ) -> None:
        super().__init__()
        self.code_length, self.in_channels, self.image_size = code, in_channels, image_size
        self.grid, self.width, pixels = image_size // 4, width, 16 * in_channels
        tokens = self.grid**2
        self.embed = nn.Linear(pixels, width)
        self.positions = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.encoder = nn.Sequential(*[TransformerBlock(width) for _ in range(depth)], nn.LayerNorm(width))
        self.to_code = nn.Linear(tokens * width, code)
        self.from_code = nn.Linear(code, tokens * width)
        self.decoder_positions = nn.Parameter(0.02 * torch.randn(tokens, width))
        self.decoder = nn.Sequential(*[TransformerBlock(width) for _ in range(depth)], nn.LayerNorm(width))
        self.to_pixels = nn.Linear(width, pixels)
        start_as_ink(self.to_pixels)

    def encode(self, images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch code"]:
        check_images(images, self.in_channels, self.image_size)
        tokens = self.embed(patches(centred(images), 4)) + self.positions
        return self.to_code(self.encoder(tokens).flatten(1))

    def decode(self, code: Float[Tensor, "batch code"]) -> Float[Tensor, "batch channel height width"]:
        tokens = self.from_code(code).unflatten(1, (self.grid**2, self.width)) + self.decoder_positions
        pixels = self.to_pixels(self.decoder(tokens)).transpose(1, 2)
        return F.pixel_shuffle(pixels.unflatten(2, (self.grid, self.grid)), 4)


class SmallViT(Classifier, name="vit", place=1):
    """A vision transformer: patches as tokens, transformer blocks, the mean token to classes.

    Patches are 4 x 4, and 2 x 2 on images below 16 x 16.

    Args:
        num_classes, in_channels: see :class:`Classifier`.
        image_size: a multiple of the patch size, at least 8.
        width: features of a token, a multiple of 16; by default 64, and 48 on images up to 24 x 24.
        depth: transformer blocks; by default 3, and 4 on images up to 24 x 24.

    Source: Dosovitskiy et al., "An image is worth 16x16 words" (2021), arXiv:2010.11929.
    """

    PARTS: ClassVar = {"embedding": ("embed", "positions"), "blocks": ("blocks",), "head": ("head",)}
    MATRICES = ("embed", "blocks", "head")
    ranges: ClassVar = {**Classifier.ranges, "width": HEADS, "depth": ANY_NUMBER}

    @keeps_arguments
    def __init__(
        self,
        num_classes: int = 10,
        *,
        in_channels: int = 3,
        image_size: int = 32,
        width: int | None = None,
        depth: int | None = None,
    ) -> None:
        super().__init__()
        usual = (48, 4) if image_size <= SMALL_IMAGE else (64, 3)
        width, depth = usual[0] if width is None else width, usual[1] if depth is None else depth
        self.chosen = {"width": width, "depth": depth}
        self.num_classes, self.in_channels, self.image_size = num_classes, in_channels, image_size
        self.patch = 4 if image_size >= 16 else 2
        if image_size % self.patch:
            raise invalid("image_size", f"a multiple of {self.patch}", image_size, "resize or pad the images")
        self.embed = nn.Linear(in_channels * self.patch**2, width)
        self.positions = nn.Parameter(0.02 * torch.randn((image_size // self.patch) ** 2, width))
        self.blocks = nn.Sequential(*[TransformerBlock(width) for _ in range(depth)], nn.LayerNorm(width))
        self.head = nn.Linear(width, num_classes)

    def forward(self, images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch cls"]:
        check_images(images, self.in_channels, self.image_size)
        tokens = self.embed(patches(images, self.patch)) + self.positions
        return self.head(self.blocks(tokens).mean(1))
