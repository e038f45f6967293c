"""The report of a study: Markdown, and one HTML page that needs no other file."""

from __future__ import annotations

import html
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import stats

from elegans_gnn._text import read_json
from elegans_gnn.study.design import RULE
from elegans_gnn.study.ledger import make_folder, open_folder, replace_file
from elegans_gnn.study.result import BUDGETS, Comparison, Results
from elegans_gnn.viz import study as pictures

Cells = list[list[str]]
TUNING = "tuning.json"
# Comparisons in a picture: of hundreds of lesions those with the largest differences.
_SHOWN = 40
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:1rem 0;font-size:14px}th,td{padding:.3rem .6rem;border-bottom:1px solid #ddd;
text-align:left}pre{background:#f6f6f6;padding:1rem;white-space:pre-wrap}svg{max-width:100%;height:auto}"""


def write_report(study: Results, folder: Path) -> Path:
    """Write ``report.md`` and ``report.html``; the path of the page."""
    make_folder(folder)
    tables = [(title, cells) for title, cells in _tables(study) if len(cells) > 1]
    replace_file(folder / "report.md", _markdown(study, tables))
    page = folder / "report.html"
    replace_file(page, _page(study, tables))
    return page


def _title(study: Results) -> str:
    return study.design.task or f"Comparison by {study.design.metric}"


def _summary(study: Results) -> list[str]:
    """The verdicts as sentences, and what to be careful about."""
    said = {
        "supported": "is better than",
        "contradicted": "is worse than",
        "equivalent": "scores the same, within the margin, as",
        "undecided": "is not shown to differ from, or to equal,",
    }
    lines = []
    for item in study.comparisons:
        missing = f" ({item.missing} trials are missing)" if item.missing else ""
        lines.append(f"{item.graph} {said[item.verdict]} {item.other}: {item.verdict}{missing}.")
    return lines


def _tables(study: Results) -> Iterator[tuple[str, Cells]]:
    yield "Verdicts", [
        ["graph", "against", "difference", "interval", "p", "p adjusted", "p rank", "p seeds", "p equivalence",
         "effect", "graphs", "seeds", "verdict"],
        *map(_verdict_row, study.comparisons),
    ]  # fmt: skip
    yield (
        "Scores",
        [["group", "mean", "spread between graphs", "spread within graphs", "done", "failed"], *_scores(study)],
    )
    yield "Budgets", [["group", *BUDGETS], *_budgets(study)]
    yield "Tuning", _tuning(study)
    yield "Graph statistics", [["statistic", "slope per SD", "95 % interval", "R²", "graphs"], *_regressions(study)]
    yield "Failures", [["trial", "reason"], *_failures(study)]
    yield "Conditions", [["host", "processor", "versions", "trials", "seconds a trial"], *_conditions(study)]


def _verdict_row(item: Comparison) -> list[str]:
    rank = "-" if item.p_rank is None else _number(item.p_rank)
    numbers = (item.p_value, item.p_adjusted)
    return [
        item.graph, item.other, _number(item.difference), f"[{_number(item.interval[0])}, {_number(item.interval[1])}]",
        *map(_number, numbers), rank, _number(item.p_seeds), _number(item.p_equivalence_adjusted),
        _number(item.effect_size), str(item.num_graphs), str(item.num_seeds), f"**{item.verdict}**",
    ]  # fmt: skip


def _groups(study: Results) -> dict[str, tuple[str, str, str]]:
    """label -> graph, null, control of each group of trials."""
    design, found = study.design, {}
    several = len(design.graphs) > 1
    for graph in design.graphs:
        found[graph] = (graph, "", "")
        tail = f" of {graph}" if several else ""
        found |= {f"{null}{tail}": (graph, null, "") for null in design.nulls}
        found |= {f"{graph}, {control}": (graph, "", control) for control in design.controls}
    return found


def _scores(study: Results) -> Cells:
    rows = []
    for label, cell in _groups(study).items():
        values = study.table(*cell)
        means = [row[np.isfinite(row)].mean() for row in values if np.isfinite(row).any()]
        within = [row[np.isfinite(row)].std(ddof=1) for row in values if np.isfinite(row).sum() > 1]
        status = [row["status"] for row in study.select(*cell)]
        between = float(np.std(means, ddof=1)) if len(means) > 1 else math.nan
        rows.append([
            label, _number(float(np.mean(means)) if means else math.nan), _number(between),
            _number(float(np.mean(within)) if within else math.nan),
            str(status.count("done")), str(status.count("failed")),
        ])  # fmt: skip
    return rows


def _budgets(study: Results) -> Cells:
    """Range of each budget over the trials of a group, beside its scores."""
    rows = []
    for label, cell in _groups(study).items():
        cells = []
        for name in BUDGETS:
            values = study.table(*cell, name=name)
            values = values[np.isfinite(values)]
            ends = sorted({f"{value:,.10g}" for value in (values.min(), values.max())}) if len(values) else ["-"]
            cells.append(" to ".join(ends))
        if set(cells) != {"-"}:
            rows.append([label, *cells])
    return rows


def _tuning(study: Results) -> Cells:
    path = study.folder / TUNING
    if not path.exists():
        return []
    found = read_json(path, TUNING)
    heads = ["family", *map(json.dumps, found["candidates"])]
    rows = []
    for label, scores in found["scores"].items():
        cells = ["failed" if value is None else _number(value) for value in scores]
        best = found["chosen"][label]
        rows.append([label, *(f"**{cell}**" if place == best else cell for place, cell in enumerate(cells))])
    return [heads, *rows]


def _regressions(study: Results) -> Cells:
    names, values, scores, _ = study.graph_table()
    rows = []
    for name, column in zip(names, values.T, strict=True):
        kept = np.isfinite(column)
        if kept.sum() < 4 or np.ptp(column[kept]) < 1e-12:
            continue
        line = stats.linregress((column[kept] - column[kept].mean()) / column[kept].std(ddof=1), scores[kept])
        half = stats.t.ppf(0.975, int(kept.sum()) - 2) * line.stderr
        interval = f"[{_number(line.slope - half)}, {_number(line.slope + half)}]"
        rows.append([name, _number(line.slope), interval, _number(line.rvalue**2), str(int(kept.sum()))])
    return rows


def _failures(study: Results) -> Cells:
    return [
        [f"{row['graph']} {row['control'] or row['null']} {row['member']}, seed {row['seed']}", row["reason"]]
        for row in study.rows
        if row["status"] == "failed"
    ]


def _conditions(study: Results) -> Cells:
    found: dict[tuple[str, str, str], list[float]] = {}
    for row in {row["key"]: row for row in study.rows if "conditions" in row}.values():
        given = row["conditions"]
        versions = ", ".join(f"{name} {version}" for name, version in given["versions"].items())
        found.setdefault((given["host"], given["processor"], versions), []).append(row["seconds"])
    return [[*key, str(len(seconds)), _number(float(np.mean(seconds)))] for key, seconds in found.items()]


def _markdown(study: Results, tables: Sequence[tuple[str, Cells]]) -> str:
    parts = [f"# {_title(study)}", "\n".join(f"- {line}" for line in _summary(study))]
    if study.warnings:
        parts += ["## Be careful", "\n".join(f"- {line}" for line in study.warnings)]
    for title, cells in tables:
        lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
        lines.insert(1, "|" + "---|" * len(cells[0]))
        parts += [f"## {title}", "\n".join(lines)]
    parts += ["## Design", _stated(study), "## Rule", RULE]
    return "\n\n".join(parts) + "\n"


def _stated(study: Results) -> str:
    text = (study.folder / "design.md").read_text(encoding="utf-8")
    return text.partition("# Design")[2].partition("## Rule")[0].strip()


def _page(study: Results, tables: Sequence[tuple[str, Cells]]) -> str:
    parts = [f"<h1>{html.escape(_title(study))}</h1>", _list(_summary(study))]
    if study.warnings:
        parts += ["<h2>Be careful</h2>", _list(study.warnings)]
    figures = dict(_figures(study))
    for title, cells in tables:
        parts += [f"<h2>{title}</h2>", figures.pop(title, ""), _html_table(cells)]
    for title, figure in figures.items():
        parts += [f"<h2>{title}</h2>", figure]
    parts += [f"<h2>Design</h2><pre>{html.escape(_stated(study))}</pre><h2>Rule</h2><pre>{html.escape(RULE)}</pre>"]
    head = f'<meta charset="utf-8"><title>{html.escape(_title(study))}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(parts)}</body></html>\n'


def _figures(study: Results) -> Iterator[tuple[str, str]]:
    metric = study.design.metric
    complete = [item for item in study.comparisons if not item.missing]
    largest = sorted(complete, key=lambda item: -abs(item.difference))[:_SHOWN]
    shown = [item for item in complete if item in largest]
    if shown:
        labels = [f"{item.graph} - {item.other}" for item in shown]
        values = np.array([(item.difference, *item.interval) for item in shown]).T
        yield (
            "Verdicts",
            pictures.svg_text(pictures.plot_differences(labels, *values, margin=study.design.margin, metric=metric)),
        )
    groups = {label: study.table(*cell) for label, cell in _groups(study).items()}
    groups = {label: values for label, values in groups.items() if np.isfinite(values).any()}
    if groups:
        yield "Scores", pictures.svg_text(pictures.plot_scores(groups, metric=metric))
    if study.axis and (along := list(_along(study, *study.axis))):
        yield (
            f"Along {study.axis[0]}",
            pictures.svg_text(
                pictures.plot_along(*map(np.array, zip(*along, strict=True)), axis=study.axis[0], metric=metric)
            ),
        )
    split = [item for item in complete if item.kind == "null"]
    if split:
        both = np.array([(item.graph_variance, item.seed_variance) for item in split]).T
        labels = [f"{item.other} ({item.graph})" for item in split]
        yield "Variance between graphs and seeds", pictures.svg_text(pictures.plot_variance(labels, *both))
    names, values, scores, kinds = study.graph_table()
    if len(scores) >= 4:
        figure = pictures.plot_regressions(names, values, scores, kinds, metric=metric)
        yield "Graph statistics", pictures.svg_text(figure)
    for name in sorted({name for row in study.rows for name in row["curves"]}):
        curves = {}
        for label, cell in _groups(study).items():
            runs = [row["curves"][name] for row in study.select(*cell) if name in row["curves"]]
            if runs:
                shortest = min(map(len, runs))
                curves[label] = np.array([run[:shortest] for run in runs], dtype=np.float64)
        title = f"Learning curves: {html.escape(name)}"
        yield title, pictures.svg_text(pictures.plot_curves(curves, name=name))


def _along(study: Results, name: str, places: Mapping[str, float]) -> Iterator[tuple[float, float, float, float]]:
    """Place, mean and 95 % interval (t, over graphs, or over seeds of a single graph) of each group on the axis."""
    for label, cell in _groups(study).items():
        values = study.table(*cell)
        units = [row[np.isfinite(row)].mean() for row in values if np.isfinite(row).any()]
        if len(values) == 1:
            units = values[np.isfinite(values)].tolist()
        if label in places and len(units) > 1:
            half = float(stats.t.ppf(0.975, len(units) - 1) * np.std(units, ddof=1) / np.sqrt(len(units)))
            yield places[label], float(np.mean(units)), float(np.mean(units)) - half, float(np.mean(units)) + half


def _list(lines: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{html.escape(line)}</li>" for line in lines) + "</ul>"


def _html_table(cells: Cells) -> str:
    rows = []
    for number, row in enumerate(cells):
        tag = "th" if number == 0 else "td"
        rows.append("<tr>" + "".join(f"<{tag}>{_strong(cell)}</{tag}>" for cell in row) + "</tr>")
    return f"<table>{''.join(rows)}</table>"


def _strong(cell: str) -> str:
    bold = len(cell) > 4 and cell.startswith("**") and cell.endswith("**")
    return f"<strong>{html.escape(cell[2:-2])}</strong>" if bold else html.escape(cell)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3g}"


class Study(Results):
    """A comparison of graphs, read from its folder: verdicts, trials and a report."""

    def report(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Write ``report.md`` and a self-contained ``report.html`` into a folder, the study's own by default."""
        return write_report(self, Path(path) if path is not None else self.folder)


def open_study(folder: str | os.PathLike[str]) -> Study:
    """The study in a folder, as far as it has run."""
    return Study(open_folder(folder))
