"""The classifier: any size of image, the one path through the core, what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from elegans_gnn import ElegansClassifier


@pytest.mark.parametrize("size", [8, 9, 12, 13, 16, 27, 28, 32, 50])
@pytest.mark.parametrize("in_channels", [1, 3])
def test_takes_images_of_any_size_from_8_up(tiny, size, in_channels):
    model = ElegansClassifier(tiny, 5, in_channels=in_channels, image_size=size, width=4)
    assert model(torch.rand(2, in_channels, size, size)).shape == (2, 5)
    assert (model.num_classes, model.in_channels, model.image_size) == (5, in_channels, size)


def test_the_only_path_from_image_to_classes_is_the_connectome(worm):
    torch.manual_seed(0)
    model = ElegansClassifier(worm, 10, width=8)
    images = torch.rand(2, 3, 32, 32)
    assert not torch.allclose(*model(images), atol=1e-3)
    model.core.lesion(edges=range(worm.num_edges))
    assert torch.equal(*model(images))


def test_every_parameter_gets_a_gradient(worm):
    torch.manual_seed(0)
    model = ElegansClassifier(worm, 4, width=8, in_channels=1, image_size=8)
    model.loss(torch.rand(4, 1, 8, 8), torch.arange(4)).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert without == []
    assert sum(model.parameters_by_part().values()) == sum(p.numel() for p in model.parameters())


def test_loss_is_the_cross_entropy_with_smoothed_targets(tiny):
    torch.manual_seed(0)
    model = ElegansClassifier(tiny, 4, width=4, image_size=8)
    images, labels = torch.rand(6, 3, 8, 8), torch.tensor([0, 1, 2, 3, 1, 1])
    log = F.log_softmax(model(images), 1)
    target = 0.9 * F.one_hot(labels, 4) + 0.1 / 4
    assert model.loss(images, labels, 0.1).item() == pytest.approx(-(target * log).sum(1).mean().item(), rel=1e-5)
    assert model.loss(images, labels).item() == pytest.approx(F.nll_loss(log, labels).item(), rel=1e-5)


def test_dropout_acts_in_training_only(tiny):
    torch.manual_seed(0)
    model = ElegansClassifier(tiny, 3, width=4, image_size=8, dropout=0.5)
    images = torch.rand(2, 3, 8, 8)
    assert not torch.equal(model(images), model(images))
    model.eval()
    assert torch.equal(model(images), model(images))


def test_learns_a_batch_by_heart(tiny):
    torch.manual_seed(0)
    model = ElegansClassifier(tiny, 3, width=8, in_channels=1, image_size=8)
    images, labels = torch.rand(12, 1, 8, 8), torch.arange(12) % 3
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(120):
        optimizer.zero_grad()
        model.loss(images, labels).backward()
        optimizer.step()
    assert (model(images).argmax(1) == labels).all()


def test_refusals(tiny, unchecked_shapes):
    with pytest.raises(ValueError, match="image_size must be >= 8, got 7"):
        ElegansClassifier(tiny, image_size=7)
    with pytest.raises(ValueError, match="num_classes must be >= 2, got 1; give one number per class"):
        ElegansClassifier(tiny, 1)
    with pytest.raises(ValueError, match="in_channels must be >= 1, got 0"):
        ElegansClassifier(tiny, in_channels=0)
    with pytest.raises(ValueError, match=r"dropout must be in \[0, 1\), got 1"):
        ElegansClassifier(tiny, dropout=1)
    model = ElegansClassifier(tiny, width=4)
    with pytest.raises(ValueError, match=r"images must be of shape \[B, 3, 32, 32\], got \[2, 1, 32, 32\]"):
        model(torch.zeros(2, 1, 32, 32))
