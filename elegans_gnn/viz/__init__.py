"""Pictures (extra `viz`): from a connectome and plain arrays, never from a model."""

from elegans_gnn.viz.edge_weights import per_edge, plot_edge_weights, weight_matrix
from elegans_gnn.viz.reconstructions import plot_reconstructions
from elegans_gnn.viz.role_blocks import plot_role_blocks, role_blocks
from elegans_gnn.viz.schedule import plot_schedule, wavefront_widths
from elegans_gnn.viz.weight_counts import RankCorrelation, one_per_synapse, plot_weight_vs_count, rank_correlation

__all__ = [
    "RankCorrelation",
    "one_per_synapse",
    "per_edge",
    "plot_edge_weights",
    "plot_reconstructions",
    "plot_role_blocks",
    "plot_schedule",
    "plot_weight_vs_count",
    "rank_correlation",
    "role_blocks",
    "wavefront_widths",
    "weight_matrix",
]
