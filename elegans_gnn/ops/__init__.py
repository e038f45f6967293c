"""The sparse aggregation that everything rests on, and the choice of the code that runs it."""

from __future__ import annotations

from elegans_gnn.ops import _flops as _flops
from elegans_gnn.ops._aggregate import aggregate as aggregate
from elegans_gnn.ops._backends import available_backends as available_backends
from elegans_gnn.ops._backends import backend as backend
from elegans_gnn.ops.synaptic import synaptic_conv2d as synaptic_conv2d

__all__ = ["aggregate", "available_backends", "backend", "synaptic_conv2d"]
