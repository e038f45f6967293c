"""The tensor network of ElegansNet: exact, in a few parallel stages."""

from __future__ import annotations

from elegans_gnn.nn.tensor_network.layer import TensorNetwork
from elegans_gnn.nn.tensor_network.readout import Readout
from elegans_gnn.nn.tensor_network.reference import reference_forward, reference_states
from elegans_gnn.nn.tensor_network.reservoir import Reservoir
from elegans_gnn.nn.tensor_network.schedule import Schedule

__all__ = ["Readout", "Reservoir", "Schedule", "TensorNetwork", "reference_forward", "reference_states"]
