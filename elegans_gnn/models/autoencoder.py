"""An autoencoder whose only path from image to code is a connectome."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elegans_gnn._shapes import Float
from elegans_gnn.errors import invalid
from elegans_gnn.models._blocks import MAP_SIZE, ResidualBlock, build_core, check_images
from elegans_gnn.nn.core import Neurons

if TYPE_CHECKING:
    from elegans_gnn.connectome import Connectome

IMAGE_SIZE = 28
GRID = 7
# 15 % of the pixels are ink: the decoder starts near that rate (18 %) instead of at one half.
INK_LOGIT = -1.5


class ElegansAutoencoder(nn.Module):
    r"""Image -> maps on the sensory neurons -> K steps through the connectome -> motor neurons -> code -> image.

    The encoder is a stack of convolutions that ends in one 4 x 4 map of C channels for each input neuron. The core
    (:class:`RecurrentCore`) carries these for K steps along the synapses; each neuron's map is one vector there, mixed
    by a linear unit. The output neurons' maps are projected onto the code, and a convolutional decoder draws the image
    from it. Without `activation` and `norm`, the defaults, everything from the last convolution of the encoder to the
    code is linear. There is no way around the connectome: with all synapses silent every image has the same code.

    Args:
        connectome: the graph.
        code: length of the code, in floats.
        channels: C, maps per neuron; its state has 16 C floats.
        steps: K, recurrent steps.
        encoder_width, encoder_blocks: channels and residual blocks of the encoder at 7 x 7.
        decoder_width, decoder_blocks: the same for the decoder.
        inputs, outputs: role or names of the neurons that receive and that are read.
        core: further arguments of :class:`RecurrentCore` (unit, activation, keep, signs, gap, ...).

    Shapes:
        images: [B, 1, 28, 28], ink between 0 and 1; output: logits [B, 1, 28, 28]; code: [B, code].

    Raises:
        ValueError: an image of another shape, or an option that cannot work, with the remedy.
    """

    def __init__(
        self,
        connectome: Connectome,
        *,
        code: int = 128,
        channels: int = 1,
        steps: int = 4,
        encoder_width: int = 64,
        encoder_blocks: int = 1,
        decoder_width: int = 64,
        decoder_blocks: int = 2,
        inputs: Neurons = "sensory",
        outputs: Neurons = "motor",
        **core: object,
    ) -> None:
        super().__init__()
        for argument, value, least in (
            ("code", code, 1),
            ("encoder_width", encoder_width, 1),
            ("encoder_blocks", encoder_blocks, 0),
            ("decoder_width", decoder_width, 1),
            ("decoder_blocks", decoder_blocks, 0),
        ):
            if value < least:
                raise invalid(argument, f">= {least}", value, "see the defaults of ElegansAutoencoder")
        self.core = build_core(connectome, channels, steps=steps, inputs=inputs, outputs=outputs, **core)
        features = channels * MAP_SIZE**2
        self.encoder = nn.Sequential(
            nn.Conv2d(1, encoder_width, 6, stride=4, padding=1),
            *[ResidualBlock(encoder_width) for _ in range(encoder_blocks)],
            nn.Conv2d(encoder_width, self.core.num_inputs * channels, 3, stride=2, padding=1),
        )
        self.to_code = nn.Linear(self.core.num_outputs * features, code)
        self.from_code = nn.Linear(code, decoder_width * GRID**2)
        # Each of the 7 x 7 places draws its own 4 x 4 pixels.
        to_pixels = nn.Conv2d(decoder_width, (IMAGE_SIZE // GRID) ** 2, 3, padding=1)
        self.decoder = nn.Sequential(
            nn.Unflatten(1, (decoder_width, GRID, GRID)),
            *[ResidualBlock(decoder_width) for _ in range(decoder_blocks)],
            nn.GroupNorm(1, decoder_width),
            nn.GELU(),
            to_pixels,
            nn.PixelShuffle(IMAGE_SIZE // GRID),
        )
        assert to_pixels.bias is not None
        nn.init.constant_(to_pixels.bias, INK_LOGIT)
        self.to(memory_format=torch.channels_last)

    @property
    def connectome(self) -> Connectome:
        """The graph of the core."""
        return self.core.connectome

    def encode(self, images: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch code"]:
        """Images to codes, through the connectome."""
        check_images(images, 1, IMAGE_SIZE)
        # Roughly zero mean and unit variance for ink.
        maps = self.encoder((images - 0.2) * 2.5)
        signal = maps.contiguous().view(len(images), self.core.num_inputs, -1)
        return self.to_code(self.core(signal).flatten(1))

    def decode(self, code: Float[Tensor, "batch code"]) -> Float[Tensor, "batch 1 28 28"]:
        """Codes to logits of ink."""
        return self.decoder(self.from_code(code))

    def forward(self, images: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch 1 28 28"]:
        """Logits of ink for each pixel."""
        return self.decode(self.encode(images))

    def loss(self, images: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, ""]:
        """Mean binary cross-entropy per pixel of the reconstruction."""
        return F.binary_cross_entropy_with_logits(self(images), images)

    def parameters_by_part(self) -> dict[str, int]:
        """Number of parameters of encoder, core, code and decoder."""
        parts: dict[str, Iterable[nn.Module]] = {
            "encoder": [self.encoder],
            "core": [self.core],
            "code": [self.to_code, self.from_code],
            "decoder": [self.decoder],
        }
        return {name: sum(p.numel() for part in modules for p in part.parameters()) for name, modules in parts.items()}
