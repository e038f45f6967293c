"""`elegans-gnn study run | list | status | report | retry`."""

from __future__ import annotations

import argparse
import signal
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from elegans_gnn._text import parse_yaml
from elegans_gnn.commands._table import print_json, print_table
from elegans_gnn.errors import invalid
from elegans_gnn.study.specs import READY, Spec, named_spec

if TYPE_CHECKING:
    from elegans_gnn.study import Study

_EPILOG = "ready-made studies:\n" + "".join(f"  {name:13s}{spec.title}\n" for name, spec in READY.items())
_RUN_EPILOG = f"""{_EPILOG}
  elegans-gnn study run paper --out runs/paper --workers 2
  elegans-gnn study run nulls --out runs/nulls --set graphs_per_null=39 --set learning_rate=0.003
  elegans-gnn study run mine.yaml --out runs/mine --ray auto

Run the same command again to continue where it stopped.
docs/fair-comparison.md lists the fields and explains the tests.
"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the commands and their options."""
    parser = subparsers.add_parser(
        "study",
        help="compare graphs with random ones: does the wiring matter?",
        description="Compare graphs with random ones: a design that is stated before it runs, trials that run once "
        "each, tests in which the graph is the unit.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    _add_run(actions)
    listed = actions.add_parser("list", help="list the ready-made studies", description="List the ready-made studies.")
    listed.set_defaults(run=list_studies)
    for name, run, about in (
        ("status", show_status, "show the progress of a study, and its verdicts so far"),
        ("report", write_report, "write report.md and report.html"),
        ("retry", retry_failures, "run failed and missing trials"),
    ):
        action = actions.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}.")
        action.add_argument("folder", type=Path, metavar="DIR", help="the folder of a study")
        if name == "status":
            action.add_argument("--json", action="store_true", help="machine-readable output")
        if name == "report":
            action.add_argument("--out", type=Path, default=None, help="another folder for the report")
        if name == "retry":
            _add_machine(action)
        action.set_defaults(run=run)


def _add_run(actions: Any) -> None:
    run = actions.add_parser(
        "run",
        help="run a study, or continue it",
        description="Run a ready-made study or one from a YAML file; in the folder of that study, run what is missing.",
        epilog=_RUN_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    run.add_argument("study", metavar="STUDY", nargs="?", help="a ready-made study, or FILE.yaml")
    run.add_argument("--list", action="store_true", help="list the ready-made studies, and stop")
    run.add_argument("--out", type=Path, metavar="DIR", help="the folder of the study")
    run.add_argument("--model", help="the model, instead of the study's; see `elegans-gnn models`")
    run.add_argument("--data", help="the data set, instead of the study's")
    run.add_argument("--steps", type=int, help="optimiser steps of each trial")
    run.add_argument("--seeds", type=int, help="number of seeds of each graph in question")
    run.add_argument("--graphs-per-null", type=int, help="random graphs of each null model")
    run.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="changes",
        help="any other field of the study or setting of its training runs, the value as in YAML; may be repeated",
    )  # fmt: skip
    run.add_argument("--pilot", type=Path, metavar="DIR", help="a finished pilot study: gives the spread of the score")
    run.add_argument("--smoke", action="store_true", help="a test run of seconds; its figures mean nothing")
    _add_machine(run)
    run.set_defaults(run=run_study)


def _add_machine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="trials at a time, one thread each")
    parser.add_argument(
        "--ray", nargs="?", const=True, metavar="ADDRESS",
        help="run the trials with Ray: started on this machine, or a cluster such as auto or host:6379",
    )  # fmt: skip
    parser.add_argument("--no-progress", action="store_true", help="show no progress")


def list_studies(options: argparse.Namespace) -> int:
    """Name the ready-made studies."""
    rows = [(name, spec.title) for name, spec in READY.items()]
    print_table("ready-made studies", ("study", "what it asks"), rows, whole=(0,))
    return 0


def run_study(options: argparse.Namespace) -> int:
    """Run a study and print its verdicts; 1 if trials failed."""
    if options.list:
        return list_studies(options)
    for name in ("study", "out"):
        if getattr(options, name) is None:
            argument = "STUDY" if name == "study" else "--out"
            raise invalid(argument, "given", "none", "such as: elegans-gnn study run paper --out runs/paper")
    return _run(_spec(options), options.out, options, retry=False)


def retry_failures(options: argparse.Namespace) -> int:
    """Run failures again."""
    from elegans_gnn.study.studies import spec_in

    return _run(spec_in(options.folder), options.folder, options, retry=True)


def _spec(options: argparse.Namespace) -> Spec:
    spec = named_spec(options.study)
    spec = spec.smoke() if options.smoke else spec
    flags = ("model", "data", "steps", "seeds", "graphs_per_null")
    changes = {name: getattr(options, name) for name in flags if getattr(options, name) is not None}
    for text in options.changes:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise invalid("--set", "NAME=VALUE", repr(text), "such as --set learning_rate=0.01")
        changes[name.strip().replace("-", "_")] = parse_yaml(value, "--set")
    if options.pilot is not None:
        from elegans_gnn.study import open_study

        found = open_study(options.pilot).spread()
        changes["spread"] = {"graphs": found.graphs, "seeds": found.seeds}
    return spec.changed(**changes)


def _run(spec: Spec, out: Path, options: argparse.Namespace, *, retry: bool) -> int:
    if options.workers < 0:
        raise invalid("--workers", ">= 0", options.workers, "0 runs the trials in this process")
    from elegans_gnn.study.studies import run_spec

    with _terminated_as_interrupted(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        study = run_spec(
            spec, out, workers=options.workers, ray=options.ray, retry=retry, progress=not options.no_progress
        )
        page = study.report()
    for text in dict.fromkeys(str(warning.message) for warning in caught):
        print(f"elegans-gnn: warning: {text}", file=sys.stderr)
    _print_verdicts(study)
    if study.status.get("failed"):
        print(f"{study.status['failed']} trials failed; run them again with: elegans-gnn study retry {out}")
    print(f"report: {page}")
    return 1 if study.status.get("failed") else 0


def show_status(options: argparse.Namespace) -> int:
    """Print what is done, and the verdicts so far."""
    from elegans_gnn.study import open_study

    study = open_study(options.folder)
    if options.json:
        verdicts = [{"graph": c.graph, "other": c.other, "verdict": c.verdict} for c in study.comparisons]
        print_json({"trials": study.status, "comparisons": verdicts})
        return 0
    print(", ".join(f"{number} {name}" for name, number in study.status.items()))
    _print_verdicts(study)
    return 0


def write_report(options: argparse.Namespace) -> int:
    """Write the report and say where."""
    from elegans_gnn.study import open_study

    print(open_study(options.folder).report(options.out))
    return 0


def _print_verdicts(study: Study) -> None:
    rows = [
        (c.graph, c.other, f"{c.difference:.3g}", f"[{c.interval[0]:.3g}, {c.interval[1]:.3g}]", f"{c.p_adjusted:.3g}",
         c.verdict + (f" ({c.missing} trials are missing)" if c.missing else ""))
        for c in study.comparisons
    ]  # fmt: skip
    heads = ("graph", "against", "difference", "interval", "p adjusted", "verdict")
    print_table(study.design.task, heads, rows, numbers=(2, 3, 4))
    for text in study.warnings:
        print(f"- {text}")


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM, which cluster schedulers send at the end of a job's time, stops as cleanly as Ctrl-C."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
