"""How good a reconstruction or a classification is: figures fixed once for all models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics import MeanMetric
from torchmetrics.classification import BinaryAccuracy, BinaryF1Score, MulticlassAccuracy
from torchmetrics.image import StructuralSimilarityIndexMeasure

from elegans_gnn._shapes import Float, Int

METRICS = ("accuracy", "f1", "bce", "ssim")
CLASS_METRICS = ("accuracy", "cross_entropy")
# torchmetrics drops NaN from a mean unless `nan_strategy` gives a value for it.
_KEPT = float("nan")
# Images at a time where nothing trains.
EVALUATION_BATCH = 200
_LEVELS = 256  # of an 8-bit float


class ReconstructionMetrics(nn.Module):
    """Pixel accuracy, F1, BCE and SSIM of predicted ink, gathered over batches.

    - accuracy: mean over all pixels of [(p > 0.5) == ink].
    - f1: of ink, micro over all pixels, predicted where p > 0.25.
    - bce: mean binary cross-entropy per pixel, in nats; NaN if that of any batch is.
    - ssim: structural similarity of p against ink, Gaussian window of 11 pixels (sigma 1.5), data range 1.
    """

    def __init__(self) -> None:
        super().__init__()
        self.accuracy = BinaryAccuracy(threshold=0.5)
        self.f1 = BinaryF1Score(threshold=0.25)
        self.bce = MeanMetric(nan_strategy=_KEPT)
        self.ssim = StructuralSimilarityIndexMeasure(data_range=1.0, kernel_size=11, sigma=1.5)

    def update(self, logits: Float[Tensor, "batch 1 height width"], ink: Float[Tensor, "batch 1 height width"]) -> None:
        """Take in one batch."""
        probability = torch.sigmoid(logits)
        self.accuracy.update(probability.flatten(), ink.flatten().int())
        self.f1.update(probability.flatten(), ink.flatten().int())
        self.bce.update(F.binary_cross_entropy_with_logits(logits, ink), weight=len(ink))
        self.ssim.update(probability, ink)

    def compute(self) -> dict[str, Tensor]:
        """The four figures over everything taken in."""
        return {name: getattr(self, name).compute() for name in METRICS}

    def reset(self) -> None:
        """Forget everything taken in."""
        for name in METRICS:
            getattr(self, name).reset()


@torch.no_grad()
def evaluate_reconstruction(
    logits_of: Callable[[Tensor], Tensor], ink: Float[Tensor, "image 1 height width"]
) -> dict[str, float]:
    """The four figures of a model (images to logits of ink) on some images."""
    metrics = ReconstructionMetrics().to(ink.device)
    for batch in ink.split(EVALUATION_BATCH):
        metrics.update(logits_of(batch), batch)
    return {name: float(value) for name, value in metrics.compute().items()}


class ClassificationMetrics(nn.Module):
    """Top-1 accuracy and mean cross-entropy (nats; NaN if that of any batch is), gathered over batches."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.accuracy = MulticlassAccuracy(num_classes, average="micro")
        self.cross_entropy = MeanMetric(nan_strategy=_KEPT)

    def update(self, logits: Float[Tensor, "batch cls"], labels: Int[Tensor, "batch"]) -> None:
        """Take in one batch."""
        self.accuracy.update(logits, labels)
        self.cross_entropy.update(F.cross_entropy(logits, labels), weight=len(labels))

    def compute(self) -> dict[str, Tensor]:
        """Both figures over everything taken in."""
        return {name: getattr(self, name).compute() for name in CLASS_METRICS}

    def reset(self) -> None:
        """Forget everything taken in."""
        for name in CLASS_METRICS:
            getattr(self, name).reset()


@torch.no_grad()
def evaluate_classification(
    logits_of: Callable[[Tensor], Tensor],
    pixels: Float[Tensor, "image channel height width"],
    labels: Int[Tensor, "image"],
    num_classes: int,
) -> dict[str, float]:
    """Both figures of a model (images to logits of the classes) on some images."""
    metrics = ClassificationMetrics(num_classes).to(pixels.device)
    for batch, truth in zip(pixels.split(EVALUATION_BATCH), labels.split(EVALUATION_BATCH), strict=True):
        metrics.update(logits_of(batch), truth)
    return {name: float(value) for name, value in metrics.compute().items()}


class EightBitCode:
    r"""Rounds each float of a code to one of 256 levels between the least and the largest it takes on known images.

    .. math:: \hat c_k = a_k + \frac{b_k - a_k}{255}
        \operatorname{round}\Big(255 \, \frac{\min(\max(c_k, a_k), b_k) - a_k}{b_k - a_k}\Big)

    Args:
        codes: codes of the training and validation images; a_k and b_k are the extremes of their column k.

    Shapes:
        codes: [M, code].
    """

    def __init__(self, codes: Float[Tensor, "image code"]) -> None:
        self.low, self.high = codes.amin(dim=0), codes.amax(dim=0)

    def __call__(self, code: Float[Tensor, "batch code"]) -> Float[Tensor, "batch code"]:
        """The codes as eight bits a float carry them."""
        step = (self.high - self.low) / (_LEVELS - 1)
        level = ((code.clamp(self.low, self.high) - self.low) / step).round()
        # A float that is the same for every image needs no bits.
        return self.low + torch.where(step > 0, level * step, torch.zeros_like(level))


@torch.no_grad()
def eight_bit_reconstruction(model: Any, known: Float[Tensor, "image 1 height width"]) -> Callable[[Tensor], Tensor]:
    """A function from images to logits: `model` with its code rounded to eight bits a float.

    Args:
        model: an autoencoder: anything with `encode` and `decode`.
        known: the images that set the range of each float: training and validation, never test.
    """
    encode, decode = model.encode, model.decode
    rounded = EightBitCode(torch.cat([encode(batch) for batch in known.split(EVALUATION_BATCH)]))
    return lambda images: decode(rounded(encode(images)))
