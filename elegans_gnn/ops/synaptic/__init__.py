"""A 2-D convolution whose channel pairs are the synapses of a graph."""

from __future__ import annotations

from elegans_gnn.ops.synaptic.synaptic import synaptic_conv2d as synaptic_conv2d

__all__ = ["synaptic_conv2d"]
