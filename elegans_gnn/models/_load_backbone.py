"""Backbones of torchvision and timm by name, the images they take, and how their classifiers are removed."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import nn

from elegans_gnn.errors import DataUnavailableError, invalid, require
from elegans_gnn.models._backbone_weights import WEIGHT_ENDINGS, is_file_name, load_weights_file

TIMM = "timm/"
# torchvision warns unless init_weights is given for these.
_WITH_INIT_WEIGHTS = ("googlenet", "inception_v3")
_AUXILIARY = ("aux1", "aux2", "AuxLogits")


class Backbone(NamedTuple):
    """A network with its classifier, and the mean and standard deviation that normalise its images' colours."""

    body: nn.Module
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)


def load_backbone(name: str, weights: str | None, image_size: int) -> Backbone:
    """A backbone by its name, see :func:`elegans_gnn.models.attach_head`."""
    try:
        if name.startswith(TIMM):
            return _timm_model(name.removeprefix(TIMM), weights, image_size)
        return _torchvision_model(name, weights, image_size)
    except OSError as error:
        # What a failed download raises: urllib's errors, and those of Hugging Face's hub.
        cache = "Hugging Face's cache" if name.startswith(TIMM) else f"{torch.hub.get_dir()}/checkpoints"
        reason = " ".join(str(error).split())
        message = f"the weights {weights!r} of {name} are not on disk and cannot be fetched ({reason})"
        raise DataUnavailableError(f"{message}; put the file into {cache}, or omit weights") from error


def _torchvision_model(name: str, weights: str | None, image_size: int) -> Backbone:
    from torchvision import models

    known = models.list_models(module=models)
    if name not in known:
        raise _unknown(name, known)
    random = not weights or is_file_name(weights)
    options: dict[str, Any] = {"init_weights": True} if name in _WITH_INIT_WEIGHTS and random else {}
    if image_size:
        if not name.startswith("vit_"):
            raise _no_size(name, image_size)
        options["image_size"] = image_size
    if not weights:
        return Backbone(models.get_model(name, weights=None, **options))
    if is_file_name(weights):
        body = models.get_model(name, weights=None, **options)
        load_weights_file(body, weights)
        return _seen_by(body, models.get_model_weights(name)["DEFAULT"])
    offered = [entry.name for entry in models.get_model_weights(name)]
    if weights not in (*offered, "DEFAULT"):
        expected = f"DEFAULT or one of {', '.join(offered)}, or a file ({', '.join(WEIGHT_ENDINGS)})"
        raise invalid("weights", expected, repr(weights), "choose one of these")
    return _seen_by(models.get_model(name, weights=weights, **options), models.get_model_weights(name)[weights])


def _seen_by(body: Any, weights: Any) -> Backbone:
    """A network of torchvision with trained weights, and the colours that they know."""
    prepare = weights.transforms()
    if getattr(body, "transform_input", False):
        # These networks turn images that are already normalised into (x - 0.5) / 0.5.
        body.transform_input = False
        return Backbone(body, (0.5,) * 3, (0.5,) * 3)
    return Backbone(body, tuple(prepare.mean), tuple(prepare.std))


def _timm_model(name: str, weights: str | None, image_size: int) -> Backbone:
    timm = require("timm")
    if not timm.is_model(name):
        raise _unknown(TIMM + name, [TIMM + known for known in timm.list_models()])
    if image_size:
        raise _no_size(TIMM + name, image_size)
    with _quiet_hub():
        body: Any = timm.create_model(name, pretrained=bool(weights) and not is_file_name(weights))
    if not weights:
        return Backbone(body)
    if is_file_name(weights):
        load_weights_file(body, weights)
    return Backbone(body, tuple(body.pretrained_cfg["mean"]), tuple(body.pretrained_cfg["std"]))


@contextmanager
def _quiet_hub() -> Iterator[None]:
    """Hide the warning for each attempt to reach the hub: the error at the end says enough."""
    logger = logging.getLogger("huggingface_hub")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _unknown(name: str, known: list[str]) -> ValueError:
    nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
    remedy = f"did you mean {' or '.join(map(repr, nearest))}?" if nearest else "use resnet18, for example"
    return invalid("backbone", "the name of a torchvision classifier, or timm/NAME", repr(name), remedy)


def _no_size(name: str, image_size: int) -> ValueError:
    expected = "omitted for all but torchvision's vision transformers"
    return invalid("image_size", expected, f"{image_size} for {name}", "use resize to bring images to another size")


def image_size_of(backbone: nn.Module) -> int:
    """Height and width of the only images a backbone takes; 0 if it takes several sizes or does not say."""
    if not hasattr(backbone, "pretrained_cfg"):
        return int(getattr(backbone, "image_size", 0))
    patches: Any = getattr(backbone, "patch_embed", None)
    size = getattr(patches, "img_size", None)
    return int(size[0]) if size is not None and getattr(patches, "strict_img_size", False) else 0


def remove_classifier(backbone: nn.Module) -> int:
    """Remove the classifiers, the auxiliary ones too, and return the number of features of an image."""
    body: Any = backbone
    if getattr(body, "aux_logits", False):
        body.aux_logits = False
        for name in _AUXILIARY:
            if getattr(body, name, None) is not None:
                setattr(body, name, None)
    if hasattr(body, "reset_classifier") and hasattr(body, "head_hidden_size"):
        if hasattr(body, "set_distilled_training"):
            body.set_distilled_training(False)
        body.reset_classifier(0)
        return int(body.head_hidden_size)
    linear = [(path, module) for path, module in backbone.named_modules() if isinstance(module, nn.Linear)]
    if not linear or not linear[-1][0]:
        remedy = "pass a network that ends in one, or use ElegansHead on its features"
        raise invalid("backbone", "a network with a linear layer at its end", type(backbone).__name__, remedy)
    path, last = linear[-1]
    parent, _, name = path.rpartition(".")
    setattr(backbone.get_submodule(parent), name, nn.Identity())
    return last.in_features
