"""A study that has run, or part of it: its scores, its comparisons, and what to be careful about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from elegans_gnn._text import read_json
from elegans_gnn.errors import invalid, require
from elegans_gnn.study import statistics
from elegans_gnn.study.design import Design, Spread
from elegans_gnn.study.ledger import Ledger
from elegans_gnn.study.statistics import Array, Evidence

BUDGETS = ("parameters", "flops", "steps")
_NAN = float("nan")


@dataclass(frozen=True)
class Comparison(Evidence):
    """One line of the verdict table.

    Args:
        graph: the graph in question.
        other: the null model, the control, or the other graph.
        kind: ``"null"``, ``"control"``, ``"graph"`` or ``"reading"`` (another figure of the same trials).
        p_adjusted, p_equivalence_adjusted: after Holm's method, over all comparisons of the study.
        different: whether all tests reject at alpha.
        equivalent: whether the difference is shown to be smaller than the margin.
        missing: trials without a score; with any, nothing is tested and the verdict is ``"undecided"``.
        verdict: ``"supported"``, ``"contradicted"``, ``"equivalent"`` or ``"undecided"``, by the rule in ``design.md``.
    """

    graph: str
    other: str
    kind: str
    p_adjusted: float
    p_equivalence_adjusted: float
    different: bool
    equivalent: bool
    missing: int
    verdict: statistics.Verdict


class Results:
    """What is in the folder of a study; :func:`compare` and :func:`open_study` make one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.design = Design.read(folder)
        self._plan = read_json(folder / "plan.json", "folder", remedy="call compare() again")

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """One row for each trial: which graph, null, member, control, seed; its status, scores, curves, seconds."""
        ledger, found = Ledger(self.folder), []
        for planned in self._plan["trials"]:
            record = ledger.record(planned["key"]) or {"status": "not run"}
            found.append({"scores": {}, "curves": {}, "reason": "", **planned, **record, "graph": planned["graph"]})
        return found

    @property
    def status(self) -> dict[str, int]:
        """How many trials are done, failed, not run; graphs that occur twice share theirs."""
        by_key = {row["key"]: row["status"] for row in self.rows}
        return dict(Counter(by_key.values()))

    def table(self, graph: str, null: str = "", control: str = "", name: str | None = None) -> Array:
        """[members, seeds] a figure of the score, NaN where there is none."""
        seeds = {seed: column for column, seed in enumerate(self.design.seeds)}
        values = np.full((self.design.graphs_per_null if null else 1, len(seeds)), np.nan)
        for row in self.select(graph, null, control):
            values[row["member"], seeds[row["seed"]]] = row["scores"].get(name or self.design.metric, np.nan)
        return values

    def select(self, graph: str, null: str = "", control: str = "") -> Iterator[dict[str, Any]]:
        """The rows of one cell of the design."""
        return (row for row in self.rows if (row["graph"], row["null"], row["control"]) == (graph, null, control))

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        """All comparisons, in the order of the design."""
        design = self.design
        cells = [(graph, null, "null") for graph in design.graphs for null in design.nulls]
        if not design.nulls:
            first, *others = design.graphs
            cells += [(other, first, "graph") for other in others]
        cells += [(graph, reading, "reading") for graph in design.graphs for reading in design.readings]
        cells += [(graph, control, "control") for graph in design.graphs for control in design.controls]
        found = [(cell, *self._evidence(*cell)) for cell in cells]
        # What is missing counts as a test that does not reject: the family stays the one that was stated.
        p_values = statistics.holm([1.0 if missing else evidence.p_value for _, evidence, missing in found])
        equivalence = statistics.holm([1.0 if missing else evidence.p_equivalence for _, evidence, missing in found])
        return tuple(
            self._judge(cell, evidence, missing, *adjusted)
            for (cell, evidence, missing), *adjusted in zip(found, p_values, equivalence, strict=True)
        )

    def _evidence(self, graph: str, other: str, kind: str) -> tuple[Evidence, int]:
        design = self.design
        cell = {"null": (graph, other), "control": (graph, "", other), "graph": (other,), "reading": (graph,)}[kind]
        rows = [*self.select(graph), *self.select(*cell)]
        missing = sum(row["status"] != "done" for row in rows)
        original = self.table(graph)[0]
        opponents = self.table(*cell, name=other if kind == "reading" else None)
        if missing:
            empty = Evidence(_NAN, (_NAN, _NAN), 1.0, None, 1.0, 1.0, _NAN, _NAN, _NAN, len(opponents), len(original))
            return empty, missing
        if kind == "null":
            return statistics.against_graphs(original, opponents, margin=design.margin, alpha=design.alpha), 0
        return statistics.against_one(original, opponents[0], margin=design.margin, alpha=design.alpha), 0

    def _judge(
        self, cell: tuple[str, str, str], evidence: Evidence, missing: int, p_adjusted: float, p_equivalence: float
    ) -> Comparison:
        rank = 0.0 if evidence.p_rank is None else evidence.p_rank
        different = bool(statistics.is_different(p_adjusted, rank, evidence.p_seeds, self.design.alpha))
        equivalent = bool(p_equivalence <= self.design.alpha)
        better = (evidence.difference > 0) == self.design.larger_is_better
        return Comparison(
            **asdict(evidence),
            graph=cell[0],
            other=cell[1],
            kind=cell[2],
            p_adjusted=p_adjusted,
            p_equivalence_adjusted=p_equivalence,
            different=different,
            equivalent=equivalent,
            missing=missing,
            verdict=statistics.verdict(better, different, equivalent),
        )

    def spread(self) -> Spread:
        """Standard deviations between graphs and between seeds, pooled over the null models: a pilot's result.

        It takes at least two seeds for each random graph, and looks at no difference between kinds of graphs.
        """
        splits = [
            statistics.variance_split(values)
            for graph in self.design.graphs
            for null in self.design.nulls
            if np.isfinite(values := self.table(graph, null)).any(1).all() and len(values) > 1
        ]
        if not splits:
            raise invalid("pilot", "a finished study with null models", str(self.folder), "run it first")
        graphs, seeds = (np.mean([getattr(split, part) for split in splits]) for part in ("graphs", "seeds"))
        if np.isnan(seeds):
            raise invalid("pilot", "one with several seeds for each graph", "one", "use seeds_per_null=2")
        return Spread(float(np.sqrt(graphs)), float(np.sqrt(seeds)))

    @cached_property
    def warnings(self) -> tuple[str, ...]:
        """Pitfalls that this study shows signs of."""
        return (*self._budget_warnings(), *self._limit_warnings(), *self._control_warnings())

    def _budget_warnings(self) -> Iterator[str]:
        for comparison in self.comparisons:
            if comparison.kind == "graph" or (comparison.kind == "null" and comparison.num_graphs == 1):
                yield (
                    f"{comparison.graph} against {comparison.other}: one graph instead of many; "
                    "the verdict holds for these two graphs, not for their kinds"
                )
            if comparison.kind in ("control", "reading"):
                continue
            graph, null = (comparison.graph, comparison.other) if comparison.kind == "null" else (comparison.other, "")
            for name in BUDGETS:
                ours, theirs = self.table(comparison.graph, name=name), self.table(graph, null, name=name)
                if np.isfinite(ours).any() and np.isfinite(theirs).any():
                    usual = float(np.nanmean(ours))
                    if not np.isclose(usual, theirs[np.isfinite(theirs)], rtol=1e-9).all():
                        yield (
                            f"{comparison.graph} against {comparison.other}: unequal {name}, "
                            f"{usual:,.6g} and {float(np.nanmean(theirs)):,.6g} on average"
                        )

    def _limit_warnings(self) -> Iterator[str]:
        ceiling = self._plan["ceiling"]
        for graph in self.design.graphs if ceiling is not None else ():
            mean = self.table(graph).mean()
            if abs(ceiling - mean) < self.design.margin:
                yield (
                    f"{graph}: the mean of {self.design.metric}, {mean:.4g}, is within the margin of the ceiling "
                    f"{ceiling:g}; no graph could be better by more"
                )

    def _control_warnings(self) -> Iterator[str]:
        for comparison in self.comparisons:
            if comparison.kind != "control" or comparison.missing:
                continue
            if comparison.other == "frozen" and comparison.verdict != "supported":
                yield (
                    f"{comparison.graph}: training is not shown to beat the frozen graph ({comparison.verdict}); "
                    "a comparison of graphs then says little about learning in them"
                )
            values = self.table(comparison.graph, control=comparison.other)
            chance, sign = self._plan["chance"], 1 if self.design.larger_is_better else -1
            if comparison.other == "silent" and chance is not None:
                above = sign * (values.mean() - chance)
                if above > 2 * values.std(ddof=1) / np.sqrt(values.size) and above > 1e-12:
                    yield (
                        f"{comparison.graph}: without synapses the model still scores {values.mean():.4g} "
                        f"(chance {chance:g}); information passes by the graph"
                    )

    def to_dataframe(self) -> Any:
        """One row for each trial, as a pandas DataFrame; figures of the score have columns of their own."""
        plain = ("graph", "null", "member", "control", "seed", "status", "reason", "seconds", "fingerprint", "key")
        table = [{**{name: row.get(name) for name in plain}, **row["scores"]} for row in self.rows]
        return require("pandas").DataFrame(table)

    @property
    def axis(self) -> tuple[str, dict[str, float]] | None:
        """The name of the axis along which the graphs lie, and the place of each graph and null model; None without."""
        found = self._plan.get("axis")
        return (found["name"], found["places"]) if found else None

    def graph_table(self) -> tuple[Sequence[str], Array, Array, list[str]]:
        """Names of the graph statistics, their values [G, P], the mean score of each graph [G], and its kind [G]."""
        path = self.folder / "graphs.json"
        known = read_json(path, "graphs.json") if path.exists() else {}
        scores: dict[tuple[str, str], list[float]] = {}
        for row in self.rows:
            if not row["control"] and row["status"] == "done" and row["fingerprint"] in known:
                scores.setdefault((row["fingerprint"], row["null"] or row["graph"]), []).append(
                    row["scores"][self.design.metric]
                )
        names = list(next(iter(known.values()))) if known else []
        values = [[_NAN if (v := known[key][name]) is None else v for name in names] for key, _ in scores]
        means = np.array([np.mean(found) for found in scores.values()])
        return names, np.array(values, dtype=np.float64).reshape(len(scores), len(names)), means, [k for _, k in scores]

    def __repr__(self) -> str:
        verdicts = ", ".join(f"{item.graph} against {item.other}: {item.verdict}" for item in self.comparisons)
        return f"Study({str(self.folder)!r}, {verdicts})"
