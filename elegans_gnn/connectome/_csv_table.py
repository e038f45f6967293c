"""A CSV file as typed columns: read in batches, so that memory stays small, with the line of whatever is wrong."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from elegans_gnn.connectome._files import checked_head, undecodable_line
from elegans_gnn.errors import ConnectomeFormatError

Parser = Callable[[str], Any]
_BATCH = 256  # fewer rows than make the garbage collector walk a process that has torch loaded


class Table:
    """The rows after the header; made by :func:`open_table`."""

    def __init__(self, path: Path, file: TextIO, required: tuple[str, ...], known: tuple[str, ...]) -> None:
        self.path = path
        self._reader = csv.reader(file, strict=True)
        self.fields = next(self._reader, [])
        remedy = f"the first line must name columns among {', '.join(known)}"
        for field in required:
            if field not in self.fields:
                raise ConnectomeFormatError(path, f"column {field!r} is missing", remedy, line=1)
        for field in self.fields:
            if field not in known or self.fields.count(field) > 1:
                raise ConnectomeFormatError(path, f"column {field!r} is unknown or repeated", remedy, line=1)

    def read(self, columns: Mapping[str, tuple[Parser, Any]]) -> dict[str, Any]:
        """Parse every cell and append it to the container (list or array) of its column; returns the containers."""
        width, done = len(self.fields), 0
        plan = [(self.fields.index(field), parse, values) for field, (parse, values) in columns.items()]
        while batch := list(islice(self._reader, _BATCH)):
            rows = [row for row in batch if row]  # csv gives an empty list for a blank line
            try:
                if not set(map(len, rows)) <= {width}:
                    raise ValueError("rows of unequal length")
                cells = list(zip(*rows, strict=True))
                for at, parse, values in plan if rows else ():
                    values.extend(map(parse, cells[at]))
            except ValueError:
                self._raise_first(rows, done, columns)  # the batch again, row by row
                raise
            done += len(rows)
        return {field: values for field, (_, values) in columns.items()}

    def error(self, row: int, problem: str, remedy: str) -> ConnectomeFormatError:
        """The error about a row, counted from 0 after the header."""
        return ConnectomeFormatError(self.path, problem, remedy, line=self._line_of(row))

    @property
    def line_read(self) -> int:
        """The last line that was taken from the file."""
        return self._reader.line_num

    def _raise_first(self, rows: list[list[str]], done: int, columns: Mapping[str, tuple[Parser, Any]]) -> None:
        for row, cells in enumerate(rows, start=done):
            if len(cells) != len(self.fields):
                problem = f"{len(cells)} cells where the header has {len(self.fields)}"
                raise self.error(row, problem, "give one cell per column")
            for field, text in zip(self.fields, cells, strict=True):
                try:
                    columns[field][0](text)
                except ValueError as error:
                    raise self.error(row, f"column {field!r}: {error}", "correct or drop the row") from error

    def _line_of(self, row: int) -> int:
        """Read the file again up to the row: only an error needs its line."""
        with self.path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            next(reader)
            next(islice(filter(None, reader), row, None))
            return reader.line_num


@contextmanager
def open_table(path: Path, *, required: tuple[str, ...], known: tuple[str, ...], max_bytes: int) -> Iterator[Table]:
    """Open a CSV file whose header has the required columns and only known ones.

    Raises:
        ConnectomeFormatError: with the line, here and while the table is read.
    """
    head = checked_head(path, max_bytes)
    if b"\0" in head:
        raise ConnectomeFormatError(path, "NUL bytes: a binary file or UTF-16 text", "save it as UTF-8 text", line=1)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise ConnectomeFormatError(path, "this is XML, not CSV", "read GraphML with read_graphml", line=1)
    table = None
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = Table(path, file, required, known)
            yield table
    except UnicodeDecodeError as error:
        line = undecodable_line(path)
        raise ConnectomeFormatError(path, "not UTF-8 text", "save it as UTF-8", line=line) from error
    except csv.Error as error:
        line = table.line_read if table is not None else 1
        raise ConnectomeFormatError(path, str(error), "save it as plain CSV", line=line) from error
