"""Layers on a connectome."""

from elegans_gnn.nn._edge_weights import EdgeWeights, tie_gap_junctions, transmitter_signs
from elegans_gnn.nn._units import NeuronUnit
from elegans_gnn.nn.connectome_conv import ConnectomeConv
from elegans_gnn.nn.core import RecurrentCore, hops_from

__all__ = [
    "ConnectomeConv",
    "EdgeWeights",
    "NeuronUnit",
    "RecurrentCore",
    "hops_from",
    "tie_gap_junctions",
    "transmitter_signs",
]
