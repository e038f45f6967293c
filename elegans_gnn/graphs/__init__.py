"""Random graphs matched to a connectome, null models, and graph statistics."""

from elegans_gnn.graphs import statistics
from elegans_gnn.graphs._models import (
    ALWAYS_PRESERVED,
    RANDOM_MODELS,
    NullModelWarning,
    RandomModel,
    list_random_models,
    open_graph,
    random_connectome,
)
from elegans_gnn.graphs._nulls import RichClub, SmallWorld, rich_club, small_world
from elegans_gnn.graphs._report import MatchReport, MatchRow, match_report
from elegans_gnn.graphs._summary import Summary, summary

__all__ = [
    "ALWAYS_PRESERVED",
    "RANDOM_MODELS",
    "MatchReport",
    "MatchRow",
    "NullModelWarning",
    "RandomModel",
    "RichClub",
    "SmallWorld",
    "Summary",
    "list_random_models",
    "match_report",
    "open_graph",
    "random_connectome",
    "rich_club",
    "small_world",
    "statistics",
    "summary",
]
