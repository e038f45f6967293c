"""A run's result as a table."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from elegans_gnn.training.run import RunResult


def print_result(result: RunResult, console: Console | None = None) -> None:
    """Print test figures beside PCA's, parameters by part, seconds, and where the files are."""
    console = Console() if console is None else console
    code = result.model.to_code.out_features
    table = Table(title=f"Reconstruction of the test images, code of {code} floats", title_justify="left")
    table.add_column("", no_wrap=True)
    for heading in ("pixel accuracy %", "F1 of ink", "BCE (nats/pixel)", "SSIM"):
        table.add_column(heading, justify="right")
    for label, figures in ((result.model.connectome.name, result.test), (f"PCA, {result.pca_components}", result.pca)):
        table.add_row(
            label,
            f"{100 * figures['accuracy']:.3f}",
            f"{figures['f1']:.4f}",
            f"{figures['bce']:.5f}",
            f"{figures['ssim']:.4f}",
        )
    console.print(table)
    parts = ", ".join(f"{part} {count:,}" for part, count in result.parameters.items())
    console.print(f"parameters: {parts}; total {sum(result.parameters.values()):,}", highlight=False)
    console.print(
        f"trained for {result.seconds:.0f} s; step {result.best_step} chosen by validation accuracy "
        f"({100 * result.validation['accuracy']:.3f} %)",
        highlight=False,
    )
    console.print(f"written to {result.folder}", highlight=False, soft_wrap=True)
