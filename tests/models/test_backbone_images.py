"""What a backbone sees of its images: colours as its weights know them, and the size it takes."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import timm
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from elegans_gnn.models import BackboneClassifier, attach_head, from_pretrained

IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


class Eyes(nn.Module):
    """Keeps what it sees; three features."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = torch.empty(0)
        self.fc = nn.Linear(3, 2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.seen = images
        return self.fc(images.mean((2, 3)))


@pytest.fixture
def weights_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights by every name, without a network: those that the model was drawn with."""
    monkeypatch.setattr(torchvision.models._api.WeightsEnum, "get_state_dict", lambda *_, **__: {})
    load = nn.Module.load_state_dict

    def lenient(self: nn.Module, state: dict[str, Any], *rest: Any, **more: Any) -> Any:
        return load(self, state, *rest, **more) if state else None

    monkeypatch.setattr(nn.Module, "load_state_dict", lenient)


def colours(values: torch.Tensor) -> list[float]:
    return pytest.approx(values.flatten().tolist(), rel=1e-6)


def test_a_random_backbone_sees_pixels_as_they_are(tiny):
    eyes = Eyes()
    images = torch.rand(2, 3, 5, 5)
    attach_head(eyes, tiny, 3)(images)
    assert torch.equal(eyes.seen, images)
    assert attach_head("resnet18", tiny, 3).arguments["mean"] is None


def test_mean_and_deviation_are_those_of_the_colours(tiny):
    eyes = Eyes()
    images = torch.rand(2, 3, 5, 5)
    attach_head(eyes, tiny, 3, mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 2.0))(images)
    wanted = torch.stack([(images[:, 0] - 0.1) / 0.5, (images[:, 1] - 0.2) / 0.25, (images[:, 2] - 0.3) / 2], 1)
    torch.testing.assert_close(eyes.seen, wanted)
    grey = torch.rand(1, 1, 5, 5)
    model = attach_head(Eyes(), tiny, 3, mean=(1.0, 1.0, 1.0))
    model(grey)
    torch.testing.assert_close(model.backbone.seen, grey.expand(1, 3, 5, 5) - 1)


def test_weights_of_torchvision_bring_their_colours(tiny, weights_at_hand, tmp_path):
    model = attach_head("resnet18", tiny, 3, weights="DEFAULT").eval()
    assert (colours(model.mean), colours(model.std)) == IMAGENET
    assert colours(attach_head("resnet18", tiny, 3, weights="DEFAULT", mean=(0.0, 0.0, 0.0)).mean) == [0, 0, 0]
    images = torch.rand(2, 3, 32, 32)
    # The folder fetches no weights, and yet the backbone goes on seeing what it was trained on.
    back = from_pretrained(model.save_pretrained(tmp_path / "model"), BackboneClassifier)
    torch.testing.assert_close(back(images), model(images))
    assert torch.equal(back.std, model.std)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_networks_that_transform_their_input_do_it_once(tiny, weights_at_hand, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchvision's, of its own initialisation
        model = attach_head(name, tiny, 3, weights="DEFAULT").eval()
    images = torch.rand(1, 3, 96, 96)
    mean, std = (torch.tensor(values).reshape(3, 1, 1) for values in IMAGENET)
    seen = (images - model.mean) / model.std
    model.backbone.transform_input = True
    torch.testing.assert_close(model.backbone._transform_input((images - mean) / std), seen)


def test_weights_of_timm_bring_their_colours(tiny, monkeypatch):
    create = timm.create_model
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained: create(name, pretrained=False))
    model = attach_head("timm/vit_tiny_patch16_224", tiny, 3, weights="DEFAULT")
    assert torch.cat([model.mean, model.std]).flatten().tolist() == [0.5] * 6
    assert model.image_size == 224
    assert colours(attach_head("timm/resnet10t", tiny, 3).std) == [1] * 3


@pytest.mark.parametrize("side", [5, 12])
def test_resize_is_bilinear_and_smooths_what_shrinks(tiny, side):
    eyes = Eyes()
    images = torch.rand(2, 1, side, side)
    model = attach_head(eyes, tiny, 3, resize=8)
    model(images)
    wanted = F.interpolate(images, (8, 8), mode="bilinear", antialias=True).expand(2, 3, 8, 8)
    torch.testing.assert_close(eyes.seen, wanted)
    assert model.image_size == 0


def test_a_transformer_takes_its_own_size_or_resizes(tiny, unchecked_shapes):
    small = torchvision.models.VisionTransformer(32, 16, 1, 2, 8, 8)
    model = attach_head(small, tiny, 3)
    assert model.image_size == 32
    with pytest.raises(ValueError, match="images must be of 32 x 32 pixels .*got 28 x 28; attach the head with resize"):
        model(torch.rand(1, 3, 28, 28))
    small = torchvision.models.VisionTransformer(32, 16, 1, 2, 8, 8)
    with pytest.raises(ValueError, match="resize must be 0 or 32, the size of this backbone's images, got 64"):
        attach_head(small, tiny, 3, resize=64)
    small = torchvision.models.VisionTransformer(32, 16, 1, 2, 8, 8)
    assert attach_head(small, tiny, 3, resize=32)(torch.rand(1, 3, 28, 28)).shape == (1, 3)


def test_a_vision_transformer_by_name_at_its_own_size(tiny):
    model = attach_head("vit_b_16", tiny, 3)
    assert (model.image_size, model.head.in_features) == (224, 768)
    with torch.no_grad():
        assert model.eval()(torch.rand(1, 3, 224, 224)).shape == (1, 3)


@pytest.mark.parametrize(
    ("backbone", "options", "message"),
    [
        ("resnet18", {"mean": (0.5,)}, r"mean must be three numbers, got \[0.5\]; give one for red, green and blue"),
        ("resnet18", {"std": (1.0, 0.0, 1.0)}, r"std must be three numbers above 0, got \[1.0, 0.0, 1.0\]"),
        ("resnet18", {"resize": -1}, "resize must be >= 0, got -1"),
        ("resnet18", {"image_size": 64}, "image_size must be omitted for all but torchvision's vision transformers"),
        ("timm/resnet10t", {"image_size": 64}, "image_size must be omitted .*got 64 for timm/resnet10t; use resize"),
        (Eyes(), {"image_size": 64}, "image_size must be omitted when the backbone is a module, got 64"),
    ],
)
def test_refusals(tiny, backbone, options, message):
    with pytest.raises(ValueError, match=message):
        attach_head(backbone, tiny, 3, **options)
