"""The published connectomes that travel with the package, by name."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from elegans_gnn._paths import data_folder
from elegans_gnn.connectome._core import Connectome
from elegans_gnn.connectome._csv import read_csv
from elegans_gnn.errors import unknown_name


@cache
def _index() -> dict[str, Any]:
    index: dict[str, Any] = json.loads((data_folder() / "datasets.json").read_text(encoding="utf-8"))
    return index


def dataset_table() -> dict[str, dict[str, Any]]:
    """What `data/datasets.json` says of each connectome: paper, DOI, licence, counts, checksums."""
    table: dict[str, dict[str, Any]] = _index()["datasets"]
    return table


def layer_table() -> dict[str, dict[str, Any]]:
    """What `data/datasets.json` says of each extrasynaptic layer."""
    table: dict[str, dict[str, Any]] = _index()["layers"]
    return table


def list_connectomes() -> tuple[str, ...]:
    """Names that :func:`load_connectome` takes."""
    return tuple(dataset_table())


def list_layers() -> tuple[str, ...]:
    """Names that the argument `layers` of :func:`load_connectome` takes."""
    return tuple(layer_table())


def load_connectome(name: str, *, include_unwired: bool = False, layers: str | Iterable[str] = ()) -> Connectome:
    """Load a published connectome.

    Args:
        name: one of :func:`list_connectomes`, such as ``"varshney2011"``.
        include_unwired: keep the neurons that the source lists but that have no synapse.
        layers: extrasynaptic layers of :func:`list_layers` to add, each as a kind of its own, such as
            ``"monoamine"``. Which neurons are kept is decided by the connectome's own synapses, before layers are
            added: the neuron axis is the same with and without them, and a layer's entries count where both neurons
            are kept. The layers describe the adult hermaphrodite.

    Returns:
        The connectome in canonical order: neurons by natural order of their names, entries by (pre, post, kind).

    Raises:
        ValueError: the name or a layer is unknown; the message lists the names and the nearest one.
    """
    table = dataset_table()
    if name not in table:
        raise unknown_name("name", str(name), table)
    chosen = dict.fromkeys([layers] if isinstance(layers, str) else layers)
    for layer in chosen:
        if layer not in layer_table():
            raise unknown_name("layers", str(layer), layer_table())
    folder = data_folder() / name
    graph = read_csv(folder / "neurons.csv", folder / "synapses.csv", name=name, source=_source(table[name]))
    if not include_unwired:
        graph = graph.subset(graph.wired)
    return _with_layers(graph, list(chosen)) if chosen else graph


def _source(entry: dict[str, Any]) -> str:
    return f"{entry['paper']} doi:{entry['doi']} {entry['licence']}"


def _with_layers(graph: Connectome, layers: list[str]) -> Connectome:
    parts = [(graph.pre, graph.post, graph.kinds, graph.counts)]
    for layer in layers:
        table = read_csv(None, data_folder() / "layers" / f"{layer}.csv")
        place = np.full(table.num_neurons, -1)
        _, ours, theirs = np.intersect1d(graph.names, table.names, assume_unique=True, return_indices=True)
        place[theirs] = ours
        pre, post = place[table.pre], place[table.post]
        both = (pre >= 0) & (post >= 0)
        parts.append((pre[both], post[both], np.full(int(both.sum()), layer), table.counts[both]))
    pre, post, kinds, counts = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.lexsort((kinds, post, pre))
    source = " ".join([graph.source, *(f"{layer}: {_source(layer_table()[layer])}" for layer in layers)])
    return replace(graph, pre=pre[order], post=post[order], kinds=kinds[order], counts=counts[order], source=source)
