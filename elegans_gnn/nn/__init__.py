"""Layers on a connectome: edge weights, neuron units, ConnectomeConv, the recurrent core, the tensor network."""

from elegans_gnn.nn._edge_weights import EdgeWeights, tie_gap_junctions, transmitter_signs, wiring_hash
from elegans_gnn.nn._units import NeuronUnit
from elegans_gnn.nn.connectome_conv import ConnectomeConv
from elegans_gnn.nn.core import RecurrentCore, hops_from
from elegans_gnn.nn.synaptic_core import SynapticCore
from elegans_gnn.nn.synaptic_filters import SynapticFilters
from elegans_gnn.nn.tensor_network import Reservoir, Schedule, TensorNetwork

__all__ = [
    "ConnectomeConv",
    "EdgeWeights",
    "NeuronUnit",
    "RecurrentCore",
    "Reservoir",
    "Schedule",
    "SynapticCore",
    "SynapticFilters",
    "TensorNetwork",
    "hops_from",
    "tie_gap_junctions",
    "transmitter_signs",
    "wiring_hash",
]
