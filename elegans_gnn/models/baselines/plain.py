"""The plainest baselines: a perceptron and a convolutional network as autoencoders, and logistic regression."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn

from elegans_gnn._shapes import Float
from elegans_gnn.errors import Range
from elegans_gnn.models._base import ANY_NUMBER, LEAST_SIZE, ONE_OR_MORE, Autoencoder, Classifier, keeps_arguments
from elegans_gnn.models._blocks import (
    ResidualBlock,
    centred,
    check_images,
    pixel_decoder,
    start_as_ink,
    use_channels_last,
)

# Images that can be cut into patches of 4 x 4.
MULTIPLE_OF_4 = Range(least=LEAST_SIZE, divisor=4, whole=True, remedy="resize or pad the images")


class MLPAutoencoder(Autoencoder, name="mlp", place=1):
    """Fully connected layers with GELU from pixels to code and back.

    Args:
        code, image_size, in_channels: see :class:`Autoencoder`.
        width: units of a hidden layer.
        depth: hidden layers on each side of the code.
    """

    PARTS: ClassVar = {"encoder": ("encoder",), "decoder": ("decoder",)}
    MATRICES = ("encoder", "decoder")
    ranges: ClassVar = {**Autoencoder.ranges, "width": ONE_OR_MORE, "depth": ANY_NUMBER}

    @keeps_arguments
    def __init__(
        self, *, code: int = 128, image_size: int = 28, in_channels: int = 1, width: int = 448, depth: int = 1
    ) -> None:
        super().__init__()
        self.code_length, self.in_channels, self.image_size = code, in_channels, image_size
        pixels = in_channels * image_size**2
        self.encoder = _perceptron([pixels, *[width] * depth, code])
        self.decoder = _perceptron([code, *[width] * depth, pixels])
        start_as_ink(self.decoder[-1])

    def encode(self, images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch code"]:
        check_images(images, self.in_channels, self.image_size)
        return self.encoder(centred(images).flatten(1))

    def decode(self, code: Float[Tensor, "batch code"]) -> Float[Tensor, "batch channel height width"]:
        return self.decoder(code).unflatten(1, (self.in_channels, self.image_size, self.image_size))


def _perceptron(sizes: list[int]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.GELU()]
    return nn.Sequential(*layers[:-1])


class ConvAutoencoder(Autoencoder, name="conv", place=2):
    """Convolutions down to a quarter of the image's size, a linear code, and convolutions back up.

    Args:
        code, in_channels: see :class:`Autoencoder`.
        image_size: a multiple of 4.
        width: channels at a quarter of the size; half as many at half of it.
        depth: residual blocks on each side of the code.
    """

    PARTS: ClassVar = {"encoder": ("encoder",), "code": ("to_code", "from_code"), "decoder": ("decoder",)}
    MATRICES = ("encoder", "to_code", "from_code", "decoder")
    ranges: ClassVar = {
        **Autoencoder.ranges,
        "image_size": MULTIPLE_OF_4,
        "width": Range(least=2, whole=True),
        "depth": ANY_NUMBER,
    }

    @keeps_arguments
    def __init__(
        self, *, code: int = 128, image_size: int = 28, in_channels: int = 1, width: int = 56, depth: int = 2
    ) -> None:
        super().__init__()
        self.code_length, self.in_channels, self.image_size = code, in_channels, image_size
        grid = image_size // 4
        self.encoder = nn.Sequential(
            nn.Conv2d(in_channels, width // 2, 4, stride=2, padding=1),
            nn.GELU(),
            nn.Conv2d(width // 2, width, 4, stride=2, padding=1),
            *[ResidualBlock(width) for _ in range(depth)],
            nn.GroupNorm(1, width),
            nn.GELU(),
        )
        self.to_code = nn.Linear(width * grid**2, code)
        self.from_code = nn.Linear(code, width * grid**2)
        self.decoder = pixel_decoder(width, depth, grid, 4, in_channels)
        use_channels_last(self)

    def encode(self, images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch code"]:
        check_images(images, self.in_channels, self.image_size)
        return self.to_code(self.encoder(centred(images)).flatten(1))

    def decode(self, code: Float[Tensor, "batch code"]) -> Float[Tensor, "batch channel height width"]:
        return self.decoder(self.from_code(code))


class LogisticRegression(Classifier, name="logistic", place=4):
    """One linear map from pixels to classes, zero at the start; arguments are those of :class:`Classifier`."""

    PARTS: ClassVar = {"head": ("head",)}
    MATRICES = ("head",)

    @keeps_arguments
    def __init__(self, num_classes: int = 10, *, in_channels: int = 3, image_size: int = 32) -> None:
        super().__init__()
        self.num_classes, self.in_channels, self.image_size = num_classes, in_channels, image_size
        self.head = nn.Linear(in_channels * image_size**2, num_classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch cls"]:
        check_images(images, self.in_channels, self.image_size)
        return self.head(images.flatten(1))
