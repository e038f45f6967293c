"""An autoencoder whose only path from image to code is a connectome."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn

from elegans_gnn._shapes import Float
from elegans_gnn.connectome import Connectome
from elegans_gnn.models._base import ANY_NUMBER, ONE_OR_MORE, Autoencoder, keeps_arguments
from elegans_gnn.models._blocks import ResidualBlock, centred, check_images, pixel_decoder, use_channels_last
from elegans_gnn.models.cores import CHANNELS, build_core

IMAGE_SIZE = 28
GRID = 7


class ElegansAutoencoder(Autoencoder, name="elegans", place=0):
    r"""Image -> maps on the sensory neurons -> K steps through the connectome -> motor neurons -> code -> image.

    The encoder is a stack of convolutions that ends in one 4 x 4 map of C channels for each input neuron. The core
    (:class:`RecurrentCore`) carries these for K steps along the synapses. There each neuron's map is one vector, mixed
    by a linear unit. The output neurons' maps are projected onto the code, and a convolutional decoder draws the image
    from it. Without `activation` and `norm`, the defaults, everything from the last convolution of the encoder to the
    code is linear. No path bypasses the core: with all synapses silent every image has the same code.

    Args:
        connectome: the graph.
        code: length of the code, in floats.
        channels: maps of 4 x 4 per neuron, so that its state has 16 floats per map.
        encoder_width: channels of the encoder at 7 x 7.
        encoder_blocks: residual blocks of the encoder at 7 x 7.
        decoder_width: channels of the decoder at 7 x 7.
        decoder_blocks: residual blocks of the decoder at 7 x 7.
        core: what connects input and output neurons: message passing, or a substitute to compare with.
        options: of the core, see :func:`core_options`; for message passing the arguments of :class:`RecurrentCore` and
            :class:`ConnectomeConv` (steps, inputs, outputs, unit, activation, signs, gap, ...).

    Shapes:
        images: [B, 1, 28, 28], see :class:`Autoencoder`.

    Raises:
        ValueError: an image of another shape, or an option that cannot work, with the remedy.
    """

    PARTS: ClassVar = {
        "encoder": ("encoder",),
        "core": ("core",),
        "code": ("to_code", "from_code"),
        "decoder": ("decoder",),
    }
    MATRICES = ("encoder", "to_code", "from_code", "decoder")
    ranges: ClassVar = {
        **Autoencoder.ranges,
        "channels": CHANNELS,
        "encoder_width": ONE_OR_MORE,
        "encoder_blocks": ANY_NUMBER,
        "decoder_width": ONE_OR_MORE,
        "decoder_blocks": ANY_NUMBER,
    }
    connectome: Connectome
    core: Any

    @keeps_arguments
    def __init__(
        self,
        connectome: Connectome,
        *,
        code: int = 128,
        channels: int = 1,
        encoder_width: int = 64,
        encoder_blocks: int = 1,
        decoder_width: int = 64,
        decoder_blocks: int = 2,
        core: str = "message-passing",
        **options: object,
    ) -> None:
        super().__init__()
        self.code_length, self.in_channels, self.image_size = code, 1, IMAGE_SIZE
        self.core = build_core(connectome, channels, core, **options)
        self.encoder = nn.Sequential(
            nn.Conv2d(1, encoder_width, 6, stride=4, padding=1),
            *[ResidualBlock(encoder_width) for _ in range(encoder_blocks)],
            nn.Conv2d(encoder_width, self.core.num_inputs * channels, 3, stride=2, padding=1),
        )
        self.to_code = nn.Linear(self.core.num_outputs * self.core.features_out, code)
        self.from_code = nn.Linear(code, decoder_width * GRID**2)
        self.decoder = pixel_decoder(decoder_width, decoder_blocks, GRID, IMAGE_SIZE // GRID)
        use_channels_last(self)

    def encode(self, images: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch code"]:
        check_images(images, 1, IMAGE_SIZE)
        maps = self.encoder(centred(images))
        signal = maps.contiguous().view(images.shape[0], self.core.num_inputs, -1)
        return self.to_code(self.core(signal).flatten(1))

    def decode(self, code: Float[Tensor, "batch code"]) -> Float[Tensor, "batch 1 28 28"]:
        return self.decoder(self.from_code(code))
