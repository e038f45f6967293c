"""Connectomes from pandas: a data frame of edges, with or without one of neurons, and Parquet files."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from elegans_gnn.connectome._attributes import joined
from elegans_gnn.connectome._columns import ENTRY_COLUMNS, NEURON_COLUMNS, Column
from elegans_gnn.connectome._headers import Attributes, table_columns
from elegans_gnn.errors import InvalidArgumentError, invalid, require

if TYPE_CHECKING:
    import pandas as pd


def read_columns(
    edges: pd.DataFrame, neurons: pd.DataFrame | None = None, *, attributes: Attributes | None = None, **options: Any
) -> dict[str, Any]:
    """The arguments of :meth:`Connectome.from_edges`; arguments and errors as in :meth:`Connectome.from_pandas`."""
    attributes = attributes or {}
    entries = _columns("edges", edges, ENTRY_COLUMNS, attributes, ("pre", "post"))
    about = None if neurons is None else _columns("neurons", neurons, NEURON_COLUMNS, attributes, ("name",))

    def refuse(what: str, row: int, problem: str, remedy: str) -> ValueError:
        return _refuse("edges" if what == "edge" else "neurons", f"row {row}: {problem}", remedy)

    return joined(entries, about, attributes, refuse, "the table of neurons", **options)


def parquet_columns(path: str | os.PathLike[str], **options: Any) -> dict[str, Any]:
    """The same from a Parquet file of edges."""
    require("pyarrow")
    try:
        edges = require("pandas").read_parquet(path, engine="pyarrow")
    except (OSError, ValueError) as error:  # what pyarrow raises for a file that is no Parquet
        raise invalid(
            "file", "a Parquet table", str(error).splitlines()[0], "write it with DataFrame.to_parquet"
        ) from error
    return read_columns(edges, **options)


def _columns(
    title: str, frame: pd.DataFrame, columns: tuple[Column, ...], attributes: Attributes, required: tuple[str, ...]
) -> dict[str, list[Any]]:
    """Our names -> plain values, None where there is none; a named index is a column too."""
    if not hasattr(frame, "iloc"):
        raise invalid(title, "a pandas DataFrame", type(frame).__name__, "build one, or use Connectome.from_edges")
    frame = frame.reset_index() if any(frame.index.names) else frame
    header = [str(name) for name in frame.columns]
    places = table_columns(header, columns, attributes, required, partial(_refuse, title))
    return {
        ours: [None if missing else value for value, missing in zip(column.tolist(), column.isna(), strict=True)]
        for ours, column in ((ours, frame.iloc[:, place]) for ours, place in places.items())
    }


def _refuse(title: str, problem: str, remedy: str) -> ValueError:
    return InvalidArgumentError(f"table {title!r}: {problem}; {remedy}")
