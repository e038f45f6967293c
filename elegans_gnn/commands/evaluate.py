"""`elegans-gnn eval RUN`."""

from __future__ import annotations

import argparse
from pathlib import Path

from elegans_gnn._paths import or_bundled
from elegans_gnn._text import json_text


def run_help() -> str:
    """What RUN may be, with the names of the bundled models."""
    return f"a run's folder, its model folder, a folder of save_pretrained, or a checkpoint{or_bundled()}"


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Declare the command and its options."""
    parser = subparsers.add_parser(
        "eval",
        help="evaluate a trained model",
        description="Evaluate a trained model on the test or validation part of its data. Nothing is written.\n\n"
        "Without options this gives the run's final figures again. Images that the model may have been trained on\n"
        "are refused: other folds of the digits, and mnist5k after mnist.",
        epilog="examples:\n"
        "  elegans-gnn eval runs/mnist-autoencoder-001               # a run's folder: its best weights\n"
        "  elegans-gnn eval runs/mnist-classifier-001/last.ckpt --part validation\n"
        "  elegans-gnn eval runs/mnist-classifier-001 --data mnist   # trained on 5,000 images, tested on 10,000\n"
        "  elegans-gnn eval model --data mnist5k --json              # a folder of save_pretrained",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("path", metavar="RUN", type=Path, help=run_help())
    add("--part", default="test", help="test (default) or validation")
    add("--data", help="data to use instead of the run's: a name or a folder, as in `elegans-gnn train`")
    add("--data-dir", help="folder with the data set's files, if they have moved")
    add("--fold", type=int, help="fold of the digits, for a model that was saved without a run")
    add("--json", action="store_true", help="machine-readable output")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Evaluate, then print."""
    from elegans_gnn.training.evaluation import evaluate_run, open_run, source_of

    opened = open_run(options.path)
    source = source_of(opened, data=options.data, data_dir=options.data_dir, fold=options.fold, part=options.part)
    found = evaluate_run(opened, source, options.part)
    if options.json:
        head = {"run": str(options.path), "task": opened.task, "data": source.name, "part": options.part}
        print(json_text({**head, **found}))
        return 0

    from rich.console import Console

    from elegans_gnn.training.report import classification_table, model_name, reconstruction_table

    name, title = model_name(opened.model), f"{source.name}, {options.part} images"
    if opened.task == "classifier":
        table = classification_table(title, {name: found["figures"]})
    else:
        table = reconstruction_table(title, {name: found["figures"], "8-bit code": found["figures_8bit"]})
    Console().print(table)
    return 0
