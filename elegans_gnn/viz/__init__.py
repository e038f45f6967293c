"""Pictures (extra `viz`): from a connectome and plain arrays, never from a model."""

from elegans_gnn.viz.edge_weights import per_edge, plot_edge_weights, weight_matrix
from elegans_gnn.viz.reconstructions import plot_reconstructions

__all__ = ["per_edge", "plot_edge_weights", "plot_reconstructions", "weight_matrix"]
