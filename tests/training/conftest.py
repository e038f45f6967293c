"""Small data for training tests: the real pipeline on a handful of digits."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from elegans_gnn.datasets import Images, ImageSource, load_digits
from elegans_gnn.training import AutoencoderConfig


@pytest.fixture(scope="session")
def digits() -> ImageSource:
    return load_digits("mnist5k")


@pytest.fixture(scope="session")
def few(digits: ImageSource) -> ImageSource:
    """The first digits of each part."""

    def first(part: Callable[[], Images], count: int) -> Callable[[], Images]:
        return lambda: Images(*(column[:count] for column in part()))

    return ImageSource("few", first(digits.train, 96), first(digits.validation, 40), first(digits.test, 40))


@pytest.fixture(scope="session")
def tiny() -> AutoencoderConfig:
    return AutoencoderConfig(
        steps=8, batch_size=32, validate_every=4, warmup=2, encoder_width=8, decoder_width=8, code=16, threads=1
    )


@pytest.fixture(autouse=True)
def _threads() -> object:
    """Runs set the number of threads; the next test gets the old one back."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
