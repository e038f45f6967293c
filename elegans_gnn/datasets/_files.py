"""Somebody's own pictures: PNG files, or a CSV file with one picture a row."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from elegans_gnn.errors import invalid

_MODES = {1: "L", 3: "RGB"}
_TABLES = (".csv", ".txt")


def read_images(paths: Iterable[Path | str], channels: int, size: int) -> tuple[list[str], Tensor]:
    """Pictures of the shape a model takes.

    Args:
        paths: picture files (PNG, or what else Pillow reads) with the right number of channels, or CSV files of
            channels * size * size numbers a row, from 0 to 255, or to 1 if none in the file is larger; a first row
            without numbers is a heading.
        channels, size: of the model's images.

    Returns:
        A name for each picture, and the pixels in 0..1, [M, channels, size, size].

    Raises:
        ValueError: a file that is missing, damaged or of another shape; the message names it.
    """
    names: list[str] = []
    parts: list[Tensor] = []
    for path in map(Path, paths):
        if not path.is_file():
            raise invalid("IMAGES", "files", f"{path}, which is not there", "give paths of PNG or CSV files")
        if path.suffix.lower() in _TABLES:
            rows = _read_table(path, channels, size)
            names += [f"{path.name}:{number + 1}" for number in range(len(rows))]
            parts.append(rows)
        else:
            names.append(path.name)
            parts.append(_read_picture(path, channels, size)[None])
    if not parts:
        raise invalid("IMAGES", "at least one file", "none", "give paths of PNG or CSV files")
    return names, torch.cat(parts)


def write_images(pixels: Tensor, names: Iterable[str], folder: Path) -> list[Path]:
    """Write grey pictures [M, 1, H, W] in 0..1 as PNG files into a new folder.

    Args:
        pixels: the pictures.
        names: one for each; what cannot stand in the name of a file is replaced, and equal names get a number.
        folder: is made, with the folders above it.
    """
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=False)
    values = (pixels[:, 0].clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    written: list[Path] = []
    for name, value in zip(names, values, strict=True):
        stem = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name.removesuffix(".png"))
        path, number = folder / f"{stem}.png", 1
        while path.exists():
            number += 1
            path = folder / f"{stem}-{number}.png"
        Image.fromarray(value).save(path)
        written.append(path)
    return written


def _read_picture(path: Path, channels: int, size: int) -> Tensor:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            opened.load()
            found = len(opened.getbands()) if opened.mode != "P" else 3
            width, height = opened.size
            picture = opened.convert(_MODES[channels]) if found == channels and channels in _MODES else None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        said = str(error).partition("\n")[0]
        raise invalid("IMAGES", "readable pictures", f"{path}, which is damaged ({said})", "save it anew") from error
    if picture is None:
        wanted = {1: "grey", 3: "colour"}.get(channels, "such")
        remedy = f"save it as a {wanted} picture"
        raise invalid("IMAGES", f"pictures with {channels} channel(s)", f"{path} with {found}", remedy)
    if (width, height) != (size, size):
        raise invalid("IMAGES", f"{size} x {size} pixels", f"{path} with {width} x {height}", "resize it")
    values = torch.from_numpy(np.asarray(picture, dtype=np.float32).copy()) / 255
    return values.reshape(size, size, channels).permute(2, 0, 1)


def _read_table(path: Path, channels: int, size: int) -> Tensor:
    length = channels * size * size
    rows: list[list[float]] = []
    try:
        with open(path, newline="", encoding="utf-8") as file:
            for number, row in enumerate(csv.reader(file), start=1):
                if not row:
                    continue
                values = _numbers(row)
                if values is None and number == 1:
                    continue
                if values is None or len(values) != length:
                    got = "something that is no number" if values is None else f"{len(values)} numbers"
                    raise invalid("IMAGES", f"rows of {length} numbers", f"{path}, line {number}: {got}", "mend it")
                rows.append(values)
    except (UnicodeDecodeError, csv.Error) as error:
        raise invalid("IMAGES", "a CSV file of numbers", f"{path}: {error}", "save it anew") from error
    if not rows:
        raise invalid("IMAGES", f"rows of {length} numbers", f"{path}, which has none", "give one picture a row")
    pixels = torch.tensor(rows, dtype=torch.float32)
    if not bool(((pixels >= 0) & (pixels <= 255)).all()):
        raise invalid("IMAGES", "numbers from 0 to 255", f"{path} with others", "scale them")
    pixels = pixels if float(pixels.max()) <= 1 else pixels / 255
    return pixels.reshape(-1, channels, size, size)


def _numbers(row: list[str]) -> list[float] | None:
    try:
        return [float(cell) for cell in row]
    except ValueError:
        return None
