"""Users' own pictures as numbers: CSV files with one picture a row."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import torch
from torch import Tensor

from elegans_gnn.errors import invalid

TABLE_ENDINGS = (".csv", ".tsv", ".txt")
_COLOURS = 3
# Scikit-learn's digits go up to 16; such numbers may also come from a dark picture with 256 greys.
_DARK = 16
_BYTE = 255
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", " ": "spaces"}
_SHOWN = 20  # characters of a bad cell that a message shows


def read_table(path: Path, channels: int, size: int, white: float | None) -> Tensor:
    """Pictures in 0..1, [M, channels, size, size], see :func:`elegans_gnn.datasets.read_images`."""
    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    rows: list[list[float]] = []
    headed = False
    try:
        # A spreadsheet's byte-order mark would spoil the first number.
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=separator)
            for row in filter(None, reader):
                found = channels or (_COLOURS if len(row) == _COLOURS * size * size else 1)
                length = found * size * size
                values = [_number(cell) for cell in row]
                where = f"{path}, line {reader.line_num}"
                _check_separator(row, values, length, separator, where)
                if not rows and not headed and not any(value is not None for value in values):
                    headed = True
                    continue
                channels = found
                rows.append(_checked_row(row, values, length, where))
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise invalid("IMAGES", "a CSV file of numbers", f"{path}: {error}", "save it again") from error
    if not rows:
        length = (channels or 1) * size * size
        raise invalid("IMAGES", f"rows of {length} numbers", f"{path}, which has none", "give one picture a row")
    return _scaled(torch.tensor(rows, dtype=torch.float32), white, path).reshape(-1, channels, size, size)


def _scaled(values: Tensor, white: float | None, path: Path) -> Tensor:
    """The numbers as shares of white, which is given or, where only one value is possible, inferred."""
    largest = _BYTE if white is None else white
    if not bool(((values >= 0) & (values <= largest)).all()):
        remedy = "scale them, or say what white is: --white NUMBER"
        raise invalid("IMAGES", f"numbers from 0 to {largest:g}", f"{path} with others", remedy)
    if white is not None:
        return values / white
    most = float(values.max())
    if 1 < most <= _DARK:
        expected = f"numbers up to 1, or some above {_DARK}, since otherwise white may be {_DARK} or {_BYTE}"
        remedy = f"say which it is: --white {_DARK} for scikit-learn's digits, --white {_BYTE} for a dark picture"
        raise invalid("IMAGES", expected, f"{path} with {most:g} at most", remedy)
    return values if most <= 1 else values / _BYTE


def check_white(white: float | None) -> None:
    """Refuse a value that cannot be white."""
    if white is not None and not 0 < white < math.inf:
        raise invalid("--white", "above 0", f"{white:g}", "use 255, 16 or 1, whichever number is white in the file")


def _check_separator(row: list[str], values: list[float | None], length: int, separator: str, where: str) -> None:
    """Refuse a row whose numbers have another separator, and name it."""
    for cell, value in zip(row, values, strict=True):
        for other, name in _SEPARATORS.items():
            numbers = [_number(part) for part in cell.split(other)] if value is None and other != separator else []
            if sum(number is not None for number in numbers) > 1:
                expected = f"rows of {length} numbers with {_SEPARATORS[separator]} between them"
                remedy = "name it .tsv" if other == "\t" else f"save it with {_SEPARATORS[separator]}"
                raise invalid("IMAGES", expected, f"{where}, with {name}", remedy)


def _checked_row(row: list[str], values: list[float | None], length: int, where: str) -> list[float]:
    """The numbers of a row, if every cell is a number and their count is right."""
    numbers = [value for value in values if value is not None]
    if len(numbers) < len(values):
        column = values.index(None)
        cell = row[column] if len(row[column]) <= _SHOWN else row[column][:_SHOWN] + "..."
        got = f"{where}: column {column + 1} is not a number: {cell!r}"
        raise invalid("IMAGES", f"rows of {length} numbers", got, "fix it")
    if len(numbers) != length:
        raise invalid("IMAGES", f"rows of {length} numbers", f"{where}: {len(numbers)} numbers", "fix it")
    return numbers


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None
