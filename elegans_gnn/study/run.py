"""One call: state the design, run what is missing, and judge."""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import json
import os
import pickle
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

from elegans_gnn.connectome import Connectome
from elegans_gnn.errors import invalid, unknown_name
from elegans_gnn.graphs import list_random_models, random_connectome
from elegans_gnn.study.design import Design, Spread
from elegans_gnn.study.engine import Engine, InlineEngine, LocalEngine, Score, Task, run_trials
from elegans_gnn.study.graph_figures import graph_figures
from elegans_gnn.study.ledger import Ledger, Trial, make_folder, replace_file
from elegans_gnn.study.report import Study, open_study

# The name of a null model, that with options ({"model": "rewired", "p": 0.1}), or graphs.
Source = str | Mapping[str, Any] | Sequence[Connectome]
Nulls = Iterable[str] | Mapping[str, Source]


def compare(
    score: Score,
    graphs: Mapping[str, Connectome],
    *,
    margin: float,
    out: str | os.PathLike[str],
    nulls: Nulls = (),
    graphs_per_null: int = 19,
    seeds: Iterable[int] = range(19),
    seeds_per_null: int = 1,
    controls: Mapping[str, Score] | None = None,
    tuned: Mapping[str, Score] | None = None,
    readings: Iterable[str] = (),
    axis: tuple[str, Mapping[str, float]] | None = None,
    metric: str = "score",
    larger_is_better: bool = True,
    alpha: float = 0.05,
    task: str = "",
    spread: Spread | None = None,
    chance: float | None = None,
    ceiling: float | None = None,
    workers: int = 1,
    ray: bool | str | None = None,
    retry: bool = False,
    strict: bool = True,
    figures: bool = True,
    progress: bool = True,
) -> Study:
    """Compare graphs with random ones by any score, fairly: paired, resumable, and judged by a rule stated beforehand.

    Called again with the same `out` it goes on where it stopped. Several processes, on several machines that share the
    folder, may call it at once; each trial runs once.

    Args:
        score: ``score(connectome, seed)`` returns a number, or a dict of numbers and of curves (lists of numbers).
            It must be importable: a function at the top level of a module, a `functools.partial` of one, or an instance
            of a dataclass with ``__call__``. Numbers named ``parameters``, ``flops``, ``steps`` are budgets.
        graphs: label -> the graphs in question.
        margin: a difference of the metric that is too small to matter, for the test of equivalence.
        out: the folder of the study.
        nulls: names of :func:`elegans_gnn.list_random_models`, or label -> such a name, a name with options
            (``{"model": "rewired", "p": 0.1}``) or `graphs_per_null` graphs.
            Without any, the other graphs are compared with the first.
        graphs_per_null: random graphs for each null model and graph.
        seeds: what each graph in question runs with.
        seeds_per_null: how many of the seeds each random graph runs with; they take turns.
        controls: label -> another score function, run with the same graphs and seeds. ``frozen`` (the model as drawn)
            and ``silent`` (without synapses) are looked at for warnings.
        tuned: label of a graph or null model -> a score function for its graphs instead of `score`, such as one with
            hyper-parameters tuned for that family.
        readings: further keys of the score that are compared with the metric, such as the score after a lesion.
        axis: a name, and the place on it of graphs and null models by label; the report draws the score along it.
        metric: the key of the score that is compared.
        larger_is_better: its direction.
        alpha: level of all tests.
        task: what is learned, in words, for the report.
        spread: what a pilot found (:meth:`Study.spread`), for the smallest difference that the design can find.
        chance, ceiling: values of the metric at which nothing is learned, and that cannot be passed; for warnings.
        workers: processes at a time, one trial each; 0 runs the trials in this process.
        ray: True runs the trials with Ray on this machine, a string is the address of a cluster.
        retry: whether trials that failed run again.
        strict: whether a design whose tests cannot reach alpha is refused; otherwise a warning says so.
        figures: whether to compute statistics of all graphs, for the regression in the report.
        progress: whether to show progress.

    Returns:
        the study: ``comparisons``, ``warnings``, ``to_dataframe()``, ``report(path)``.

    Raises:
        ValueError: a design that cannot work, or another one than that of the folder.
        LedgerError: the folder cannot be written.
    """
    if not graphs or not all(isinstance(graph, Connectome) for graph in graphs.values()):
        raise invalid("graphs", "label -> Connectome, at least one", graphs, "pass graphs={'worm': worm}")
    functions = {"": score, **(controls or {})}
    names = {label: score_name(function) for label, function in functions.items()}
    families = _families(nulls, graphs_per_null)
    for label in tuned or {}:
        if label not in {**graphs, **families}:
            raise unknown_name("tuned", label, {**graphs, **families})
    design = Design(
        task=task,
        score=names[""],
        metric=metric,
        larger_is_better=larger_is_better,
        margin=margin,
        alpha=alpha,
        graphs={label: graph.fingerprint for label, graph in graphs.items()},
        nulls={label: _source_name(source) for label, source in families.items()},
        graphs_per_null=graphs_per_null if families else 0,
        seeds=tuple(int(seed) for seed in seeds),
        seeds_per_null=seeds_per_null if families else 0,
        controls={label: names[label] for label in functions if label},
        readings=tuple(readings),
        tuned={label: score_name(function) for label, function in (tuned or {}).items()},
    )
    design.check(strict=strict)
    if not ray and workers > 0:
        for label, function in {**functions, **(tuned or {})}.items():
            _check_importable(f"the score of {label!r}" if label else "score", function)
    folder = Path(out)
    make_folder(folder)
    design.write(folder, spread)
    tasks, plan = _tasks(design, graphs, families, functions, tuned or {})
    along = {"name": axis[0], "places": dict(axis[1])} if axis else None
    replace_file(folder / "plan.json", {"trials": plan, "chance": chance, "ceiling": ceiling, "axis": along})
    run_trials(Ledger(folder), tasks, engine_of(workers, ray), retry=retry, progress=progress)
    if figures:
        graph_figures(folder, {task.connectome.fingerprint: task.connectome for task in tasks})
    return open_study(folder)


