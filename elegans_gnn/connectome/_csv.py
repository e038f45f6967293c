"""Connectomes as two CSV tables, neurons and synapses: the format of the shipped data and of users' own graphs."""

from __future__ import annotations

import csv
import io
import os
import re
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elegans_gnn.connectome._core import Connectome, natural_key
from elegans_gnn.connectome._csv_table import Parser, Table, open_table
from elegans_gnn.connectome._files import MAX_BYTES
from elegans_gnn.connectome._validate import ROLES
from elegans_gnn.errors import ConnectomeFormatError, invalid

NEURON_FIELDS = {
    "name": "names",
    "class": "classes",
    "role": "roles",
    "side": "sides",
    "transmitter": "transmitters",
    "sex": "sexes",
    "visit_rank": "visit_rank",
}
SYNAPSE_FIELDS = ("pre", "post", "kind", "count", "weight")
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")  # int() alone also takes 1_000 and digits of other scripts
_UNWRITABLE = re.compile("[\x00\ud800-\udfff]")


def read_csv(
    neurons: str | os.PathLike[str] | None,
    synapses: str | os.PathLike[str],
    *,
    name: str | None = None,
    source: str = "",
    max_bytes: int = MAX_BYTES,
) -> Connectome:
    """Read a connectome from two tables (UTF-8, comma-separated, the first line naming the columns).

    Args:
        neurons: file with the columns ``name`` and, optional, ``class``, ``role``, ``side``, ``transmitter``, ``sex``,
            ``visit_rank``. Its order of rows becomes the order of the neuron axis. ``None``: the neurons are those
            that the synapses name, in natural order.
        synapses: file with the columns ``pre``, ``post`` and, optional, ``kind`` (default chemical), ``count``
            (default 1) and ``weight``.
        name: title of the graph; the name of the folder if not given.
        source: paper, DOI, licence.
        max_bytes: refuse larger files before reading them.

    Raises:
        ConnectomeFormatError: with the file, the line and the remedy.
    """
    columns = {} if neurons is None else _read_neurons(Path(neurons), max_bytes)
    entries = _read_synapses(Path(synapses), columns.get("names"), neurons, max_bytes)
    try:
        return Connectome.from_edges(
            name=name if name is not None else Path(synapses).resolve().parent.name,
            source=source,
            **(entries | columns),
        )
    except ValueError as error:  # what no single row shows, such as a gap junction without its other direction
        raise ConnectomeFormatError(synapses, str(error), "correct the table") from error


def write_csv(connectome: Connectome, neurons: str | os.PathLike[str], synapses: str | os.PathLike[str]) -> None:
    """Write the two tables that :func:`read_csv` reads; weights, if any, with all their digits.

    ``visit_rank`` is written where it is not the order of the rows. The title and the source note are not written:
    they are arguments of :func:`read_csv`.
    """
    fields = dict(NEURON_FIELDS)
    if np.array_equal(connectome.visit_rank, np.arange(connectome.num_neurons)):
        del fields["visit_rank"]
    _write(neurons, list(fields), [getattr(connectome, column).tolist() for column in fields.values()])
    label = connectome.names
    columns: list[list[Any]] = [
        label[connectome.pre].tolist(),
        label[connectome.post].tolist(),
        connectome.kinds.tolist(),
        connectome.counts.tolist(),
    ]
    if connectome.weights is not None:
        columns.append([repr(weight) for weight in connectome.weights.tolist()])
    _write(synapses, list(SYNAPSE_FIELDS[: len(columns)]), columns)


def _write(path: str | os.PathLike[str], fields: list[str], columns: list[list[Any]]) -> None:
    rows = list(zip(*columns, strict=True))
    # The csv module leaves a bare carriage return unquoted, which would be read back as the end of the row.
    returns = any("\r" in cell for row in rows for cell in row if isinstance(cell, str))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL if returns else csv.QUOTE_MINIMAL)
    writer.writerow(fields)
    writer.writerows(rows)
    unwritable = _UNWRITABLE.search(text.getvalue())
    if unwritable:
        raise invalid("text", "writable as UTF-8 text", f"U+{ord(unwritable[0]):04X} in a name or a note", "rename it")
    Path(path).write_bytes(text.getvalue().encode("utf-8"))


