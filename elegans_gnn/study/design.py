"""The experiment, stated before it runs: what is compared, how it is judged, and how small a difference it can find."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elegans_gnn._text import read_json
from elegans_gnn.errors import invalid
from elegans_gnn.study import statistics
from elegans_gnn.study.ledger import write_new

POWER = 0.8
# The simulation asks for more than it promises, so that its own error does not break the promise.
_ASKED = 0.85
_SIMULATED = 600
_FLIPS = 599


class WeakDesignWarning(UserWarning):
    """A design whose tests cannot reach alpha, whatever the scores."""


@dataclass(frozen=True)
class Spread:
    """Standard deviations of the score: between random graphs of one kind, and between seeds of one graph."""

    graphs: float
    seeds: float


@dataclass(frozen=True)
class Design:
    """Everything that is fixed before the first trial.

    Args:
        task: what is learned, in words.
        score: the name of the score function, and a digest of its source.
        metric: the key of the score that is compared.
        larger_is_better: its direction.
        margin: a smaller difference of the metric does not matter.
        alpha: level of all tests.
        graphs: label -> fingerprint of the graphs in question.
        nulls: labels of the families of random graphs, for each graph.
        graphs_per_null, seeds, seeds_per_null: the numbers.
        controls: label -> score function and digest, run with the same graphs and seeds.
        readings: further figures of the same trials that are compared with the metric.
        tuned: label of a graph or null model -> the score function of its family, where that is another one.
    """

    task: str
    score: str
    metric: str
    larger_is_better: bool
    margin: float
    alpha: float
    graphs: Mapping[str, str]
    nulls: Mapping[str, str]
    graphs_per_null: int
    seeds: tuple[int, ...]
    seeds_per_null: int
    controls: Mapping[str, str]
    readings: tuple[str, ...] = ()
    tuned: Mapping[str, str] = field(default_factory=dict)

    @property
    def num_comparisons(self) -> int:
        """The family that Holm's method adjusts for."""
        pairs = 0 if self.nulls else len(self.graphs) - 1
        return len(self.graphs) * (len(self.nulls) + len(self.controls) + len(self.readings)) + pairs

    def seeds_of(self, member: int) -> tuple[int, ...]:
        """The seeds of the random graph number `member`: the next `seeds_per_null` ones, going round."""
        first = member * self.seeds_per_null
        return tuple(self.seeds[(first + step) % len(self.seeds)] for step in range(self.seeds_per_null))

    def check(self, *, strict: bool = True) -> None:
        """Refuse numbers that make no sense, and a design that cannot decide anything (not strict: warn)."""
        numbers = {"margin": self.margin, "alpha": self.alpha}
        for name, value in numbers.items():
            if not 0 < value < (1 if name == "alpha" else float("inf")):
                remedy = "pass the smallest difference that matters" if name == "margin" else "0.05 is usual"
                raise invalid(name, "positive" if name == "margin" else "in 0..1", value, remedy)
        if not self.seeds:
            raise invalid("seeds", "at least one number", "none", "pass seeds=range(19)")
        if len(set(self.seeds)) != len(self.seeds):
            raise invalid("seeds", "all different", list(self.seeds), "pass seeds=range(19)")
        if self.num_comparisons == 0:
            raise invalid("nulls", "at least one null model, or a second graph", "none", "pass nulls=['role-block']")
        if self.nulls and not 1 <= self.seeds_per_null <= len(self.seeds):
            raise invalid("seeds_per_null", f"in 1..{len(self.seeds)}", self.seeds_per_null, "it is a share of seeds")
        if self.nulls and self.graphs_per_null * self.seeds_per_null < len(self.seeds):
            needed = f"at least {-(-len(self.seeds) // self.seeds_per_null)}, so that every seed has a random graph"
            raise invalid("graphs_per_null", needed, self.graphs_per_null, "draw more graphs or use fewer seeds")
        for problem in self._unreachable():
            if strict:
                raise invalid("the design", f"able to reach alpha = {self.alpha:g}", problem, "or pass strict=False")
            warnings.warn(problem, WeakDesignWarning, stacklevel=3)

    def _unreachable(self) -> list[str]:
        found = []
        only_seeds = not self.nulls
        sign_floor = 2.0 ** (1 - len(self.seeds)) * (self.num_comparisons if only_seeds else 1)
        if sign_floor > self.alpha:
            needed = 1 + int(np.ceil(np.log2(sign_floor / 2.0 ** (1 - len(self.seeds)) / self.alpha)))
            over = f" over {self.num_comparisons} comparisons" if only_seeds and self.num_comparisons > 1 else ""
            found.append(
                f"{len(self.seeds)} seeds, with which a sign-flip test{over} cannot go below {sign_floor:.4g}: "
                f"use at least {needed} seeds"
            )
        if self.nulls and 1 / (1 + self.graphs_per_null) > self.alpha * (1 + 1e-9):
            found.append(
                f"{self.graphs_per_null} random graphs, among which a rank test cannot go below "
                f"{1 / (1 + self.graphs_per_null):.4g}: use at least {int(np.ceil(1 / self.alpha - 1e-9)) - 1} graphs"
            )
        return found

    def smallest_difference(self, spread: Spread, *, seed: int = 0) -> float:
        """The smallest true difference from a null model that this design finds in at least 80 % of all cases.

        By simulation: normal scores with this spread, the three tests (the first at alpha over the number of
        comparisons, the hardest step of Holm's method), bisection over the difference. Infinite if none is found.
        """
        if not self.nulls:
            return _bisect(lambda size: self._found_pairs(size, spread, seed), spread.seeds)
        original, nulls = self.simulate(spread, _SIMULATED, seed)
        return _bisect(lambda size: self._found(original + size, nulls), max(spread.graphs, spread.seeds))

    def chance_of_equivalence(self, spread: Spread, *, seed: int = 0) -> float:
        """How often equivalence is shown if there is no difference at all, by simulation."""
        original, nulls = self.simulate(spread, 200, seed + 1)
        level = self.alpha / self.num_comparisons
        shown = [
            statistics.equivalence_test(first, second, self.margin) <= level
            for first, second in zip(original, nulls, strict=True)
        ]
        return float(np.mean(shown))

    def simulate(
        self, spread: Spread, number: int, seed: int, *, drawn: bool = False
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scores [R, S] of a graph and [R, K, S] of its random graphs, as this design would see them.

        Args:
            spread: standard deviations.
            number: R, how many studies.
            seed: of the random numbers.
            drawn: whether the graph is one more draw from the population (an A/A comparison), not its centre.
        """
        random = np.random.default_rng(seed)
        size = (number, self.graphs_per_null, len(self.seeds))
        original = random.normal(0, spread.seeds, (number, len(self.seeds)))
        if drawn:
            original += random.normal(0, spread.graphs, (number, 1))
        nulls = random.normal(0, spread.graphs, (*size[:2], 1)) + random.normal(0, spread.seeds, size)
        place = {value: column for column, value in enumerate(self.seeds)}
        run = np.zeros(size[1:], dtype=bool)
        for member in range(self.graphs_per_null):
            run[member, [place[value] for value in self.seeds_of(member)]] = True
        return original, np.where(run, nulls, np.nan)

    def _found(self, original: NDArray[np.float64], nulls: NDArray[np.float64]) -> float:
        p_adjusted = statistics.graph_test(original, nulls) * self.num_comparisons
        paired = original - np.nanmean(nulls, axis=1)
        likely = statistics.is_different(p_adjusted, statistics.rank_test(original, nulls), 0.0, self.alpha)
        likely &= paired.mean(-1) > 0
        # The slow test last, where it can still change anything.
        p_seeds = statistics.sign_flip_test(paired[likely], resamples=_FLIPS) if likely.any() else np.empty(0)
        return float(np.sum(statistics.is_different(0.0, 0.0, p_seeds, self.alpha))) / len(original)

    def _found_pairs(self, size: float, spread: Spread, seed: int) -> float:
        noise = np.random.default_rng(seed).normal(size, np.sqrt(2) * spread.seeds, (_SIMULATED, len(self.seeds)))
        flips = max(_FLIPS, int(4 * self.num_comparisons / self.alpha))
        found = statistics.sign_flip_test(noise, resamples=flips) * self.num_comparisons <= self.alpha
        return float(np.mean(found & (noise.mean(-1) > 0)))

    def write(self, folder: Path, spread: Spread | None) -> None:
        """State the design in ``design.json`` and ``design.md``, or hold it against the one stated there.

        Raises:
            ValueError: the folder holds another design; the message names what differs.
        """
        path, fixed = folder / "design.json", _plain(self)
        if not path.exists():
            stated = self.statement(spread)
            write_new(folder / "design.md", self.markdown(stated))
            write_new(path, {"fixed": fixed, "stated": stated})
        before = read_json(path, "out")["fixed"]
        for name, value in fixed.items():
            # A design stated before a field existed has its default, which is empty.
            if before.get(name, type(value)()) != value:
                expected = f"a folder of this design: {name} = {_short(before.get(name))} was stated in {path}"
                raise invalid("out", expected, f"{name} = {_short(value)}", "choose a new folder, or the old design")

    def statement(self, spread: Spread | None) -> dict[str, Any]:
        """What the design can find, with the spread it was computed from."""
        assumed = spread or Spread(1.0, 1.0)
        return {
            "spread": asdict(assumed) if spread else None,
            "unit": "the metric" if spread else "standard deviations, taken as equal between graphs and between seeds",
            "smallest_difference": self.smallest_difference(assumed),
            "power": POWER,
            "chance_of_equivalence": self.chance_of_equivalence(assumed) if spread and self.nulls else None,
        }

    def markdown(self, stated: Mapping[str, Any]) -> str:
        """The design in words."""
        found, unit = stated["smallest_difference"], "" if stated["spread"] else " standard deviations"
        spread = stated["spread"]
        source = (
            f"a spread of {spread['graphs']:g} between graphs and {spread['seeds']:g} between seeds"
            if spread
            else "equal spread between graphs and seeds; no pilot was given"
        )
        chance = stated["chance_of_equivalence"]
        lines = [
            "# Design", "",
            f"- Task: {self.task or 'not described'}",
            f"- Score: `{self.score}`; metric `{self.metric}`, "
            f"{'larger' if self.larger_is_better else 'smaller'} is better",
            f"- Graphs: {', '.join(self.graphs)}",
            f"- Random graphs: {', '.join(self.nulls) or 'none'}; {self.graphs_per_null} of each, "
            f"{self.seeds_per_null} seed(s) each" if self.nulls else "- Random graphs: none; the seed is the unit",
            f"- Controls: {', '.join(self.controls) or 'none'}",
            *([f"- Figures of the same trials compared with the metric: {len(self.readings)}"] if self.readings else []),
            *[f"- Tuned for {label}: `{name}`" for label, name in self.tuned.items()],
            f"- Seeds of each graph in question: {len(self.seeds)} ({', '.join(map(str, self.seeds))})",
            f"- Margin of equivalence: {self.margin:g}; alpha: {self.alpha:g}; "
            f"Holm's adjustment over {self.num_comparisons} comparison(s)",
            f"- Smallest difference found in {POWER:.0%} of studies: {found:.4g}{unit} (simulated with {source})",
            *([f"- Equivalence is shown in {chance:.0%} of studies if nothing differs"] if chance is not None else []),
            "", "## Rule", "", RULE, "",
        ]  # fmt: skip
        return "\n".join(lines)

    @classmethod
    def read(cls, folder: Path) -> Design:
        """The design stated in a folder."""
        fixed = read_json(folder / "design.json", "folder", remedy="name the folder of a study")["fixed"]
        pairs = {name: tuple(fixed.get(name, ())) for name in ("seeds", "readings")}
        return cls(**{**fixed, **pairs})


RULE = """\
The difference is the mean score of the graph minus the mean over its random graphs.

1. **equivalent**: two one-sided t tests (TOST), Holm-adjusted, show a difference smaller than the margin.
2. **supported** / **contradicted**: not equivalent, and all three tests reject at alpha: the graph against the
   population of random graphs (t test of one case, Holm-adjusted), its rank among the random graphs drawn, and the
   paired sign-flip test over seeds. Supported if the graph is better, contradicted if it is worse.
3. **undecided**: neither, or trials are missing.

A comparison with a single opponent (another graph, a control) has one test, the sign-flip test over seeds,
Holm-adjusted: it speaks of these two, not of their kinds."""


def _plain(design: Design) -> dict[str, Any]:
    plain = asdict(design)
    return {**plain, "seeds": list(design.seeds), "readings": list(design.readings)}


def _bisect(power: Callable[[float], float], unit: float) -> float:
    high = 4 * unit
    while power(high) < _ASKED:
        high *= 2
        if high > 64 * unit:
            return float("inf")
    low = 0.0
    for _ in range(8):
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle) >= _ASKED else (middle, high)
    return high


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
