"""Put the best model of a finished run into `data/models/NAME`, with a card, as a model that comes with the package.

    python data/make_model.py runs/fashion-mnist-classifier-001 fashion-mnist-worm --limits "Only pictures of ..."

The weights are stored with 16 bits. The figures on the card are those of the stored model, as `elegans-gnn eval NAME`
gives them; this opens the test images once more, after every choice has been made. At most 1 MB in all.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from elegans_gnn._text import read_json
from elegans_gnn.errors import InvalidArgumentError, invalid
from elegans_gnn.models import parameters
from elegans_gnn.models.pretrained import CLASSES
from elegans_gnn.training.evaluation import PARTS, Run, evaluate_run, open_run, source_of
from elegans_gnn.training.provenance import write_training

HERE = Path(__file__).resolve().parent
LARGEST = 1_000_000


def make(run: Path, name: str, limits: str, commit: str, out: Path) -> Path:
    """Write the folder of a bundled model.

    Args:
        run: folder of a finished run on a named data set.
        name: of the model.
        limits: what the card says of the model's limits.
        commit: that the run was made with.
        out: the folder of all bundled models.

    Raises:
        ValueError: not a finished run, its images have no name, the folder exists, or it would be larger than 1 MB.
    """
    opened, summary = open_run(run), read_json(run / "summary.json", "RUN")
    model: Any = opened.model
    if opened.config is None or opened.trained_on is None:
        raise invalid("RUN", "a run's folder, on a data set with a name", run, "give what elegans-gnn train wrote")
    folder: Path = model.save_pretrained(out / name, half=True)
    try:
        if opened.classes:
            (folder / CLASSES).write_text(json.dumps(opened.classes) + "\n", encoding="utf-8")
        write_training(opened.trained_on, folder)
        (folder / "README.md").write_text(_card(name, opened, open_run(folder), summary, limits, commit), "utf-8")
        size = sum(path.stat().st_size for path in folder.iterdir())
        if size > LARGEST:
            raise invalid("model", f"at most {LARGEST:,} bytes with its graph and card", f"{size:,}", "make it smaller")
    except BaseException:
        shutil.rmtree(folder)
        raise
    return folder


def _card(name: str, run: Run, stored: Run, summary: dict[str, Any], limits: str, commit: str) -> str:
    """The card: data, recipe, commit, figures, limits."""
    assert run.config is not None
    source = source_of(stored)
    counts = " / ".join(f"{len(getattr(source, part)().labels):,}" for part in ("train", "validation", "test"))
    rows = [
        f"| {part} | {row} | {', '.join(f'{figure} {value:.4f}' for figure, value in figures.items())} |"
        for part in PARTS
        for row, figures in evaluate_run(stored, source, part).items()
    ]
    graph = getattr(stored.model, "connectome", None)
    wiring = "none" if graph is None else f"{graph.name}, {graph.num_neurons} neurons, {graph.num_edges:,} edges"
    settings = "".join(f"    {key}: {json.dumps(value)}\n" for key, value in run.config.given().items())
    parts = ", ".join(f"{part} {number:,}" for part, number in summary["parameters"].items())
    return f"""# {name}

A {type(stored.model).__name__} for `elegans-gnn predict {name} PICTURE` and `from_pretrained("{name}")`.

- **Data**: {source.name}, {counts} images (train / validation / test). The validation images chose the weights and
  the recipe; the test images were opened by the final evaluation only. Pictures have {stored.channels} channel(s) and
  {stored.size} x {stored.size} pixels; grey ones show an object that is light on dark.
- **Wiring**: {wiring}.
- **Parameters**: {parameters(stored.model):,} ({parts}), stored with 16 bits each.
- **Training**: commit {commit}, torch {summary["torch"]}, {summary["threads"]} thread(s), {summary["seconds"]:.0f} s;
  step {summary["best_step"]:,} had the best validation figure.
- **Limits**: {limits}

| part | figures of | as stored here |
|---|---|---|
{chr(10).join(rows)}

Settings of the run, a file for `elegans-gnn train TASK --config`:

{settings}"""


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("name")
    parser.add_argument("--limits", required=True, help="what the card says of the model's limits")
    parser.add_argument("--commit", help="that the run was made with (default: the one checked out)")
    parser.add_argument("--out", type=Path, default=HERE / "models")
    options = parser.parse_args(arguments)
    asked = ["git", "-C", str(HERE), "rev-parse", "--short", "HEAD"]
    commit = options.commit or subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    try:
        print(make(options.run, options.name, options.limits, commit, options.out))
    except InvalidArgumentError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
