"""Connectomes from pandas: a data frame of edges, with or without one of neurons, and Parquet files."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any

from elegans_gnn.connectome import _attributes
from elegans_gnn.connectome._columns import ENTRY_COLUMNS, NEURON_COLUMNS, Column
from elegans_gnn.connectome._headers import Attributes, table_columns
from elegans_gnn.connectome._values import natural_key
from elegans_gnn.errors import InvalidArgumentError, invalid, require

if TYPE_CHECKING:
    import pandas as pd


def read_columns(
    edges: pd.DataFrame, neurons: pd.DataFrame | None = None, *, attributes: Attributes | None = None, **options: Any
) -> dict[str, Any]:
    """The arguments of :meth:`Connectome.from_edges`; arguments and errors as in :meth:`Connectome.from_pandas`."""
    attributes = attributes or {}
    _attributes.check_options(attributes, "refuse", ("pre", "post", *_attributes.ASSIGNABLE))
    values = _columns("edges", edges, ENTRY_COLUMNS, attributes, ("pre", "post"))
    about = {} if neurons is None else _columns("neurons", neurons, NEURON_COLUMNS, attributes, ("name",))
    ends = [[_label(end) for end in values.pop(key)] for key in ("pre", "post")]
    names = (
        [_label(name) for name in about.pop("name")]
        if neurons is not None
        else sorted({*ends[0], *ends[1]}, key=natural_key)
    )
    position = {name: row for row, name in enumerate(names)}
    for key, column in zip(("pre", "post"), ends, strict=True):
        for row, name in enumerate(column):
            if name not in position:
                raise _refuse("edges", f"row {row}, {key}: {name!r} is not in the table of neurons", "add it there")
    pairs = [(position[u], position[v]) for u, v in zip(*ends, strict=True)]
    table = _attributes.table_in_memory({}, names, pairs, directed=True, nodes=about, edges=values)
    # What was assigned here keeps its meaning: a column that was chosen as the weight never becomes the count.
    chosen: Attributes = {ours: ours for ours in attributes if ours in values or ours in about}
    return _attributes.read_columns(table, attributes=chosen, **options)


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
    own = {column.attribute for column in columns}
    chosen = {ours: theirs for ours, theirs in attributes.items() if ours in own}
    header = [str(name) for name in frame.columns]
    places = table_columns(header, columns, chosen, required, partial(_refuse, title))
    return {
        ours: [None if missing else value for value, missing in zip(column.tolist(), column.isna(), strict=True)]
        for ours, column in ((ours, frame.iloc[:, place]) for ours, place in places.items())
    }


def _label(value: Any) -> str:
    """A name as text: 3.0, which pandas makes of 3 in a column with gaps, is 3; a gap is no name."""
    if value is None or value == "":
        raise invalid("names of neurons", "given in every row", "an empty one", "fill it in or drop the row")
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _refuse(title: str, problem: str, remedy: str) -> ValueError:
    return InvalidArgumentError(f"table {title!r}: {problem}; {remedy}")