def _families(nulls: Nulls, number: int) -> dict[str, Source]:
    if isinstance(nulls, str):
        raise invalid("nulls", "a list of names", repr(nulls), f"pass nulls=[{nulls!r}]")
    families: dict[str, Source] = (
        dict(nulls) if isinstance(nulls, Mapping) else {str(name): str(name) for name in nulls}
    )
    for label, source in families.items():
        if isinstance(source, str | Mapping):
            model = source if isinstance(source, str) else str(source.get("model"))
            if model not in list_random_models():
                raise unknown_name("nulls", model, list_random_models())
        elif len(source) != number:
            remedy = f"pass graphs_per_null={len(source)}"
            raise invalid(f"nulls[{label!r}]", f"graphs_per_null = {number} graphs", len(source), remedy)
    return families


def _tasks(
    design: Design,
    graphs: Mapping[str, Connectome],
    families: Mapping[str, Source],
    functions: Mapping[str, Score],
    tuned: Mapping[str, Score],
) -> tuple[list[Task], list[dict[str, Any]]]:
    """All trials, seed by seed, so that a study that was stopped early has whole pairs."""
    row: dict[str, Any]
    wanted: list[tuple[int, dict[str, Any], Connectome]] = []
    for label, graph in graphs.items():
        for control in functions:
            row = {"graph": label, "null": "", "member": 0, "control": control}
            wanted += [(seed, row, graph) for seed in design.seeds]
        for null, source in families.items():
            for member in range(design.graphs_per_null):
                drawn = draw(source, graph, member)
                row = {"graph": label, "null": null, "member": member, "control": ""}
                wanted += [(seed, row, drawn) for seed in design.seeds_of(member)]
    names = {id(function): score_name(function) for function in (*functions.values(), *tuned.values())}
    wanted.sort(key=lambda item: design.seeds.index(item[0]))
    tasks, plan = [], []
    for seed, row, graph in wanted:
        function = functions[row["control"]]
        if not row["control"]:
            function = tuned.get(row["null"] or row["graph"], function)
        trial = Trial(names[id(function)], graph.fingerprint, seed)
        plan.append({**row, "seed": seed, "fingerprint": graph.fingerprint, "key": trial.key})
        kind = row["control"] or (f"{row['null']} {row['member']}" if row["null"] else "")
        label = " ".join(filter(None, (row["graph"], kind, f"seed {seed}")))
        tasks.append(Task(trial, function, graph, design.metric, label))
    return tasks, plan


def draw(source: Source, like: Connectome, member: int) -> Connectome:
    """One random graph of a family."""
    if isinstance(source, str):
        return random_connectome(source, like=like, seed=member)
    if isinstance(source, Mapping):
        options = {str(name): value for name, value in source.items() if name != "model"}
        return random_connectome(source["model"], like=like, seed=member, **options)
    return source[member]


def _source_name(source: Source) -> str:
    if isinstance(source, str):
        return source
    return json.dumps(dict(source), sort_keys=True) if isinstance(source, Mapping) else _digest(source)


def engine_of(workers: int, ray: bool | str | None) -> Engine:
    """Where trials run, see :func:`compare`."""
    if ray:
        from elegans_gnn.study.engine_ray import RayEngine

        return RayEngine(ray if isinstance(ray, str) else None, workers=workers if ray is True else None)
    return LocalEngine(workers) if workers > 0 else InlineEngine()


def score_name(score: Any) -> str:
    """What a score function is called in the ledger: module, name, settings, and a digest of its source.

    The digest ignores comments and layout. It does not cover the functions that this one calls.
    """
    if isinstance(score, functools.partial):
        settings = {str(place): value for place, value in enumerate(score.args)} | score.keywords
        return f"{score_name(score.func)} {json.dumps(settings, sort_keys=True, default=repr)}"
    if is_dataclass(score) and not isinstance(score, type):
        return f"{score_name(type(score))} {json.dumps(asdict(score), sort_keys=True, default=repr)}"
    if not hasattr(score, "__qualname__"):
        expected = "a function, a functools.partial of one, or a dataclass with __call__"
        raise invalid("score", expected, repr(score), "see docs/fair-comparison.md")
    module = score.__module__
    if module == "__main__":
        module = Path(getattr(sys.modules["__main__"], "__file__", None) or "__main__").stem
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(score)))
    except (OSError, SyntaxError, TypeError):
        return f"{module}:{score.__qualname__}"
    return f"{module}:{score.__qualname__} {hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:8]}"


def _check_importable(argument: str, score: Any) -> None:
    inner = score.func if isinstance(score, functools.partial) else score
    at_prompt = inner.__module__ == "__main__" and not hasattr(sys.modules["__main__"], "__file__")
    try:
        pickle.dumps(score)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        problem: str | None = " ".join(str(error).split())
    else:
        problem = "one defined at a prompt or in a notebook" if at_prompt else None
    if problem is not None:
        expected = "a function that a new process can import, at the top level of a file"
        raise invalid(argument, expected, problem, "move it into a file, or pass workers=0 to run in this process")


def _digest(graphs: Sequence[Connectome]) -> str:
    return hashlib.sha256("".join(graph.fingerprint for graph in graphs).encode()).hexdigest()[:16]
