"""The head on features and on backbones: shapes, one training step, what a frozen backbone does."""

from __future__ import annotations

import copy
import urllib.error
import warnings

import pytest
import torch
import torchvision
from torch import nn

from elegans_gnn import ElegansHead, attach_head
from elegans_gnn.errors import DataUnavailableError


def small_cnn() -> nn.Module:
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(body, nn.Dropout(0.5), nn.Linear(4, 1000))


def test_head_shapes_and_path(worm):
    torch.manual_seed(0)
    head = ElegansHead(worm, 7, 5, channels=2)
    features = torch.randn(3, 7)
    logits = head(features)
    assert logits.shape == (3, 5)
    assert logits.std(0).min() > 1e-3
    head.core.lesion(edges=range(worm.num_edges))
    silent = head(features)
    assert torch.equal(silent, silent[:1].expand_as(silent))
    assert sum(head.parameters_by_part().values()) == sum(p.numel() for p in head.parameters())


def test_head_refuses_other_features(tiny, unchecked_shapes):
    head = ElegansHead(tiny, 7, 5)
    with pytest.raises(ValueError, match=r"features must be of shape \[B, 7\], got \[2, 7, 4\]; pool the features"):
        head(torch.zeros(2, 7, 4))
    with pytest.raises(ValueError, match="in_features must be >= 1"):
        ElegansHead(tiny, 0, 5)


@pytest.mark.parametrize(
    ("backbone", "features"),
    [("resnet18", 512), ("efficientnet_v2_s", 1280), ("convnext_tiny", 768), ("vit_b_16", 768), ("swin_t", 768)],
)
def test_torchvision_backbones_take_one_training_step(worm, backbone, features):
    torch.manual_seed(0)
    model = attach_head(backbone, worm, 4, image_size=32 if backbone == "vit_b_16" else 0)
    assert model.arguments["image_size"] == model.image_size == (32 if backbone == "vit_b_16" else 0)
    assert model.head.in_features == features
    images, labels = torch.rand(2, 3, 32, 32), torch.tensor([0, 3])
    before = model.loss(images, labels)
    assert model(images).shape == (2, 4)
    before.backward()
    first = next(model.backbone.parameters())
    assert first.grad.abs().max() > 0
    torch.optim.SGD(model.parameters(), lr=1e-3).step()
    assert model.loss(images, labels).isfinite()
    assert sum(model.parameters_by_part().values()) == sum(p.numel() for p in model.parameters())


def test_a_timm_backbone(tiny):
    pytest.importorskip("timm")
    model = attach_head("timm/resnet10t", tiny, 3, core="dense")
    labels = torch.tensor([0, 1])
    model.loss(torch.rand(2, 3, 32, 32), labels).backward()
    assert model(torch.rand(2, 3, 32, 32)).shape == (2, 3)
    with pytest.raises(ValueError, match="backbone must be .*got 'timm/resnet10q'; did you mean 'timm/resnet"):
        attach_head("timm/resnet10q", tiny, 3)


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_auxiliary_classifiers_come_off_with_the_others(tiny, name, unchecked_shapes):
    model = attach_head(name, tiny, 3)
    assert {type(part) for part in model.backbone.modules() if isinstance(part, nn.Linear)} == set()
    images, labels = torch.rand(2, 3, 96, 96), torch.tensor([0, 2])
    loss = model.train().loss(images, labels)
    loss.backward()
    assert all(p.grad is not None for p in model.backbone.parameters())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        given = getattr(torchvision.models, name)(weights=None, aux_logits=True)
    assert attach_head(given, tiny, 3).train().loss(images, labels).isfinite()


@pytest.mark.parametrize(
    ("name", "features", "options"),
    [
        ("deit_tiny_distilled_patch16_224", 192, {"img_size": 32}),
        ("levit_128s", 384, {"img_size": 64}),
        ("ghostnet_050", 1280, {}),
        ("mobilenetv3_small_050", 1024, {}),
    ],
)
def test_models_of_timm_take_their_own_classifiers_off(tiny, name, features, options):
    """Distilled ones have two; some go on after the features they are named for."""
    timm = pytest.importorskip("timm")
    body = timm.create_model(name, **options)
    if hasattr(body, "set_distilled_training"):
        body.set_distilled_training(True)
    model = attach_head(body, tiny, 3).train()
    assert model.head.in_features == features
    size = options.get("img_size", 32)
    model.loss(torch.rand(2, 3, size, size), torch.tensor([0, 1])).backward()
    assert [name for name, p in model.backbone.named_parameters() if p.grad is None] == []


