"""Augmentation: geometry against formulas, and each image's change a function of seed, epoch and image alone."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from elegans_gnn.datasets import Images, ImageSource, ink
from elegans_gnn.training import AutoencoderConfig, ClassifierConfig, TrainingBatches, TrainingConfig
from elegans_gnn.training.batches import Augmentation, cut_out, mirrored, painted, warped


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def affine(count: int = 1, **parts: float) -> Tensor:
    """Rows with some of angle, scale, shear, down and right set, in units of the largest."""
    rows = torch.zeros(count, 5)
    for name, value in parts.items():
        rows[:, ("angle", "scale", "shear", "down", "right").index(name)] = value
    return rows


def flat(count: int = 1) -> Tensor:
    return torch.zeros(count, 2, 5, 5)


def blob(row: float, column: float, size: int = 28) -> Tensor:
    """A smooth spot, whose centre of mass is where it was put."""
    line = torch.arange(size, dtype=torch.float32)
    picture = torch.exp(-((line[:, None] - row) ** 2 + (line[None, :] - column) ** 2) / 8)
    return picture[None, None]


def centre(picture: Tensor) -> tuple[float, float]:
    line = torch.arange(picture.shape[-1], dtype=torch.float32)
    mass = picture[0, 0] / picture.sum()
    return float((mass.sum(1) * line).sum()), float((mass.sum(0) * line).sum())


def test_nothing_drawn_changes_nothing() -> None:
    picture = torch.rand(3, 2, 28, 28, generator=generator())
    assert torch.allclose(warped(picture, affine(3), flat(3)), picture, atol=1e-5)


def test_a_move_is_in_pixels_down_and_right() -> None:
    picture = torch.rand(1, 1, 28, 28, generator=generator())
    moved = warped(picture, affine(down=1.0, right=-0.5), flat())
    # Two of 28 pixels down, one to the left; what comes in is background.
    assert torch.allclose(moved[..., 2:, :27], picture[..., :26, 1:], atol=1e-5)
    assert float(moved[..., :2, :].abs().max()) < 1e-6


def test_smaller_images_move_less() -> None:
    picture = torch.rand(1, 1, 14, 14, generator=generator())
    assert torch.allclose(warped(picture, affine(down=1.0), flat())[..., 1:, :], picture[..., :13, :], atol=1e-5)


def test_a_turn_is_fifteen_degrees_to_the_left_about_the_middle() -> None:
    before = (13.5, 13.5 + 8)
    after = centre(warped(blob(*before), affine(angle=1.0), flat()))
    angle = math.radians(15)
    expected = (13.5 - 8 * math.sin(angle), 13.5 + 8 * math.cos(angle))
    assert after == pytest.approx(expected, abs=0.05)


def test_a_scale_is_about_the_middle() -> None:
    row, column = centre(warped(blob(13.5, 13.5 + 4), affine(scale=1.0), flat()))
    assert (row, column) == pytest.approx((13.5, 13.5 + 4 * 1.15), abs=0.02)


def test_a_shear_slants_and_keeps_the_rows() -> None:
    row, column = centre(warped(blob(13.5 + 8, 13.5), affine(shear=1.0), flat()))
    assert row == pytest.approx(13.5 + 8, abs=0.3)
    assert abs(column - 13.5) == pytest.approx(8 * 0.15, abs=0.3)


def test_an_even_bend_is_a_move_and_an_uneven_one_is_smooth() -> None:
    picture = torch.rand(1, 1, 28, 28, generator=generator())
    even = flat()
    even[:, 0] = 1.0  # the pixel is fetched one below: the picture goes up
    assert torch.allclose(warped(picture, affine(), even)[..., :27, :], picture[..., 1:, :], atol=1e-5)
    ramp = torch.linspace(0, 1, 28).expand(1, 1, 28, 28).contiguous()
    bent = warped(ramp, affine(), torch.randn(1, 2, 5, 5, generator=generator()))[..., 3:-3, 3:-3]
    steps = bent.diff(dim=-2).abs()
    # Neighbouring rows are displaced almost equally: no tears of a pixel (1/27 of the ramp).
    assert 0 < float(steps.max()) < 1 / 27


def test_mirror_and_hole() -> None:
    picture = torch.arange(1.0, 10.0).reshape(1, 1, 3, 3).repeat(2, 1, 1, 1)
    once = mirrored(picture, torch.tensor([True, False]))
    assert once[0, 0, 0].tolist() == [3, 2, 1]
    assert torch.equal(once[1], picture[1])
    holed = cut_out(picture, torch.tensor([[0, 0], [1, 2]]), 2)
    assert holed[0, 0].tolist() == [[0, 2, 3], [4, 5, 6], [7, 8, 9]]
    assert holed[1, 0].tolist() == [[1, 0, 0], [4, 0, 0], [7, 8, 9]]
    assert torch.equal(cut_out(picture, torch.zeros(2, 2, dtype=torch.int64), 0), picture)


def test_a_painted_rectangle_has_its_place_sides_and_value() -> None:
    picture = torch.arange(1.0, 10.0).reshape(1, 1, 3, 3).repeat(3, 2, 1, 1)
    corners, sides = torch.tensor([[0, 1], [1, 1], [2, 0]]), torch.tensor([[2, 1], [5, 5], [0, 0]])
    done = painted(picture, corners, sides, torch.tensor([0.5, 0.25, 0.75]))
    assert done[0, 1].tolist() == [[1, 0.5, 3], [4, 0.5, 6], [7, 8, 9]]
    assert done[1, 0].tolist() == [[1, 2, 3], [4, 0.25, 0.25], [7, 0.25, 0.25]]
    assert torch.equal(done[2], picture[2])


def test_an_alternating_flip_shows_each_side_every_second_epoch() -> None:
    pixels = torch.rand(1000, 1, 28, 28, generator=generator())
    index = torch.arange(1000)
    settings = ClassifierConfig(augment="crop-flip", flip="alternating", shift=0).augment
    epochs = [
        Augmentation(settings, 1000, 28, generator(epoch), binary=False, epoch=epoch)(pixels, index)
        for epoch in range(4)
    ]
    first = (epochs[0] != pixels).flatten(1).any(dim=1)
    assert torch.equal(epochs[0], mirrored(pixels, first))
    assert torch.equal(epochs[1], mirrored(pixels, ~first))
    assert torch.equal(epochs[2], epochs[0])
    assert torch.equal(epochs[3], epochs[1])
    assert float(first.float().mean()) == pytest.approx(0.5, abs=0.02)
    # Neighbours are independent: in files sorted by class, too, each class is halved.
    assert float((first[1:] == first[:-1]).float().mean()) == pytest.approx(0.5, abs=0.15)
    assert all(float(tenth.float().mean()) == pytest.approx(0.5, abs=0.06) for tenth in first.split(100))


def test_without_a_flip_nothing_is_mirrored(digits: ImageSource) -> None:
    images = digits.validation()
    still = drawn(ClassifierConfig(augment="crop-flip", flip="none", shift=0), images, torch.arange(400))
    assert torch.equal(still, images.pixels)
    some = drawn(ClassifierConfig(augment="crop-flip", shift=0), images, torch.arange(400))
    changed = (some != still).flatten(1).any(dim=1)
    assert torch.equal(some, mirrored(still, changed))
    assert float(changed.float().mean()) == pytest.approx(0.5, abs=0.1)


def test_erasing_paints_one_rectangle_of_one_value_into_its_share() -> None:
    pixels = torch.full((4000, 1, 28, 28), 2.0)
    settings = ClassifierConfig(augment="crop-flip", flip="none", shift=0, erase=0.25).augment
    done = Augmentation(settings, 4000, 28, generator(), binary=False)(pixels, torch.arange(4000))[:, 0]
    holes = done != 2
    erased = holes.flatten(1).any(dim=1)
    assert float(erased.float().mean()) == pytest.approx(0.25, abs=0.03)
    rows, columns = holes.any(dim=2).sum(1), holes.any(dim=1).sum(1)
    assert torch.equal(rows * columns, holes.flatten(1).sum(1))  # rectangles, whole and inside
    areas = (rows * columns)[erased] / 28**2
    assert (float(areas.min()), float(areas.max())) == pytest.approx((0.02, 0.4), abs=0.02)
    assert float(areas.mean()) == pytest.approx(0.21, abs=0.02)
    ratios = (rows / columns)[erased].log()
    assert float(ratios.mean()) == pytest.approx(0.0, abs=0.1)
    values = (done * holes).flatten(1).amax(1)[erased]
    assert torch.equal(done[erased], torch.where(holes[erased], values[:, None, None], 2.0))
    assert (float(values.min()), float(values.max())) == pytest.approx((0, 1), abs=0.02)


def test_what_an_earlier_seed_drew_stays(digits: ImageSource) -> None:
    """Erasing draws last, so that orders, moves and flips are those of a run without it."""
    images = digits.validation()
    plain = drawn(ClassifierConfig(augment="crop-flip", shift=2), images, torch.arange(400))
    erased = drawn(ClassifierConfig(augment="crop-flip", shift=2, erase=0.5), images, torch.arange(400))
    same = (plain == erased).flatten(1).all(dim=1)
    assert float(same.float().mean()) == pytest.approx(0.5, abs=0.1)


def drawn(config: TrainingConfig, images: Images, index: Tensor, seed: int = 0) -> Tensor:
    binary = isinstance(config, AutoencoderConfig)
    change = Augmentation(config.augment, len(images.pixels), images.pixels.shape[-1], generator(seed), binary=binary)
    return change(images.pixels, index)


@pytest.mark.parametrize("kind", ["none", "shift", "strong", "crop-flip"])
@pytest.mark.parametrize("config_type", [AutoencoderConfig, ClassifierConfig])
def test_an_image_changes_the_same_way_in_whatever_batch(
    kind: str, config_type: type[TrainingConfig], digits: ImageSource
) -> None:
    images = digits.validation()
    more: dict[str, Any] = {"cutout": 4, "flip": "alternating", "erase": 0.5} if kind == "crop-flip" else {}
    config = config_type(augment=kind, **({} if kind == "none" else {"shift": 2, **more}))
    whole = drawn(config, images, torch.arange(40))
    assert torch.equal(drawn(config, images, torch.tensor([7, 31, 2])), whole[[7, 31, 2]])
    other = drawn(config, images, torch.arange(40), seed=1)
    assert torch.equal(whole, other) == (kind == "none")
    values = set(whole.unique().tolist())
    assert (values == {0.0, 1.0}) == (config_type is AutoencoderConfig)


def test_strong_takes_its_share_and_shifts_the_others(digits: ImageSource) -> None:
    images = digits.train()
    index = torch.arange(2000)
    kept = ink(images.pixels[index])
    changed = drawn(AutoencoderConfig(augment="strong", augment_share=0.3, shift=0), images, index)
    share = float((changed != kept).flatten(1).any(dim=1).float().mean())
    assert share == pytest.approx(0.3, abs=0.04)
    none = drawn(AutoencoderConfig(augment="strong", augment_share=0.0, shift=0), images, index)
    assert torch.equal(none, kept)


def test_ink_is_cut_at_varying_heights(digits: ImageSource) -> None:
    """Some of the warped digits are fatter and some thinner than at the usual cut."""
    images = digits.train()
    index = torch.arange(500)
    settings = AutoencoderConfig(augment="strong", augment_share=1.0).augment
    change = Augmentation(settings, 3600, 28, generator(), binary=True)
    grey = warped(images.pixels[index], change.affine[index], change.elastic[index])
    amount = change(images.pixels, index).sum(dim=(1, 2, 3)) - ink(grey).sum(dim=(1, 2, 3))
    assert float((amount > 0).float().mean()) > 0.3
    assert float((amount < 0).float().mean()) > 0.3


def test_the_order_of_the_images_does_not_depend_on_the_augmentation(digits: ImageSource) -> None:
    images = digits.validation()
    common: dict[str, Any] = {"steps": 2, "batch_size": 50, "shift": 0}
    labels = [
        torch.cat([batch[1] for batch in TrainingBatches(images, ClassifierConfig(augment=kind, **common))])
        for kind in ("shift", "strong", "crop-flip")
    ]
    assert torch.equal(labels[0], labels[1])
    assert torch.equal(labels[0], labels[2])


@pytest.mark.parametrize("kind", ["shift", "strong", "crop-flip"])
def test_processes_share_each_batch_and_a_late_start_goes_on(kind: str, digits: ImageSource) -> None:
    images = digits.validation()
    common: dict[str, Any] = {"steps": 9, "batch_size": 100, "augment": kind, "shift": 1}
    common |= {"flip": "alternating", "erase": 0.5} if kind == "crop-flip" else {}
    whole = list(TrainingBatches(images, ClassifierConfig(**common)))
    late = TrainingBatches(images, ClassifierConfig(**common), lambda: 6)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(whole[6:], late, strict=True))
    config = ClassifierConfig(devices=2, **common)
    halves = [list(TrainingBatches(images, config, rank=lambda rank=rank: rank)) for rank in (0, 1)]
    for (pixels, labels), first, second in zip(whole, *halves, strict=True):
        assert torch.equal(pixels, torch.cat([first[0], second[0]]))
        assert torch.equal(labels, torch.cat([first[1], second[1]]))
        assert len(first[1]) == 50


def test_more_processes_than_images_are_refused(digits: ImageSource) -> None:
    few = Images(*(column[:3] for column in digits.validation()))
    with pytest.raises(ValueError, match="devices must be at most 3, the training images, got 4"):
        TrainingBatches(few, ClassifierConfig(devices=4))
