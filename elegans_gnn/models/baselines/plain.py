"""The plainest baselines: a perceptron and a convolutional network as autoencoders, and logistic regression."""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn

from elegans_gnn._shapes import Float
from elegans_gnn.errors import invalid
from elegans_gnn.models._base import LEAST_SIZE, Autoencoder, Classifier, keeps_arguments
from elegans_gnn.models._blocks import (
    ResidualBlock,
    centred,
    check_images,
    pixel_decoder,
    start_as_ink,
    use_channels_last,
)


def check_multiple_of_four(image_size: int, model: str) -> None:
    """Refuse images that cannot be cut into patches of 4 x 4."""
    if image_size < LEAST_SIZE or image_size % 4:
        raise invalid("image_size", "a multiple of 4, at least 8", image_size, f"resize or pad the images for {model}")


class MLPAutoencoder(Autoencoder, name="mlp", place=1):
    """Fully connected layers with GELU from pixels to code and back.

    Args:
        code, image_size, in_channels: see :class:`Autoencoder`.
        width: units of a hidden layer.
        depth: hidden layers on each side of the code.
    """

    PARTS: ClassVar = {"encoder": ("encoder",), "decoder": ("decoder",)}
    MATRICES = ("encoder", "decoder")

    @keeps_arguments
    def __init__(
        self, *, code: int = 128, image_size: int = 28, in_channels: int = 1, width: int = 448, depth: int = 1
    ) -> None:
        super().__init__()
        self.set_code(code, in_channels, image_size, width=(width, 1), depth=(depth, 0))
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

    @keeps_arguments
    def __init__(
        self, *, code: int = 128, image_size: int = 28, in_channels: int = 1, width: int = 56, depth: int = 2
    ) -> None:
        super().__init__()
        check_multiple_of_four(image_size, "ConvAutoencoder")
        self.set_code(code, in_channels, image_size, width=(width, 2), depth=(depth, 0))
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
        self.set_classes(num_classes)
        self.set_images(in_channels, image_size)
        self.head = nn.Linear(in_channels * image_size**2, num_classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch cls"]:
        check_images(images, self.in_channels, self.image_size)
        return self.head(images.flatten(1))
