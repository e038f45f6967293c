"""Models with a connectome inside."""

from elegans_gnn.models.autoencoder import ElegansAutoencoder
from elegans_gnn.models.classifier import ElegansClassifier

__all__ = ["ElegansAutoencoder", "ElegansClassifier"]
