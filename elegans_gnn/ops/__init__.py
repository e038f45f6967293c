"""The sparse operators that everything rests on, and the choice of the code that runs them."""

from __future__ import annotations

from elegans_gnn.ops._aggregate import aggregate
from elegans_gnn.ops._backends import AGGREGATION, OperatorFamily, available_backends, backend, resolve_backend
from elegans_gnn.ops._buffers import buffer, release_buffers
from elegans_gnn.ops.synaptic import synaptic_conv2d, synaptic_step

__all__ = [
    "AGGREGATION",
    "OperatorFamily",
    "aggregate",
    "available_backends",
    "backend",
    "buffer",
    "release_buffers",
    "resolve_backend",
    "synaptic_conv2d",
    "synaptic_step",
]