def test_a_backbone_that_gives_several_tensors_is_refused(tiny, unchecked_shapes):
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3, 2)

        def forward(self, images):
            return self.fc(images.mean((2, 3))), images

    with pytest.raises(ValueError, match="backbone must be a network that gives one tensor, got tuple; switch off"):
        attach_head(Two(), tiny, 3)(torch.rand(1, 3, 4, 4))


def test_a_frozen_backbone_stays_as_it_is_and_the_head_learns(tiny):
    torch.manual_seed(0)
    model = attach_head(small_cnn(), tiny, 3, frozen=True)
    body = copy.deepcopy(model.backbone.state_dict())
    head = copy.deepcopy(model.head.state_dict())
    model.train()
    assert not any(part.training for part in model.backbone.modules())
    assert model.head.training
    images = torch.rand(4, 3, 8, 8, requires_grad=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model.loss(images, torch.tensor([0, 1, 2, 0])).backward()
    optimizer.step()
    assert images.grad is None
    assert all(torch.equal(body[name], value) for name, value in model.backbone.state_dict().items())
    assert any(not torch.equal(head[name], value) for name, value in model.head.state_dict().items())


def test_a_trained_backbone_learns_and_follows_the_mode(tiny):
    model = attach_head(small_cnn(), tiny, 3)
    model.loss(torch.rand(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])).backward()
    assert all(p.grad is not None for p in model.backbone.parameters())
    assert not model.eval().backbone[1].training
    assert model.train().backbone[1].training


def test_grey_images_count_as_three_colours(tiny):
    torch.manual_seed(0)
    model = attach_head(small_cnn(), tiny, 3).eval()
    grey = torch.rand(2, 1, 8, 8)
    assert torch.equal(model(grey), model(grey.repeat(1, 3, 1, 1)))


def test_other_images_are_refused(tiny, unchecked_shapes):
    model = attach_head(small_cnn(), tiny, 3)
    with pytest.raises(ValueError, match=r"images must be of shape \[B, 3, H, W\] or .*got \[2, 4, 8, 8\]; convert"):
        model(torch.rand(2, 4, 8, 8))
    with pytest.raises(ValueError, match=r"got \[3, 8, 8\]; one image needs a batch axis"):
        model(torch.rand(3, 8, 8))


def test_head_options_reach_the_core(tiny):
    model = attach_head(small_cnn(), tiny, 3, core="message-passing", steps=6, channels=2)
    assert (model.core.steps, model.core.features_in) == (6, 32)
    with pytest.raises(ValueError, match="option must be one of .*got 'stepz'"):
        attach_head(small_cnn(), tiny, 3, stepz=6)


def test_what_is_no_backbone_is_refused(tiny):
    with pytest.raises(ValueError, match="backbone must be the name of .*got 'resnet81'; did you mean 'resnet18'"):
        attach_head("resnet81", tiny, 3)
    with pytest.raises(ValueError, match="backbone must be a network with a linear layer at its end, got Sequential"):
        attach_head(nn.Sequential(nn.Flatten()), tiny, 3)
    with pytest.raises(ValueError, match="backbone must be a network with a linear layer at its end, got Linear"):
        attach_head(nn.Linear(3, 4), tiny, 3)
    with pytest.raises(
        ValueError, match="weights must be DEFAULT or one of IMAGENET1K_V1, or a file .*, got 'IMAGENET'"
    ):
        attach_head("resnet18", tiny, 3, weights="IMAGENET")


def test_weights_that_cannot_be_fetched_say_where_they_go(tiny, monkeypatch):
    def offline(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(torchvision.models._api.WeightsEnum, "get_state_dict", offline)
    with pytest.raises(DataUnavailableError, match="weights 'DEFAULT' of resnet18 are not on disk .*put the file into"):
        attach_head("resnet18", tiny, 3, weights="DEFAULT")
