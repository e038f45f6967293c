"""Does the wiring matter? Fair, paired, resumable comparisons of graphs by any score (extra `study`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elegans_gnn._lazy import lazy_names

# At first use, because every trial is a new process that needs the engine alone.
__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Comparison": "result",
        "Design": "design",
        "LedgerError": "ledger",
        "Spread": "design",
        "Study": "report",
        "WeakDesignWarning": "design",
        "compare": "run",
        "open_study": "report",
    },
    ("statistics",),
)

__all__ = [
    "Comparison",
    "Design",
    "LedgerError",
    "Spread",
    "Study",
    "WeakDesignWarning",
    "compare",
    "open_study",
    "statistics",
]

if TYPE_CHECKING:
    from elegans_gnn.study import statistics
    from elegans_gnn.study.design import Design, Spread, WeakDesignWarning
    from elegans_gnn.study.ledger import LedgerError
    from elegans_gnn.study.report import Study, open_study
    from elegans_gnn.study.result import Comparison
    from elegans_gnn.study.run import compare
