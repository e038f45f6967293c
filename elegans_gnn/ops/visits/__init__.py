"""The tensor network's programs of visits: format, operators, backends, and the dense stages around them."""

from __future__ import annotations

from elegans_gnn.ops.visits.activations import ACTIVATIONS
from elegans_gnn.ops.visits.contract import VISITS, NetworkCall
from elegans_gnn.ops.visits.dense import run_dense_stages
from elegans_gnn.ops.visits.program import (
    EPS,
    KEEP_ARGUMENTS,
    KEEP_BOUNDARIES,
    KEEP_NOTHING,
    Arithmetic,
    Plan,
    Settings,
    Stage,
)
from elegans_gnn.ops.visits.visits import run_program

__all__ = [
    "ACTIVATIONS",
    "EPS",
    "KEEP_ARGUMENTS",
    "KEEP_BOUNDARIES",
    "KEEP_NOTHING",
    "VISITS",
    "Arithmetic",
    "NetworkCall",
    "Plan",
    "Settings",
    "Stage",
    "run_dense_stages",
    "run_program",
]