def _read_neurons(path: Path, max_bytes: int) -> dict[str, Any]:
    parsers: dict[str, Parser] = {"name": _label, "role": _role, "visit_rank": _count}
    with open_table(path, required=("name",), known=tuple(NEURON_FIELDS), max_bytes=max_bytes) as table:
        values = table.read({field: (parsers.get(field, str), []) for field in table.fields})
        seen: set[str] = set()
        for row, label in enumerate(values["name"]):
            if label in seen:
                raise table.error(row, f"neuron {label!r} stands twice", "give every neuron a name of its own")
            seen.add(label)
    return {NEURON_FIELDS[field]: np.array(column) for field, column in values.items()} | {
        "names": np.array(values["name"], dtype=np.str_)
    }


class _Codes(dict[str, int]):
    """Integers for texts, given out as new texts come, or only for known ones; a lookup runs at the speed of a dict."""

    def __init__(self, what: str, known: Sequence[str] | None = None, table: str = "") -> None:
        super().__init__({} if known is None else {text: code for code, text in enumerate(known)})
        self._what, self._closed, self._table = what, known is not None, table

    def __missing__(self, text: str) -> int:
        if self._closed:
            raise ValueError(f"{text!r} is no neuron of {self._table}")
        if not text:
            raise ValueError(f"{self._what} without a name")
        return self.setdefault(text, len(self))


class _Counts(dict[str, int]):
    """Counts by their text: few different ones fill a long column."""

    def __missing__(self, text: str) -> int:
        return self.setdefault(text, _count(text))


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
        "weight": _weight,
    }
    with open_table(path, required=("pre", "post"), known=SYNAPSE_FIELDS, max_bytes=max_bytes) as table:
        columns = table.read(
            {field: (parsers[field], array("d" if field == "weight" else "q")) for field in table.fields}
        )
        read = {field: np.asarray(column) for field, column in columns.items()}
        _refuse_repeats(table, [read[field] for field in ("pre", "post", "kind") if field in read])
    if names is None:
        labels = list(position)
        order = sorted(range(len(labels)), key=lambda row: natural_key(labels[row]))
        rank = np.empty(len(labels), dtype=np.int64)
        rank[order] = np.arange(len(labels))
        read |= {"pre": rank[read["pre"]], "post": rank[read["post"]]}
        names = np.array([labels[row] for row in order], dtype=np.str_)
    return {
        "names": names,
        "pre": read["pre"],
        "post": read["post"],
        "kinds": np.array([*kind_of], dtype=np.str_)[read["kind"]] if kind_of else "chemical",
        "counts": read.get("count", 1),
        "weights": read.get("weight"),
    }


def _refuse_repeats(table: Table, keys: list[NDArray[np.int64]]) -> None:
    order = np.lexsort(keys)  # stable: of equal entries the later row comes later
    equal = np.logical_and.reduce([key[order][1:] == key[order][:-1] for key in keys])
    if equal.any():
        row = int(order[1:][equal].min())
        raise table.error(row, "this entry stands twice", "add up the counts of equal (pre, post, kind)")


def _label(text: str) -> str:
    if not text:
        raise ValueError("a neuron without a name")
    return text


def _role(text: str) -> str:
    if text not in ROLES:
        raise ValueError(f"role {text!r} is none of {', '.join(ROLES)}")
    return text


def _count(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError(f"{text!r} is not an integer")
    count = int(text)
    if count < 0:
        raise ValueError(f"{count} is negative")
    return count


def _weight(text: str) -> float:
    if "_" in text:
        raise ValueError(f"{text!r} is not a number")  # float() takes 1_000 for 1000
    weight = float(text)
    if not np.isfinite(weight):
        raise ValueError(f"{text!r} is not finite")
    return weight
