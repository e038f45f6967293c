"""One frozen object that says everything a run depends on, for each task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from elegans_gnn.errors import invalid
from elegans_gnn.training.base_config import CHOICES, TYPES, TrainingConfig
from elegans_gnn.training.presets import AUTOENCODER, CLASSIFIER

__all__ = ["CHOICES", "TYPES", "AutoencoderConfig", "ClassifierConfig", "TrainingConfig"]


@dataclass(frozen=True)
class AutoencoderConfig(TrainingConfig):
    """Everything a reconstruction run depends on; together with the data it determines the result.

    Args:
        data: ``"mnist5k"``, ``"mnist"``, ``"fashion-mnist"`` or a folder with files in MNIST's format.
        code, encoder_width, encoder_blocks, decoder_width, decoder_blocks: see
            :class:`elegans_gnn.models.ElegansAutoencoder`.

    The other settings are those of :class:`TrainingConfig`.
    """

    task = "autoencoder"
    presets = AUTOENCODER

    code: int = 128
    encoder_width: int = 64
    encoder_blocks: int = 1
    decoder_width: int = 64
    decoder_blocks: int = 2

    def model_arguments(self) -> dict[str, Any]:
        """Keywords of the model after the connectome."""
        if self.model != "elegans":
            return {"code": self.code, **self.size_arguments()}
        own = ("code", "encoder_width", "encoder_blocks", "decoder_width", "decoder_blocks")
        return {**self.core_arguments(), **{name: getattr(self, name) for name in own}}


@dataclass(frozen=True)
class ClassifierConfig(TrainingConfig):
    """Everything a classification run depends on; together with the data it determines the result.

    Args:
        data: ``"mnist5k"``, ``"mnist"``, ``"digits"``, ``"fashion-mnist"``, ``"cifar10"``, ``"cifar100"``, or a folder
            with files in MNIST's format.
        fold: which fifth of ``"digits"`` is the test part, 0 to 4.
        wiring: of the model ``"randomly-wired"``: ``"ws"``, ``"er"`` or ``"ba"``, drawn with `graph_seed`.
        label_smoothing: share of the target that is spread over all classes.
        backbone: a model of torchvision or ``"timm/NAME"`` whose head becomes the connectome; ``""`` for none.
        weights: of the backbone, as torchvision names them, such as ``"DEFAULT"``; ``""`` for random ones.
        frozen: keep the backbone as it is and train the head alone.
        resize: side to which images are resized for the backbone, such as 224; 0 for their own.

    The other settings are those of :class:`TrainingConfig`.
    """

    task = "classifier"
    presets = CLASSIFIER

    fold: int = 0
    wiring: str = "ws"
    label_smoothing: float = 0.0
    backbone: str = ""
    weights: str = ""
    frozen: bool = False
    resize: int = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.fold < 5:
            raise invalid("fold", "0 to 4", self.fold, "each of the five folds is the test part once")
        if not 0 <= self.label_smoothing < 1:
            raise invalid("label_smoothing", "in [0, 1)", self.label_smoothing, "use label_smoothing=0.1, or 0")
        if self.resize < 0:
            raise invalid("resize", ">= 0", self.resize, "use resize=224, or 0 for the images as they are")
        for name in () if self.backbone else ("weights", "frozen", "resize"):
            if getattr(self, name):
                raise invalid(name, "given together with a backbone", getattr(self, name), "use backbone=resnet18")

    def model_arguments(self) -> dict[str, Any]:
        """Keywords of the model after the connectome; its classes and image size come from the data."""
        size: dict[str, Any] = self.size_arguments()
        if self.model == "randomly-wired":
            return {**size, "wiring": self.wiring, "wiring_seed": self.graph_seed}
        if self.model != "elegans":
            return size
        if self.depth:
            size["blocks"] = size.pop("depth")
        return {**self.core_arguments(), **size}
