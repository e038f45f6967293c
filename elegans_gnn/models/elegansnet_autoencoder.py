"""An autoencoder of synaptic steps: to the code along the synapses, and back against them."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from elegans_gnn._shapes import Float
from elegans_gnn.connectome import Connectome, Neurons
from elegans_gnn.models._base import ONE_OR_MORE, Autoencoder, keeps_arguments
from elegans_gnn.models._blocks import MAP_SIZE, centred, check_images, start_as_ink
from elegans_gnn.models.autoencoder import IMAGE_SIZE
from elegans_gnn.models.elegansnet import STEM, start_stem
from elegans_gnn.nn import SynapticCore

_GRID = IMAGE_SIZE // 4


class ElegansNetAutoencoder(Autoencoder, name="elegansnet", place=0.5):
    """Image -> input neurons -> steps along the synapses -> output neurons -> code, and the same way back to the image.

    The encoder is that of :class:`ElegansNet`. The output neurons' maps, normalised and averaged to 4 x 4, are mapped
    onto the code by one linear map. The decoder maps the code back onto the output neurons and runs the wiring
    backwards: each synapse carries a signal from its target to its source, with filters of its own. Late steps come
    first, maps are doubled, early steps follow, and one convolution draws the image from the input neurons' maps.

    Args:
        connectome: the graph.
        code: length of the code, in floats.
        channels: maps per neuron.
        steps: steps on maps of 14 x 14, in the encoder and in the decoder.
        late_steps: steps on maps of 7 x 7, in both.
        inputs: neurons that see the image and draw it: a role, names such as A,B, or ``"all"``.
        outputs: neurons that the code is read from and written to, given in the same way.
        options: of both cores, see :class:`SynapticCore`.

    Shapes:
        images: [B, 1, 28, 28], see :class:`Autoencoder`.

    Raises:
        ValueError: an image of another shape, or an option that cannot work, with the remedy.
    """

    PARTS: ClassVar = {
        "stem": ("stem",),
        "synapses": ("core.synapses", "back.synapses"),
        "neurons": ("core.neurons", "back.neurons"),
        "code": ("norm", "to_code", "from_code"),
        "head": ("head",),
    }
    MATRICES = ("to_code", "from_code")
    WIRED = ("core", "back")
    forwards_to = (SynapticCore,)
    # A transmitter's sign belongs to the source of a synapse, which sends nothing on the way back.
    fixed = (*Autoencoder.fixed, "backwards", "signs")
    ranges: ClassVar = {
        **Autoencoder.ranges,
        "channels": SynapticCore.ranges["channels"],
        "steps": ONE_OR_MORE,
        "late_steps": ONE_OR_MORE,
    }
    connectome: Connectome

    @keeps_arguments
    def __init__(
        self,
        connectome: Connectome,
        *,
        code: int = 128,
        channels: int = 1,
        steps: int = 3,
        late_steps: int = 5,
        inputs: Neurons = "sensory",
        outputs: Neurons = "motor",
        **options: Any,
    ) -> None:
        super().__init__()
        self.code_length, self.in_channels, self.image_size = code, 1, IMAGE_SIZE
        self.core = SynapticCore(
            connectome, channels, steps=steps, late_steps=late_steps, inputs=inputs, outputs=outputs, **options
        )
        self.back = SynapticCore(
            connectome, channels, steps=late_steps, late_steps=steps, inputs=outputs, outputs=inputs, backwards=True,
            **options,
        )  # fmt: skip
        seen, read = self.core.num_inputs * channels, self.core.num_outputs * channels
        self.stem = nn.Conv2d(1, seen, STEM, stride=2, padding=STEM // 2)
        start_stem(self.stem, mean_square=1.0)
        self.norm = nn.GroupNorm(1, read)
        self.to_code = nn.Linear(read * MAP_SIZE**2, code)
        self.from_code = nn.Linear(code, read * MAP_SIZE**2)
        pixels = nn.Conv2d(seen, 4, 3, padding=1)
        start_as_ink(pixels)
        self.head = nn.Sequential(nn.GroupNorm(1, seen), nn.GELU(), pixels, nn.PixelShuffle(2))

    def encode(self, images: Float[Tensor, "batch 1 28 28"]) -> Float[Tensor, "batch code"]:
        check_images(images, 1, IMAGE_SIZE)
        signal = self.stem(centred(images)).unflatten(1, (self.core.num_inputs, self.core.channels))
        maps = self.norm(self.core(signal).flatten(1, 2))
        return self.to_code(F.adaptive_avg_pool2d(maps, MAP_SIZE).flatten(1))

    def decode(self, code: Float[Tensor, "batch code"]) -> Float[Tensor, "batch 1 28 28"]:
        maps = self.from_code(code).unflatten(1, (-1, MAP_SIZE, MAP_SIZE))
        maps = F.interpolate(maps, size=(_GRID, _GRID), mode="bilinear", align_corners=False)
        drawn = self.back(maps.unflatten(1, (self.back.num_inputs, self.back.channels)))
        return self.head(drawn.flatten(1, 2))
