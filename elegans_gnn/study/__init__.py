"""Does the wiring matter? Fair, paired, resumable comparisons of graphs by any score (extra `study`)."""

from elegans_gnn.study.compare import compare
from elegans_gnn.study.design import Design, Spread, WeakDesignWarning
from elegans_gnn.study.ledger import LedgerError
from elegans_gnn.study.result import Comparison, Study, open_study

__all__ = ["Comparison", "Design", "LedgerError", "Spread", "Study", "WeakDesignWarning", "compare", "open_study"]
