"""The version of the package, and where its data are: what every layer may know."""

from __future__ import annotations

import os
from pathlib import Path

__version__ = "0.1.0"


def data_folder() -> Path:
    """The folder of the tables: inside an installed package, or next to it in a source tree."""
    package = Path(__file__).resolve().parent
    inside = package / "data"
    return inside if inside.is_dir() else package.parent / "data"


def bundled_models() -> dict[str, Path]:
    """The trained models that come with the package: name -> folder."""
    folder = data_folder() / "models"
    found = sorted(folder.iterdir()) if folder.is_dir() else []
    return {path.name: path for path in found if (path / "config.json").is_file()}


def model_path(place: str | os.PathLike[str]) -> Path:
    """A path as it is, where something is there; else the folder of the bundled model of this name, if there is one."""
    path = Path(place)
    return path if path.exists() else bundled_models().get(str(place), path)


def or_bundled() -> str:
    """What to add to "must be a folder" in a message."""
    names = ", ".join(bundled_models())
    return f", or the name of a bundled model ({names})" if names else ""
