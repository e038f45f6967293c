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
_GREY16 = "I;16"
# Pillow's 32-bit integers and floats: their white is not known.
_WITHOUT_WHITE = ("I", "F")
_TABLES = (".csv", ".txt")


def read_images(paths: Iterable[Path | str], channels: int, size: int) -> tuple[list[str], Tensor]:
    """Pictures of the shape a model takes.

    Args:
        paths: picture files (PNG, or what else Pillow reads) with the right number of channels, of 8 bits each (grey:
            or 16), or CSV files of channels * size * size numbers a row, from 0 to 255, or to 1 if none in the file is
            larger; a first row without any number is a heading.
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
    folder.mkdir(parents=True, exist_ok=False)
    written: list[Path] = []
    for name, picture in zip(names, pixels[:, 0], strict=True):
        stem = "".join(letter if letter.isalnum() or letter in "-_" else "-" for letter in name.removesuffix(".png"))
        path, number = folder / f"{stem}.png", 1
        while path.exists():
            number += 1
            path = folder / f"{stem}-{number}.png"
        write_image(picture, path)
        written.append(path)
    return written


def write_image(pixels: Tensor, path: Path) -> None:
    """Write one grey picture [H, W] in 0..1 as a PNG file, which must be new."""
    from PIL import Image

    values = (pixels.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    with open(path, "xb") as file:
        Image.fromarray(values).save(file, format="PNG")


def _read_picture(path: Path, channels: int, size: int) -> Tensor:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            opened.load()
            found = len(opened.getbands()) if opened.mode != "P" else 3
            width, height = opened.size
            mode = opened.mode
            fits = found == channels and channels in _MODES and mode not in _WITHOUT_WHITE
            # Converting would cut 16 bits off at 255.
            deep = mode.startswith(_GREY16)
            picture = (opened.copy() if deep else opened.convert(_MODES[channels])) if fits else None
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        said = str(error).partition("\n")[0]
        raise invalid("IMAGES", "readable pictures", f"{path}, which is damaged ({said})", "save it anew") from error
    if mode in _WITHOUT_WHITE:
        got = f"{path} with 32-bit values"
        raise invalid("IMAGES", "pictures of 8 or 16 bits a channel", got, "save it as an 8-bit picture")
    if picture is None:
        wanted = {1: "grey", 3: "colour"}.get(channels, "such")
        remedy = f"save it as a {wanted} picture"
        raise invalid("IMAGES", f"pictures with {channels} channel(s)", f"{path} with {found}", remedy)
    if (width, height) != (size, size):
        raise invalid("IMAGES", f"{size} x {size} pixels", f"{path} with {width} x {height}", "resize it")
    values = torch.from_numpy(np.asarray(picture, dtype=np.float32).copy()) / (65535 if deep else 255)
    return values.reshape(size, size, channels).permute(2, 0, 1)


def _read_table(path: Path, channels: int, size: int) -> Tensor:
    length = channels * size * size
    rows: list[list[float]] = []
    headed = False
    try:
        # A spreadsheet's byte-order mark would spoil the first number.
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            for row in filter(None, reader):
                values = [_number(cell) for cell in row]
                if not rows and not headed and not any(value is not None for value in values):
                    headed = True
                    continue
                rows.append(_checked_row(row, values, length, f"{path}, line {reader.line_num}"))
    except (UnicodeDecodeError, csv.Error) as error:
        raise invalid("IMAGES", "a CSV file of numbers", f"{path}: {error}", "save it anew") from error
    if not rows:
        raise invalid("IMAGES", f"rows of {length} numbers", f"{path}, which has none", "give one picture a row")
    pixels = torch.tensor(rows, dtype=torch.float32)
    if not bool(((pixels >= 0) & (pixels <= 255)).all()):
        raise invalid("IMAGES", "numbers from 0 to 255", f"{path} with others", "scale them")
    pixels = pixels if float(pixels.max()) <= 1 else pixels / 255
    return pixels.reshape(-1, channels, size, size)


def _checked_row(row: list[str], values: list[float | None], length: int, where: str) -> list[float]:
    """The numbers of a row, if all cells are numbers and there are enough of them."""
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values):
        column = values.index(None)
        got = f"{where}: something that is no number in column {column + 1}, {row[column]!r}"
        raise invalid("IMAGES", f"rows of {length} numbers", got, "mend it")
    if len(numbers) != length:
        raise invalid("IMAGES", f"rows of {length} numbers", f"{where}: {len(numbers)} numbers", "mend it")
    return numbers


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
