"""Random graphs matched to a connectome, null models, and graph statistics."""

from elegans_gnn.graphs import statistics
from elegans_gnn.graphs._draw import NullModelWarning, open_graph, random_connectome
from elegans_gnn.graphs._models import ALWAYS_PRESERVED, OPTION_RANGE, RANDOM_MODELS, RandomModel, list_random_models
from elegans_gnn.graphs._nulls import RichClub, SmallWorld, rich_club, small_world
from elegans_gnn.graphs._report import MatchReport, MatchRow, Summary, match_report, summary
from elegans_gnn.graphs.statistics import hops_from

__all__ = [
    "ALWAYS_PRESERVED",
    "OPTION_RANGE",
    "RANDOM_MODELS",
    "MatchReport",
    "MatchRow",
    "NullModelWarning",
    "RandomModel",
    "RichClub",
    "SmallWorld",
    "Summary",
    "hops_from",
    "list_random_models",
    "match_report",
    "open_graph",
    "random_connectome",
    "rich_club",
    "small_world",
    "statistics",
    "summary",
]
