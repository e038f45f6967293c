"""Connectomes by name or from files: the bundled ones, GraphML, CSV, Parquet and node-link JSON."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from elegans_gnn._paths import data_folder
from elegans_gnn._text import read_json
from elegans_gnn.connectome import _csv, _frames, _graphml, _graphs
from elegans_gnn.connectome._columns import entry_columns, in_order, take
from elegans_gnn.connectome._core import Connectome
from elegans_gnn.connectome._files import MAX_BYTES, checked_head, title_of
from elegans_gnn.connectome._headers import Options
from elegans_gnn.errors import ConnectomeFormatError, invalid, unknown_name

NEURONS, SYNAPSES = "neurons.csv", "synapses.csv"
_XML = (".graphml", ".xml")
_READERS = {".json": _graphs.node_link_columns, ".parquet": _frames.parquet_columns}


def read_csv(
    neurons: str | os.PathLike[str] | None,
    synapses: str | os.PathLike[str],
    *,
    name: str | None = None,
    source: str = "",
    max_bytes: int = MAX_BYTES,
    **options: Unpack[Options],
) -> Connectome:
    """Read a connectome from two CSV tables (UTF-8, separated by commas; the first line names the columns).

    The columns and what they hold are those of :meth:`Connectome.from_pandas`.

    Args:
        neurons: file with one row per neuron, which are in the order of the neuron axis. ``None``: the neurons are
            those that the synapses name, in natural order.
        synapses: file with one row per entry.
        name: title of the graph; the name of the folder if not given.
        source: paper, DOI, licence.
        max_bytes: refuse larger files before reading them.
        attributes, kind, parallel, roles: as in :meth:`Connectome.from_pandas`.

    Raises:
        ConnectomeFormatError: with the file, the line and the remedy.
    """
    columns = _csv.read_columns(neurons, synapses, max_bytes=max_bytes, **options)
    title = name if name is not None else Path(synapses).resolve().parent.name
    return _built(synapses, "correct the table", lambda: columns | {"name": title, "source": source})


def read_graphml(
    path: str | os.PathLike[str], *, name: str | None = None, max_bytes: int = MAX_BYTES, **options: Unpack[Options]
) -> Connectome:
    """Read a connectome from GraphML; the order of the nodes becomes the neuron axis.

    The attributes show which of two conventions a file follows. *Plain*: those of :meth:`Connectome.from_networkx`.
    *Elegans-AI*, the file that the authors of Elegans-AI publish: nodes have ``cell_name`` (DD06 is read as DD6) and
    ``role`` S, M or NA (inter); edges have ``synapse_type`` C or E and ``weight``, a number of synapses, which becomes
    the counts.

    Args:
        path: the file. Entities and external references are refused; nothing is fetched.
        name: title of the result; by default the title in the file, else the file's name.
        max_bytes: refuse larger files before reading them.
        attributes, kind, parallel, roles: as in :meth:`Connectome.from_networkx`.

    Raises:
        ConnectomeFormatError: with the file, the line and the remedy.
    """
    columns = _graphml.read_columns(Path(path), name=name, max_bytes=max_bytes, **options)
    return _built(path, "correct the graph", lambda: columns)


def _built(path: str | os.PathLike[str], remedy: str, read: Callable[[], dict[str, Any]]) -> Connectome:
    try:
        return Connectome.from_edges(**read())
    except ValueError as error:  # what no single row shows, such as a gap junction unlike its other direction
        raise ConnectomeFormatError(path, str(error), remedy) from error


def read_connectome(
    path: str | os.PathLike[str], *, max_bytes: int = MAX_BYTES, **options: Unpack[Options]
) -> Connectome:
    """Read a connectome from a path.

    Args:
        path: a ``.graphml`` or ``.xml`` file (:func:`read_graphml`), a folder with ``neurons.csv`` and
            ``synapses.csv``, a ``.csv`` (:func:`read_csv`) or ``.parquet`` table of edges (read by pandas), or the
            ``.json`` of ``networkx.node_link_data``.
        max_bytes: refuse larger files before reading them.
        attributes, kind, parallel, roles: as in :meth:`Connectome.from_pandas` and :meth:`Connectome.from_networkx`.

    Raises:
        ConnectomeFormatError: with the file, and where it is known the line, and the remedy.
    """
    path = Path(path)
    ending = path.suffix.lower()
    if path.is_dir():
        return read_csv(path / NEURONS, path / SYNAPSES, max_bytes=max_bytes, **options)
    if ending in _XML:
        return read_graphml(path, max_bytes=max_bytes, **options)
    if ending == ".csv":
        return read_csv(None, path, name=title_of(path), max_bytes=max_bytes, **options)
    checked_head(path, max_bytes)
    if ending in _READERS:
        read = partial(_READERS[ending], path, **options)
        return _built(
            path, "correct the file", lambda: {**(columns := read()), "name": columns["name"] or title_of(path)}
        )
    remedy = f"pass a {', '.join((*_XML, '.csv', *_READERS))} file, or a folder with {NEURONS} and {SYNAPSES}"
    raise ConnectomeFormatError(path, "no known format by its name", remedy)


def write_connectome(connectome: Connectome, path: str | os.PathLike[str], *, style: str = "plain") -> None:
    """Write a connectome as GraphML (by the ending ``.graphml`` or ``.xml``) or as a folder of two CSV tables.

    Args:
        connectome: the graph to write.
        path: the file, or the folder, which is created if it is missing.
        style: the GraphML style, see :func:`write_graphml`.

    Raises:
        ValueError: the ending belongs to no known format.
    """
    path = Path(path)
    if path.suffix.lower() in _XML:
        _graphml.write_graphml(connectome, path, style=style)
    elif path.suffix and not path.is_dir():
        expected = "a .graphml or .xml file, or a folder for CSV"
        raise invalid("path", expected, repr(str(path)), "drop the ending for CSV")
    else:
        path.mkdir(parents=True, exist_ok=True)
        _csv.write_csv(connectome, path / NEURONS, path / SYNAPSES)


@cache
def _index() -> dict[str, Any]:
    index: dict[str, Any] = read_json(data_folder() / "datasets.json", "data", remedy="install the package again")
    return index


def dataset_table() -> dict[str, dict[str, Any]]:
    """Each bundled connectome in `data/datasets.json`: paper, DOI, licence, counts, checksums."""
    table: dict[str, dict[str, Any]] = _index()["datasets"]
    return table


def layer_table() -> dict[str, dict[str, Any]]:
    """Each bundled extrasynaptic layer in `data/datasets.json`."""
    table: dict[str, dict[str, Any]] = _index()["layers"]
    return table


def list_connectomes() -> tuple[str, ...]:
    """Names that :func:`load_connectome` takes."""
    return tuple(dataset_table())


def list_layers() -> tuple[str, ...]:
    """Names that the argument `layers` of :func:`load_connectome` takes."""
    return tuple(layer_table())


def load_connectome(
    name: str | os.PathLike[str],
    *,
    include_unwired: bool = False,
    layers: str | Iterable[str] = (),
    max_bytes: int = MAX_BYTES,
    argument: str = "name",
    **options: Unpack[Options],
) -> Connectome:
    """Load a published connectome that is bundled with the package, or your own from a path.

    Args:
        name: one of :func:`list_connectomes`, such as ``"varshney2011"``, or a path for :func:`read_connectome`:
            anything that exists, has an ending, or is inside a folder.
        include_unwired: keep the neurons that the source lists but that have no synapse. From a path all are kept.
        layers: extrasynaptic layers of :func:`list_layers` to add, such as ``"monoamine"``; each becomes a further
            kind. The neuron axis is the same with and without layers: the connectome's own synapses decide which
            neurons are kept, and of a layer the entries between kept neurons are added. The layers describe the adult
            hermaphrodite.
        max_bytes: for a path: refuse larger files before reading them.
        argument: the name of the first argument in error messages.
        attributes, kind, parallel, roles: for a path, see :func:`read_connectome`.

    Returns:
        The connectome; a bundled one in canonical order: neurons by natural order of their names, entries by
        (pre, post, kind).

    Raises:
        ValueError: neither a name nor a path (the message lists the names and the nearest one), an unknown layer, or an
            option that has no effect on this name or path.
        ConnectomeFormatError: the file cannot be read.
    """
    if not isinstance(name, str | os.PathLike) or not os.fspath(name):
        raise invalid(argument, "a name or a path", repr(name)[:60], "such as 'varshney2011' or 'edges.csv'")
    table, path = dataset_table(), Path(name)
    if name not in table:
        if not (path.exists() or path.suffix or len(path.parts) > 1):
            raise unknown_name(argument, str(name), table, f"the path of a file, such as {name}.csv")
        if layers:
            got, remedy = f"the file {path}", "add their entries to the file"
            raise invalid("layers", "used with a bundled connectome", got, remedy)
        return read_connectome(path, max_bytes=max_bytes, **options)
    for option in options:
        raise invalid(option, "used with a file", f"the bundled connectome {name}", "drop it")
    chosen = dict.fromkeys([layers] if isinstance(layers, str) else layers)
    for layer in chosen:
        if layer not in layer_table():
            raise unknown_name("layers", str(layer), layer_table())
    folder = data_folder() / path
    graph = read_csv(folder / NEURONS, folder / SYNAPSES, name=str(name), source=_source(table[str(name)]))
    if not include_unwired:
        graph = graph.subset(graph.wired)
    return _with_layers(graph, list(chosen)) if chosen else graph


open_connectome = load_connectome


def _source(entry: dict[str, Any]) -> str:
    return f"{entry['paper']} doi:{entry['doi']} {entry['licence']}"


def _with_layers(graph: Connectome, layers: list[str]) -> Connectome:
    parts = [entry_columns(graph)]
    for layer in layers:
        table = read_csv(None, data_folder() / "layers" / f"{layer}.csv")
        row_of = np.full(table.num_neurons, -1)
        _, ours, theirs = np.intersect1d(graph.names, table.names, assume_unique=True, return_indices=True)
        row_of[theirs] = ours
        pre, post = row_of[table.pre], row_of[table.post]
        moved = {"pre": pre, "post": post, "kinds": np.full(table.num_edges, layer)}
        parts.append(take(entry_columns(table) | moved, (pre >= 0) & (post >= 0)))
    entries = {key: np.concatenate([part[key] for part in parts]) for key in ("pre", "post", "kinds", "counts")}
    source = " ".join([graph.source, *(f"{layer}: {_source(layer_table()[layer])}" for layer in layers)])
    return replace(graph, **in_order(entries), source=source)
