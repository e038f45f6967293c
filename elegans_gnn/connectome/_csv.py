"""Connectomes as two CSV tables, neurons and synapses: the format of the bundled data and of users' own graphs.

A table is read in batches, so that memory stays small. An error says the line.
"""

from __future__ import annotations

import csv
import io
import os
import re
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from elegans_gnn.connectome._columns import ENTRY_COLUMNS, NEURON_COLUMNS, Columns, first_repeat
from elegans_gnn.connectome._files import MAX_BYTES, checked_head, undecodable_line
from elegans_gnn.connectome._values import natural_key, parse_count
from elegans_gnn.errors import ConnectomeFormatError, invalid

Parser = Callable[[str], Any]
_BY_ATTRIBUTE = {column.attribute: column for column in NEURON_COLUMNS}
# The bundled tables have the class before the role.
NEURON_FIELDS = {key: _BY_ATTRIBUTE[key] for key in dict.fromkeys(("name", "class", *_BY_ATTRIBUTE))}
SYNAPSE_FIELDS = {column.attribute: column for column in ENTRY_COLUMNS}
_UNWRITABLE = re.compile("[\x00\ud800-\udfff]")
_BATCH = 256  # fewer rows than make the garbage collector walk a process that has torch loaded


def read_columns(
    neurons: str | os.PathLike[str] | None, synapses: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES
) -> dict[str, Any]:
    """The arguments of :meth:`Connectome.from_edges`, without a title; arguments and errors as in :func:`read_csv`."""
    columns = {} if neurons is None else _read_neurons(Path(neurons), max_bytes)
    return _read_synapses(Path(synapses), columns.get("names"), neurons, max_bytes) | columns


def write_csv(connectome: Columns, neurons: str | os.PathLike[str], synapses: str | os.PathLike[str]) -> None:
    """Write the two tables that :func:`read_csv` reads; weights, if any, with all their digits.

    ``visit_rank`` is written where it is not the order of the rows. The title and the source note are not written:
    they are arguments of :func:`read_csv`.
    """
    rows = {key: getattr(connectome, column.field).tolist() for key, column in NEURON_FIELDS.items()}
    if rows["visit_rank"] == list(range(connectome.num_neurons)):
        del rows["visit_rank"]
    _write(neurons, rows)
    entries = {key: getattr(connectome, column.field) for key, column in SYNAPSE_FIELDS.items()}
    entries |= {end: connectome.names[entries[end]] for end in ("pre", "post")}
    _write(synapses, {key: values.tolist() for key, values in entries.items() if values is not None})


def _write(path: str | os.PathLike[str], columns: Mapping[str, list[Any]]) -> None:
    rows = list(zip(*columns.values(), strict=True))
    # The csv module leaves a bare carriage return unquoted, which would be read back as the end of the row.
    returns = any("\r" in cell for row in rows for cell in row if isinstance(cell, str))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL)
    writer.writerow(columns)
    writer.writerows(rows)
    unwritable = _UNWRITABLE.search(text.getvalue())
    if unwritable:
        raise invalid("text", "writable as UTF-8 text", f"U+{ord(unwritable[0]):04X} in a name or a note", "rename it")
    Path(path).write_bytes(text.getvalue().encode("utf-8"))


def _read_neurons(path: Path, max_bytes: int) -> dict[str, Any]:
    with open_table(path, required=("name",), known=tuple(NEURON_FIELDS), max_bytes=max_bytes) as table:
        values = table.read({field: (NEURON_FIELDS[field].parse, []) for field in table.fields})
        seen: set[str] = set()
        for row, label in enumerate(values["name"]):
            if label in seen:
                raise table.error(row, f"neuron {label!r} appears twice", "give every neuron its own name")
            seen.add(label)
    read = {NEURON_FIELDS[field].field: np.array(column) for field, column in values.items()}
    return read | {"names": np.array(values["name"], dtype=np.str_)}


class _Codes(dict[str, int]):
    """Integers for texts, all texts or only known ones; a lookup runs at the speed of a dict."""

    def __init__(self, what: str, known: Sequence[str] | None = None, table: str = "") -> None:
        super().__init__({} if known is None else {text: code for code, text in enumerate(known)})
        self._what, self._closed, self._table = what, known is not None, table

    def __missing__(self, text: str) -> int:
        if self._closed:
            raise ValueError(f"{text!r} is not a neuron of {self._table}")
        if not text:
            raise ValueError(f"{self._what} without a name")
        return self.setdefault(text, len(self))


class _Counts(dict[str, int]):
    """Counts by their text: few different ones fill a long column."""

    def __missing__(self, text: str) -> int:
        return self.setdefault(text, parse_count(text))


def _read_synapses(
    path: Path, names: NDArray[np.str_] | None, neurons: str | os.PathLike[str] | None, max_bytes: int
) -> dict[str, Any]:
    known = None if names is None else names.tolist()
    position = _Codes("a neuron", known, Path(neurons or "").name)
    kind_of = _Codes("a kind")
    parsers: dict[str, Parser] = {
        "pre": position.__getitem__,
        "post": position.__getitem__,
        "kind": kind_of.__getitem__,
        "count": _Counts().__getitem__,
        "weight": SYNAPSE_FIELDS["weight"].parse,
    }
    with open_table(path, required=("pre", "post"), known=tuple(SYNAPSE_FIELDS), max_bytes=max_bytes) as table:
        columns = table.read(
            {field: (parsers[field], array("d" if field == "weight" else "q")) for field in table.fields}
        )
        read = {field: np.asarray(column) for field, column in columns.items()}
    if names is None:
        labels = list(position)
        order = sorted(range(len(labels)), key=lambda row: natural_key(labels[row]))
        rank = np.empty(len(labels), dtype=np.int64)
        rank[order] = np.arange(len(labels))
        read |= {"pre": rank[read["pre"]], "post": rank[read["post"]]}
        names = np.array([labels[row] for row in order], dtype=np.str_)
    repeat = first_repeat(*(read[key] for key in ("pre", "post", "kind") if key in read))
    if repeat is not None:
        raise table.error(repeat, "this entry appears twice", "add up the counts of equal (pre, post, kind)")
    return {
        "names": names,
        "pre": read["pre"],
        "post": read["post"],
        "kinds": np.array([*kind_of], dtype=np.str_)[read["kind"]] if kind_of else "chemical",
        "counts": read.get("count", 1),
        "weights": read.get("weight"),
    }


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
