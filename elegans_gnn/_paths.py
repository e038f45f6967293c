"""The version of the package, and where its data are: what every layer may know."""

from __future__ import annotations

from pathlib import Path

__version__ = "0.1.0"


def data_folder() -> Path:
    """The folder of the tables: inside an installed package, or next to it in a source tree."""
    package = Path(__file__).resolve().parent
    inside = package / "data"
    return inside if inside.is_dir() else package.parent / "data"
