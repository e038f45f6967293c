"""Well-known models of similar size, under the interface of the models with a connectome inside."""

from elegans_gnn.models.baselines.attention import AttentionAutoencoder, SmallViT
from elegans_gnn.models.baselines.plain import ConvAutoencoder, LogisticRegression, MLPAutoencoder
from elegans_gnn.models.baselines.randomly_wired import RandomlyWiredNetwork
from elegans_gnn.models.baselines.resnet import SmallResNet

__all__ = [
    "AttentionAutoencoder",
    "ConvAutoencoder",
    "LogisticRegression",
    "MLPAutoencoder",
    "RandomlyWiredNetwork",
    "SmallResNet",
    "SmallViT",
]
