"""A run's result as a table."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from elegans_gnn.training.results import AutoencoderResult, ClassifierResult


def print_result(result: AutoencoderResult | ClassifierResult, console: Console | None = None) -> None:
    """Print test figures (and PCA's), parameters by part, seconds, and where the files are."""
    console = Console() if console is None else console
    if isinstance(result, AutoencoderResult):
        name = model_name(result.model)
        rows = {
            name: result.test,
            "8-bit code": result.test_8bit,
            f"PCA, {result.pca_components}": result.pca,
        }
        title = f"Reconstruction of the test images, code of {result.model.code_length} floats"
        console.print(reconstruction_table(title, rows))
    else:
        console.print(
            classification_table("Classification of the test images", {model_name(result.model): result.test})
        )
    parts = ", ".join(f"{part} {count:,}" for part, count in result.parameters.items())
    console.print(f"parameters: {parts}; total {sum(result.parameters.values()):,}", highlight=False)
    console.print(
        f"trained for {result.seconds:.0f} s; step {result.best_step} chosen on the validation images "
        f"(accuracy {100 * result.validation['accuracy']:.3f} %)",
        highlight=False,
    )
    console.print(f"written to {result.folder}", highlight=False, soft_wrap=True)


def model_name(model: Any) -> str:
    """The graph inside a model and its core, or the kind of model if it has no graph."""
    graph = getattr(model, "connectome", None)
    if graph is None:
        return type(model).__name__
    if model.arguments.get("head", "worm") != "worm":
        return f"{model.arguments['head']} head"
    core = model.arguments.get("core") or model.arguments.get("synapses", "trained")
    return str(graph.name) if core in ("message-passing", "trained") else f"{graph.name}, {core}"


def reconstruction_table(title: str, rows: dict[str, dict[str, float]]) -> Table:
    """The four figures of each row."""
    table = _table(title, ("pixel accuracy %", "F1 of ink", "BCE (nats/pixel)", "SSIM"))
    for label, figures in rows.items():
        table.add_row(
            label,
            f"{100 * figures['accuracy']:.3f}",
            f"{figures['f1']:.4f}",
            f"{figures['bce']:.5f}",
            f"{figures['ssim']:.4f}",
        )
    return table


def classification_table(title: str, rows: dict[str, dict[str, float]]) -> Table:
    """Both figures of each row."""
    table = _table(title, ("top-1 accuracy %", "cross-entropy (nats)"))
    for label, figures in rows.items():
        table.add_row(label, f"{100 * figures['accuracy']:.2f}", f"{figures['cross_entropy']:.4f}")
    return table


def _table(title: str, headings: tuple[str, ...]) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column("", no_wrap=True)
    for heading in headings:
        table.add_column(heading, justify="right")
    return table
