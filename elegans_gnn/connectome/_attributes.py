"""One set of rules for graphs with named attributes: NetworkX, igraph and GraphML."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from elegans_gnn.connectome import _elegans_ai
from elegans_gnn.connectome._columns import ENTRY_COLUMNS, NEURON_COLUMNS, Column, Columns, first_repeat, summed
from elegans_gnn.errors import InvalidArgumentError, invalid, unknown_name

# The name of a neuron and the two ends of an edge have other rules.
NODE_ATTRIBUTES = {column.attribute: column for column in NEURON_COLUMNS if column.field != "names"}
EDGE_ATTRIBUTES = {column.attribute: column for column in ENTRY_COLUMNS if column.field not in ("pre", "post")}
NAME_ATTRIBUTES = ("name", "label")
ASSIGNABLE = ("name", *NODE_ATTRIBUTES, *EDGE_ATTRIBUTES)
PARALLEL = ("refuse", "sum")


@dataclass
class AttributeTable:
    """A graph as columns of attributes, None where a node or an edge has no value.

    `refuse` builds the error for a row of ``"node"`` or ``"edge"``; for a file, the error names the line.
    """

    ids: list[str]
    pre: list[int]
    post: list[int]
    undirected: list[bool]
    refuse: Callable[[str, int, str, str], ValueError]
    nodes: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    edges: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    title: str = ""
    source: str = ""


def graph_refusal(title: str, ids: list[str], pre: list[int], post: list[int]) -> Callable[..., ValueError]:
    """`refuse` for a graph in memory: it names the node, or the two ends of the edge."""

    def refuse(what: str, row: int, problem: str, remedy: str) -> ValueError:
        which = ids[row] if what == "node" else f"{ids[pre[row]]} -> {ids[post[row]]}"
        return InvalidArgumentError(f"graph {title!r}, {what} {which}: {problem}; {remedy}")

    return refuse


def attributes_of(graph: Columns) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """The attributes that hold a connectome's columns, as plain Python values: of the nodes, of the edges."""
    nodes = {attribute: getattr(graph, column.field).tolist() for attribute, column in NODE_ATTRIBUTES.items()}
    edges = {attribute: getattr(graph, column.field) for attribute, column in EDGE_ATTRIBUTES.items()}
    return nodes, {attribute: values.tolist() for attribute, values in edges.items() if values is not None}


def read_columns(
    table: AttributeTable,
    *,
    name: str | None = None,
    attributes: Mapping[str, str | None] | None = None,
    kind: str | None = None,
    parallel: str = "refuse",
) -> dict[str, Any]:
    """The arguments of :meth:`Connectome.from_edges` from a table; options as in :func:`from_networkx`."""
    if parallel not in PARALLEL:
        raise unknown_name("parallel", str(parallel), PARALLEL)
    if _elegans_ai.is_published_format(table.nodes, table.edges):
        table = _decoded(table)
    _assign(table, attributes or {})
    names = _names(table)
    neurons = {c.field: _parsed(table, "node", c) for c in NODE_ATTRIBUTES.values() if c.attribute in table.nodes}
    row, entries = _entries(table, kind)
    if parallel == "sum":
        entries = summed(entries)
    else:
        _refuse_parallel(table, row, entries, names)
    return {
        "name": name if name is not None else table.title,
        "names": np.array(names, dtype=np.str_),
        "source": table.source,
        **neurons,
        **entries,
    }


def _decoded(table: AttributeTable) -> AttributeTable:
    nodes = _elegans_ai.decode_nodes(table.nodes)
    edges = _elegans_ai.decode_edges(table.edges, partial(table.refuse, "edge"))
    return replace(table, nodes=nodes, edges=edges)


