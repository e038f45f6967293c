"""Connectomes as two CSV tables, neurons and synapses: the format of the bundled data and of users' own graphs.

A table is read in batches, so that memory stays small. An error says the line.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from elegans_gnn.connectome._attributes import joined
from elegans_gnn.connectome._columns import ENTRY_COLUMNS, NEURON_COLUMNS, Column, Columns
from elegans_gnn.connectome._files import MAX_BYTES, checked_head, undecodable_line
from elegans_gnn.connectome._headers import Attributes, table_columns
from elegans_gnn.errors import ConnectomeFormatError, invalid

_BY_ATTRIBUTE = {column.attribute: column for column in NEURON_COLUMNS}
# The bundled tables have the class before the role.
NEURON_FIELDS = {key: _BY_ATTRIBUTE[key] for key in dict.fromkeys(("name", "class", *_BY_ATTRIBUTE))}
SYNAPSE_FIELDS = {column.attribute: column for column in ENTRY_COLUMNS}
_UNWRITABLE = re.compile("[\x00\ud800-\udfff]")
_BATCH = 256  # fewer rows than make the garbage collector walk a process that has torch loaded


def read_columns(
    neurons: str | os.PathLike[str] | None,
    synapses: str | os.PathLike[str],
    *,
    max_bytes: int = MAX_BYTES,
    attributes: Attributes | None = None,
    **options: Any,
) -> dict[str, Any]:
    """The arguments of :meth:`Connectome.from_edges`, without a title; arguments and errors as in :func:`read_csv`."""
    paths = {"node": Path(neurons or ""), "edge": Path(synapses)}

    def refuse(what: str, row: int, problem: str, remedy: str) -> ConnectomeFormatError:
        return ConnectomeFormatError(paths[what], problem, remedy, line=_line_of(paths[what], row))

    read = partial(_read, attributes=attributes or {}, max_bytes=max_bytes)
    about = None if neurons is None else read(paths["node"], [*NEURON_FIELDS.values()], ("name",))
    entries = read(paths["edge"], ENTRY_COLUMNS, ("pre", "post"))
    return joined(entries, about, attributes or {}, refuse, paths["node"].name, **options)


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


def _read(
    path: Path, known: Sequence[Column], required: Sequence[str], *, attributes: Attributes, max_bytes: int
) -> dict[str, list[str]]:
    """Our names -> the texts of the rows."""
    head = checked_head(path, max_bytes)
    if b"\0" in head:
        raise ConnectomeFormatError(path, "NUL bytes: a binary file or UTF-16 text", "save it as UTF-8 text", line=1)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise ConnectomeFormatError(path, "this is XML, not CSV", "read GraphML with read_graphml", line=1)
    reader = None
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            header = next(reader, [])
            _check_separator(path, header)
            places = table_columns(header, known, attributes, required, partial(ConnectomeFormatError, path, line=1))
            columns: dict[str, list[str]] = {ours: [] for ours in places}
            shared: dict[str, str] = {}  # few different texts fill a long column
            done = 0
            while batch := list(islice(reader, _BATCH)):
                rows = [row for row in batch if row]  # csv gives an empty list for a blank line
                for row in rows:
                    if len(row) != len(header):
                        problem = f"{len(row)} cells where the header has {len(header)}"
                        line = _line_of(path, done + rows.index(row))
                        raise ConnectomeFormatError(path, problem, "give one cell per column", line=line)
                for ours, place in places.items():
                    columns[ours].extend(shared.setdefault(row[place], row[place]) for row in rows)
                done += len(rows)
    except UnicodeDecodeError as error:
        at = undecodable_line(path)
        raise ConnectomeFormatError(path, "not UTF-8 text", "save it as UTF-8", line=at) from error
    except csv.Error as error:
        line = reader.line_num if reader is not None else 1
        raise ConnectomeFormatError(path, str(error), "save it as plain CSV", line=line) from error
    return columns


def _check_separator(path: Path, header: list[str]) -> None:
    for separator, called in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and separator in header[0]:
            remedy = f"save it with commas, or pass pandas.read_csv(path, sep={separator!r}) to Connectome.from_pandas"
            raise ConnectomeFormatError(path, f"the columns are separated by {called}", remedy, line=1)


def _line_of(path: Path, row: int) -> int:
    """Read the file again up to a row, counted from 0 after the header: only an error needs its line."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        next(reader)
        next(islice(filter(None, reader), row, None))
        return reader.line_num
