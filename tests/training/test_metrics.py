"""The four figures against formulas written out, and PCA's figures on the real test digits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d
from torch import Tensor

from elegans_gnn.datasets import ImageSource, ink
from elegans_gnn.training import (
    ClassificationMetrics,
    ReconstructionMetrics,
    evaluate_reconstruction,
    pca_reconstruction,
)


def example(count: int = 7, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Logits and ink with all four combinations of right and wrong."""
    generator = torch.Generator().manual_seed(seed)
    ink = (torch.rand(count, 1, 28, 28, generator=generator) < 0.2).float()
    logits = 3 * (ink - 0.6) + torch.randn(ink.shape, generator=generator) * 1.5
    return logits, ink


def ssim_by_hand(p: np.ndarray, q: np.ndarray) -> float:
    """Wang et al. 2004, Gaussian window of 11 pixels, sigma 1.5, data range 1, pictures mirrored at their borders."""
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2

    def mean(values: np.ndarray) -> np.ndarray:
        return convolve2d(np.pad(values, 5, mode="reflect"), window, mode="valid")

    a, b = mean(p), mean(q)
    variances = mean(p * p) - a * a + mean(q * q) - b * b
    covariance = mean(p * q) - a * b
    c1, c2 = 0.01**2, 0.03**2
    return float(((2 * a * b + c1) * (2 * covariance + c2) / ((a * a + b * b + c1) * (variances + c2))).mean())


def by_hand(logits: Tensor, ink: Tensor) -> dict[str, float]:
    p, q = 1 / (1 + np.exp(-logits.double().numpy())), ink.double().numpy()
    drawn = p > 0.25
    hits, extra, missed = (drawn & (q == 1)).sum(), (drawn & (q == 0)).sum(), (~drawn & (q == 1)).sum()
    return {
        "accuracy": float(((p > 0.5) == (q == 1)).mean()),
        "f1": float(2 * hits / (2 * hits + extra + missed)),
        "bce": float(-(q * np.log(p) + (1 - q) * np.log(1 - p)).mean()),
        "ssim": float(np.mean([ssim_by_hand(a, b) for a, b in zip(p[:, 0], q[:, 0], strict=True)])),
    }


@pytest.mark.parametrize("count", [1, 7, 201])
def test_figures_equal_the_formulas(count: int) -> None:
    logits, ink = example(count)
    place = iter(logits.split(200))
    figures = evaluate_reconstruction(lambda images: next(place), ink)
    # float32 sums over 150,000 pixels.
    assert figures == pytest.approx(by_hand(logits, ink), abs=2e-5)


def test_batches_of_any_size_give_the_same() -> None:
    logits, ink = example(23)
    figures = []
    for size in (23, 1, 5):
        metrics = ReconstructionMetrics()
        for batch in zip(logits.split(size), ink.split(size), strict=True):
            metrics.update(*batch)
        figures.append({name: float(value) for name, value in metrics.compute().items()})
    assert figures[1] == pytest.approx(figures[0], abs=1e-6)
    assert figures[2] == pytest.approx(figures[0], abs=1e-6)


def test_reset_forgets() -> None:
    metrics = ReconstructionMetrics()
    metrics.update(*example(seed=1))
    metrics.reset()
    logits, ink = example(seed=2)
    metrics.update(logits, ink)
    assert {name: float(value) for name, value in metrics.compute().items()} == pytest.approx(
        by_hand(logits, ink), abs=2e-5
    )


def test_perfect_and_inverted() -> None:
    _, ink = example()
    perfect = evaluate_reconstruction(lambda images: (images - 0.5) * 80, ink)
    assert perfect == pytest.approx({"accuracy": 1.0, "f1": 1.0, "bce": 0.0, "ssim": 1.0}, abs=1e-6)
    inverted = evaluate_reconstruction(lambda images: (0.5 - images) * 80, ink)
    assert (inverted["accuracy"], inverted["f1"]) == (0.0, 0.0)
    assert inverted["ssim"] < 0
    assert inverted["bce"] == pytest.approx(40.0, abs=1e-3)


def test_thresholds_are_a_half_for_accuracy_and_a_quarter_for_f1() -> None:
    """p = 0.3 everywhere: called no ink by the first and ink by the second; a half itself is not more than a half."""
    _, ink = example()
    share = float(ink.mean())
    third = evaluate_reconstruction(lambda images: torch.full_like(images, float(np.log(0.3 / 0.7))), ink)
    assert third["accuracy"] == pytest.approx(1 - share, abs=1e-6)
    assert third["f1"] == pytest.approx(2 * share / (1 + share), abs=1e-6)
    half = evaluate_reconstruction(torch.zeros_like, ink)
    assert half["accuracy"] == pytest.approx(1 - share, abs=1e-6)


def test_figures_compare_each_image_with_its_own_reconstruction() -> None:
    logits, ink = example()
    shifted = logits.roll(1, 0)
    right = evaluate_reconstruction(lambda images: logits, ink)
    wrong = evaluate_reconstruction(lambda images: shifted, ink)
    assert wrong["accuracy"] < right["accuracy"] - 0.05
    assert wrong["bce"] > right["bce"] + 0.05


def test_no_gradients_are_recorded() -> None:
    _, ink = example(2)
    weight = torch.ones((), requires_grad=True)
    seen = []

    def model(images: Tensor) -> Tensor:
        logits = images * weight
        seen.append(logits.requires_grad)
        return logits

    evaluate_reconstruction(model, ink)
    assert seen == [False]


def test_pca_with_128_components_on_the_test_digits(digits: ImageSource) -> None:
    train, test = ink(digits.train().pixels), ink(digits.test().pixels)
    figures = evaluate_reconstruction(pca_reconstruction(train, 128), test)
    assert 100 * figures["accuracy"] == pytest.approx(99.53, abs=0.01)


def test_pca_is_the_projection_on_the_leading_directions() -> None:
    _, train = example(40, seed=3)
    _, test = example(5, seed=4)
    drawn = torch.sigmoid(pca_reconstruction(train, 9)(test)).double().flatten(1).numpy()
    flat, images = train.double().flatten(1).numpy(), test.double().flatten(1).numpy()
    mean = flat.mean(axis=0)
    directions = np.linalg.svd(flat - mean, full_matrices=False)[2][:9]
    expected = mean + (images - mean) @ directions.T @ directions
    assert np.allclose(drawn, expected.clip(1e-3, 1 - 1e-3), atol=1e-5)


def test_pca_with_every_direction_gives_its_own_training_images_back() -> None:
    _, train = example(12, seed=5)
    figures = evaluate_reconstruction(pca_reconstruction(train, 12), train)
    assert figures["accuracy"] == 1.0
    assert figures["bce"] == pytest.approx(-np.log(1 - 1e-3), abs=1e-5)


@pytest.mark.parametrize("bad", [0, 1])
def test_one_lost_batch_is_not_left_out_of_the_mean(bad: int) -> None:
    """A model that is lost on some images only has no mean loss."""
    reconstruction, classification = ReconstructionMetrics(), ClassificationMetrics(3)
    for batch in range(2):
        lost = torch.nan if batch == bad else 0.0
        reconstruction.update(torch.full((2, 1, 28, 28), lost), torch.ones(2, 1, 28, 28))
        classification.update(torch.full((2, 3), lost), torch.tensor([0, 1]))
    assert reconstruction.compute()["bce"].isnan()
    assert classification.compute()["cross_entropy"].isnan()