def _assign(table: AttributeTable, attributes: Mapping[str, str | None]) -> None:
    """Rename the attributes as the caller says; None ignores one."""
    nodes, edges = dict(table.nodes), dict(table.edges)
    for ours, theirs in attributes.items():
        if ours not in ASSIGNABLE:
            raise unknown_name("attributes", ours, ASSIGNABLE)
        given, columns = (table.edges, edges) if ours in EDGE_ATTRIBUTES else (table.nodes, nodes)
        for taken in NAME_ATTRIBUTES if ours == "name" else (ours,):
            columns.pop(taken, None)
        if theirs is None:
            continue
        if theirs not in given:
            raise invalid(f"attributes[{ours!r}]", f"one of {sorted(given)}", repr(theirs), "choose one of the list")
        columns[ours] = given[theirs]
    table.nodes, table.edges = nodes, edges


def _names(table: AttributeTable) -> list[str]:
    """The neuron's name: the attribute `name`, else `label`, where every node has one; else the node's identifier."""
    remedy = "give every neuron its own name, or pass attributes={'name': None} to take the node identifiers"
    for attribute in NAME_ATTRIBUTES:
        column = table.nodes.get(attribute)
        if column is not None and all(value is not None and value != "" for value in column):
            names = [str(value) for value in column]
            break
    else:
        names = table.ids
    seen: set[str] = set()
    for row, label in enumerate(names):
        if not label or label in seen:
            raise table.refuse("node", row, f"neuron {label!r} appears twice" if label else "no name", remedy)
        seen.add(label)
    return names


def _parsed(table: AttributeTable, what: str, column: Column) -> list[Any]:
    """The values of one attribute that the table has."""
    attribute = column.attribute
    values = []
    for row, value in enumerate((table.nodes if what == "node" else table.edges)[attribute]):
        if value is None:
            if column.default is None:
                problem = f"attribute {attribute!r} is missing here and present elsewhere"
                raise table.refuse(what, row, problem, "give it to all or to none")
            values.append(column.default)
            continue
        try:
            values.append(column.parse(value))
        except (TypeError, ValueError, OverflowError) as error:
            remedy = f"correct it, or pass attributes={{{attribute!r}: None}} to ignore that attribute"
            raise table.refuse(what, row, f"attribute {attribute!r}: {error}", remedy) from error
    return values


def _entries(table: AttributeTable, kind: str | None) -> tuple[np.ndarray, dict[str, Any]]:
    """Entries in both directions for each undirected edge, and the edge that each came from."""
    pre, post = np.array(table.pre, dtype=np.int64), np.array(table.post, dtype=np.int64)
    undirected = np.array(table.undirected, dtype=bool)
    back = np.flatnonzero(undirected & (pre != post))
    row = np.concatenate([np.arange(len(pre)), back])
    present = [column for column in EDGE_ATTRIBUTES.values() if column.attribute in table.edges]
    given = {column.field: np.array(_parsed(table, "edge", column))[row] for column in present}
    # What has no direction is by default what a gap junction is: one strength for both directions.
    fallback = np.where(undirected, kind or "gap", kind or "chemical")[row]
    kinds = given.get("kinds", np.full(len(row), "")).astype(np.str_)
    return row, {
        "pre": np.concatenate([pre, post[back]]),
        "post": np.concatenate([post, pre[back]]),
        "kinds": np.where(kinds == "", fallback, kinds),
        "counts": given.get("counts", np.ones(len(row), dtype=np.int64)),
        "weights": given.get("weights"),
    }


def _refuse_parallel(table: AttributeTable, row: np.ndarray, entries: dict[str, Any], names: list[str]) -> None:
    entry = first_repeat(entries["pre"], entries["post"], entries["kinds"])
    if entry is not None:
        pre, post = names[entries["pre"][entry]], names[entries["post"][entry]]
        problem = f"{pre} -> {post} ({entries['kinds'][entry]}) appears twice"
        remedy = "give parallel edges different kinds, or pass parallel='sum' to add them up"
        raise table.refuse("edge", int(row[entry]), problem, remedy)
