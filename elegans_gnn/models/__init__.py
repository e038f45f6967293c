"""Models with a connectome inside, and baselines under the same interface."""

from elegans_gnn.models._base import MODELS, Autoencoder, Classifier, ImageModel
from elegans_gnn.models.autoencoder import ElegansAutoencoder
from elegans_gnn.models.backbone import BackboneClassifier, attach_head
from elegans_gnn.models.baselines import (
    AttentionAutoencoder,
    ConvAutoencoder,
    LogisticRegression,
    MLPAutoencoder,
    RandomlyWiredNetwork,
    SmallResNet,
    SmallViT,
)
from elegans_gnn.models.classifier import ElegansClassifier
from elegans_gnn.models.cores import CORES, build_core, core_options
from elegans_gnn.models.elegansnet import ElegansNet
from elegans_gnn.models.export import export_onnx, export_program
from elegans_gnn.models.flops import count_flops, parameters
from elegans_gnn.models.head import ElegansHead
from elegans_gnn.models.options import Option, models_with_option, options_of
from elegans_gnn.models.pretrained import from_pretrained, save_pretrained
from elegans_gnn.models.registry import build_model, model_arguments, uses_connectome

__all__ = [
    "CORES",
    "MODELS",
    "AttentionAutoencoder",
    "Autoencoder",
    "BackboneClassifier",
    "Classifier",
    "ConvAutoencoder",
    "ElegansAutoencoder",
    "ElegansClassifier",
    "ElegansHead",
    "ElegansNet",
    "ImageModel",
    "LogisticRegression",
    "MLPAutoencoder",
    "Option",
    "RandomlyWiredNetwork",
    "SmallResNet",
    "SmallViT",
    "attach_head",
    "build_core",
    "build_model",
    "core_options",
    "count_flops",
    "export_onnx",
    "export_program",
    "from_pretrained",
    "model_arguments",
    "models_with_option",
    "options_of",
    "parameters",
    "save_pretrained",
    "uses_connectome",
]
