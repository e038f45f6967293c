"""A 2-D convolution whose channel pairs are the synapses of a graph, and the residual step around it."""

from __future__ import annotations

from elegans_gnn.ops.synaptic.contract import SYNAPTIC
from elegans_gnn.ops.synaptic.export import dense_step, dense_synaptic
from elegans_gnn.ops.synaptic.step import composed_step, synaptic_step
from elegans_gnn.ops.synaptic.synaptic import synaptic_conv2d

__all__ = ["SYNAPTIC", "composed_step", "dense_step", "dense_synaptic", "synaptic_conv2d", "synaptic_step"]
