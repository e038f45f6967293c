"""One entry point for files (GraphML by its ending, CSV as a folder of two tables or as a single edge list), and one
for files and shipped connectomes alike."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from elegans_gnn.connectome._core import Connectome
from elegans_gnn.connectome._csv import read_csv, write_csv
from elegans_gnn.connectome._files import MAX_BYTES, title_of
from elegans_gnn.connectome._graphml import read_graphml, write_graphml
from elegans_gnn.connectome._load import list_connectomes, load_connectome
from elegans_gnn.errors import ConnectomeFormatError, invalid, unknown_name

NEURONS, SYNAPSES = "neurons.csv", "synapses.csv"
_XML = (".graphml", ".xml")


def read_connectome(path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES) -> Connectome:
    """Read a connectome from a path.

    Args:
        path: a ``.graphml`` or ``.xml`` file (:func:`read_graphml`), a folder with ``neurons.csv`` and
            ``synapses.csv``, or a ``.csv`` edge list with the columns ``pre`` and ``post`` (:func:`read_csv`).
        max_bytes: refuse larger files before reading them.

    Raises:
        ConnectomeFormatError: with the file, the line and the remedy.
    """
    path = Path(path)
    if path.is_dir():
        return read_csv(path / NEURONS, path / SYNAPSES, max_bytes=max_bytes)
    if path.suffix.lower() in _XML:
        return read_graphml(path, max_bytes=max_bytes)
    if path.suffix.lower() == ".csv":
        return read_csv(None, path, name=title_of(path), max_bytes=max_bytes)
    remedy = f"name a {' or '.join(_XML)} file, a .csv edge list, or a folder with {NEURONS} and {SYNAPSES}"
    raise ConnectomeFormatError(path, "neither GraphML nor CSV by its name", remedy)


def open_connectome(
    name: str,
    *,
    include_unwired: bool = False,
    layers: str | Iterable[str] = (),
    max_bytes: int = MAX_BYTES,
    argument: str = "name",
) -> Connectome:
    """A connectome by its name, or from a path.

    Args:
        name: one of :func:`list_connectomes`, or else a path for :func:`read_connectome`: something that exists, or
            that looks like a path by its ending or its folders.
        include_unwired, layers: of a shipped connectome, see :func:`load_connectome`; of a file all neurons are kept,
            and its entries are its own.
        max_bytes: of a file, see :func:`read_connectome`.
        argument: what `name` is called in error messages.

    Raises:
        ValueError: neither a name nor a path, or layers beside a path.
        ConnectomeFormatError: a file that cannot be read.
    """
    if name in list_connectomes():
        return load_connectome(name, include_unwired=include_unwired, layers=layers)
    path = Path(name)
    if not (path.exists() or path.suffix or len(path.parts) > 1):
        raise unknown_name(argument, name, list_connectomes())
    if layers:
        raise invalid("layers", "of a shipped connectome", f"the file {name}", "put their entries into the file")
    return read_connectome(path, max_bytes=max_bytes)


def write_connectome(connectome: Connectome, path: str | os.PathLike[str], *, style: str = "plain") -> None:
    """Write a connectome as GraphML (by the ending ``.graphml`` or ``.xml``) or as a folder of two CSV tables.

    Args:
        connectome: the graph to write.
        path: the file, or the folder, which is made if it is missing.
        style: of GraphML, see :func:`write_graphml`.

    Raises:
        ValueError: the ending is of no known format.
    """
    path = Path(path)
    if path.suffix.lower() in _XML:
        write_graphml(connectome, path, style=style)
    elif path.suffix and not path.is_dir():
        expected = "a .graphml or .xml file, or a folder for CSV"
        raise invalid("path", expected, repr(str(path)), "drop the ending for CSV")
    else:
        path.mkdir(parents=True, exist_ok=True)
        write_csv(connectome, path / NEURONS, path / SYNAPSES)
