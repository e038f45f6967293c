"""Training batches: every image once an epoch, small shifts, and all of it a function of seed and step."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest
import torch
from torch import Tensor

from elegans_gnn.datasets import Images, ImageSource, ink
from elegans_gnn.training import AutoencoderConfig, TrainingBatches
from elegans_gnn.training.batches import ValidationBatches, shifted

COUNT = 23


@pytest.fixture
def marked() -> Images:
    """Image i has a single dark pixel, at row 2 + i // 5 and column 2 + i % 5, well inside."""
    pixels = torch.zeros(COUNT, 1, 12, 12)
    number = torch.arange(COUNT)
    pixels[number, 0, 2 + number // 5, 2 + number % 5] = 1.0
    return Images(pixels, number)


def config(**options: Any) -> AutoencoderConfig:
    return AutoencoderConfig(**{"steps": 12, "batch_size": 5, "shift": 0, "seed": 3, **options})


def numbers(batch: Tensor) -> list[int]:
    """Which images a batch without shifts holds."""
    place = batch.flatten(1).argmax(dim=1)
    return [int((row - 2) * 5 + (column - 2)) for row, column in zip(place // 12, place % 12, strict=True)]


def test_every_epoch_takes_every_image_at_most_once_and_none_twice(marked: Images) -> None:
    batches = [numbers(batch) for batch in TrainingBatches(marked, config())]
    assert len(batches) == 12
    assert {len(batch) for batch in batches} == {5}
    epochs = [list(chain(*batches[first : first + 4])) for first in (0, 4, 8)]
    for epoch in epochs:
        assert len(set(epoch)) == 20
        assert set(epoch) <= set(range(COUNT))
    assert epochs[0] != epochs[1] != epochs[2]
    # The three images left over in one epoch come in another.
    assert set().union(*epochs) == set(range(COUNT))


def test_an_epoch_that_divides_evenly_takes_every_image_exactly_once(marked: Images) -> None:
    images = Images(marked.pixels[:20], marked.labels[:20])
    batches = [numbers(batch) for batch in TrainingBatches(images, config(steps=8))]
    for first in (0, 4):
        assert sorted(chain(*batches[first : first + 4])) == list(range(20))


def test_shifts_stay_in_range_and_use_all_of_it(marked: Images) -> None:
    rows = [numbers(batch) for batch in TrainingBatches(marked, config(steps=80))]
    moved = list(TrainingBatches(marked, config(steps=80, shift=2)))
    moves = []
    for which, batch in zip(rows, moved, strict=True):
        # The order does not depend on the shifts, so each image is known.
        home = torch.tensor(which)
        place = batch.flatten(1).argmax(dim=1)
        moves.append(torch.stack([place // 12 - (2 + home // 5), place % 12 - (2 + home % 5)], dim=1))
        assert torch.equal(batch.sum(dim=(1, 2, 3)), torch.ones(5))
    seen = {tuple(move) for move in torch.cat(moves).tolist()}
    assert seen == {(down, right) for down in range(-2, 3) for right in range(-2, 3)}


def test_shifted_moves_down_and_right_and_fills_with_background() -> None:
    pixels = torch.arange(1.0, 10.0).reshape(1, 1, 3, 3).repeat(3, 1, 1, 1)
    down_right, up, stay = shifted(pixels, torch.tensor([[1, 1], [-1, 0], [0, 0]]))[:, 0]
    assert down_right.tolist() == [[0, 0, 0], [0, 1, 2], [0, 4, 5]]
    assert up.tolist() == [[4, 5, 6], [7, 8, 9], [0, 0, 0]]
    assert torch.equal(stay, pixels[0, 0])
    assert shifted(pixels[:0], torch.zeros(0, 2, dtype=torch.int64)).shape == (0, 1, 3, 3)


def test_batches_are_a_function_of_seed_and_step(marked: Images) -> None:
    first, again = (list(TrainingBatches(marked, config(shift=1))) for _ in range(2))
    torch.rand(7)  # the global generator plays no part
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    other = list(TrainingBatches(marked, config(shift=1, seed=4)))
    assert not any(torch.equal(a, b) for a, b in zip(first, other, strict=True))
    longer = list(TrainingBatches(marked, config(shift=1, steps=30)))
    assert all(torch.equal(a, b) for a, b in zip(first, longer, strict=False))


@pytest.mark.parametrize("step", [1, 4, 6, 11, 12])
def test_a_pass_that_begins_in_the_middle_goes_on_as_the_whole_one(step: int, marked: Images) -> None:
    whole = list(TrainingBatches(marked, config(shift=1)))
    rest = list(TrainingBatches(marked, config(shift=1), lambda: step))
    assert len(rest) == 12 - step
    assert all(torch.equal(a, b) for a, b in zip(whole[step:], rest, strict=True))


def test_seeds_and_epochs_do_not_share_their_draws(marked: Images) -> None:
    """Epoch 1 of seed 0 is not epoch 0 of seed 1."""
    second_epoch = list(TrainingBatches(marked, config(seed=0)))[4:8]
    first_epoch = list(TrainingBatches(marked, config(seed=1)))[:4]
    assert [numbers(batch) for batch in second_epoch] != [numbers(batch) for batch in first_epoch]


def test_a_batch_larger_than_the_data_is_all_of_them(marked: Images) -> None:
    batches = list(TrainingBatches(marked, config(batch_size=1000, steps=2)))
    assert [sorted(numbers(batch)) for batch in batches] == [list(range(COUNT))] * 2


def test_training_sees_ink_not_grey(digits: ImageSource) -> None:
    (batch,) = TrainingBatches(digits.validation(), config(steps=1, batch_size=400))
    assert set(batch.unique().tolist()) == {0.0, 1.0}
    assert float(batch.sum()) == float(ink(digits.validation().pixels).sum())


def test_length_is_the_number_of_steps(marked: Images) -> None:
    settings = config()
    batches = TrainingBatches(marked, settings)
    assert len(batches) == settings.optim.steps
    assert len(TrainingBatches(marked, settings.changed(steps=1))) == 1


def test_validation_batches_hold_all_images_in_order_at_every_pass(marked: Images) -> None:
    batches = ValidationBatches(marked, size=10)
    assert len(batches) == 3
    for _ in range(2):
        assert torch.equal(torch.cat(list(batches)), marked.pixels)
