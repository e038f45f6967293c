"""One set of rules for graphs with named attributes: NetworkX, igraph, GraphML, data frames and node-link JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np

from elegans_gnn.connectome import _elegans_ai
from elegans_gnn.connectome._columns import ENTRY_COLUMNS, NEURON_COLUMNS, Column, Columns, first_repeat, summed
from elegans_gnn.connectome._headers import Attributes, our_columns
from elegans_gnn.connectome._values import CHEMICAL, GAP, counts_or_weights, natural_key
from elegans_gnn.errors import InvalidArgumentError, unknown_name

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
    value: str = "attribute"


def table_in_memory(
    about: Mapping[str, Any], ids: list[str], ends: Sequence[tuple[int, int]], *, directed: bool, **columns: Any
) -> AttributeTable:
    """A table whose errors name the node, or the two ends of the edge; `about` may have ``name`` and ``source``."""
    title = str(about.get("name", ""))
    pre, post = [u for u, _ in ends], [v for _, v in ends]

    def refuse(what: str, row: int, problem: str, remedy: str) -> ValueError:
        which = ids[row] if what == "node" else f"{ids[pre[row]]} -> {ids[post[row]]}"
        return InvalidArgumentError(f"graph {title!r}, {what} {which}: {problem}; {remedy}")

    undirected = [not directed] * len(ends)
    return AttributeTable(
        ids, pre, post, undirected, refuse, title=title, source=str(about.get("source", "")), **columns
    )


def attributes_of(graph: Columns) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """The attributes that hold a connectome's columns, as plain Python values: of the nodes, of the edges."""
    nodes = {attribute: getattr(graph, column.field).tolist() for attribute, column in NODE_ATTRIBUTES.items()}
    edges = {attribute: getattr(graph, column.field) for attribute, column in EDGE_ATTRIBUTES.items()}
    return nodes, {attribute: values.tolist() for attribute, values in edges.items() if values is not None}


def read_columns(
    table: AttributeTable,
    *,
    name: str | None = None,
    attributes: Attributes | None = None,
    kind: str | None = None,
    parallel: str = "refuse",
    roles: Any = None,
) -> dict[str, Any]:
    """The arguments of :meth:`Connectome.from_edges` from a table; options as in :meth:`Connectome.from_networkx`."""
    attributes = attributes or {}
    _check_assigned(attributes, ASSIGNABLE)
    if parallel not in PARALLEL:
        raise unknown_name("parallel", str(parallel), PARALLEL)
    if _elegans_ai.is_published_format(table.nodes, table.edges):
        edges = _elegans_ai.decode_edges(table.edges, partial(table.refuse, "edge"))
        table = replace(table, nodes=_elegans_ai.decode_nodes(table.nodes), edges=edges)
    names = _names(table, attributes)
    given = [
        our_columns(values, columns.values(), attributes, _refuse_graph)
        for values, columns in ((table.nodes, NODE_ATTRIBUTES), (table.edges, EDGE_ATTRIBUTES))
    ]
    neurons, edges = _parsed(table, "node", given[0]), _parsed(table, "edge", given[1])
    if "weight" not in attributes:
        edges = counts_or_weights(edges)
    row, entries = _entries(table, edges, kind)
    if parallel == "sum":
        entries = summed(entries)
    else:
        _refuse_parallel(table, row, entries, names)
    return {
        "name": name if name is not None else table.title,
        "names": np.array(names, dtype=np.str_),
        "source": table.source,
        **neurons,
        **({} if roles is None else {"roles": roles}),
        **entries,
    }


def joined(
    entries: dict[str, list[Any]],
    neurons: dict[str, list[Any]] | None,
    attributes: Attributes,
    refuse: Callable[[str, int, str, str], ValueError],
    title: str,
    **options: Any,
) -> dict[str, Any]:
    """The same from our columns of a table of edges and one of neurons (by title), or of edges alone."""
    of_neurons = () if neurons is None else ("name", *NODE_ATTRIBUTES)
    _check_assigned(attributes, ("pre", "post", *EDGE_ATTRIBUTES, *of_neurons))
    ends = [[label(end) for end in entries.pop(key)] for key in ("pre", "post")]
    listed = None if neurons is None else [label(name) for name in neurons.pop("name")]
    names = sorted({*ends[0], *ends[1]} - {""}, key=natural_key) if listed is None else listed
    position = {name: row for row, name in enumerate(names)}
    for key, column in zip(("pre", "post"), ends, strict=True):
        row = next((row for row, name in enumerate(column) if name not in position), None)
        if row is not None:
            lacking = f"{column[row]!r} is not a neuron of {title}" if column[row] else "a neuron without a name"
            raise refuse("edge", row, f"column {key!r}: {lacking}", "correct or drop the row")
    row = next((row for row, kind in enumerate(entries.get("kind", ())) if not kind), None)
    if row is not None:
        raise refuse("edge", row, "column 'kind': a kind without a name", "correct or drop the row")
    pre, post = ([position[name] for name in column] for column in ends)
    table = AttributeTable(names, pre, post, [False] * len(pre), refuse, neurons or {}, entries, value="column")
    # What was assigned keeps its meaning: a column that was chosen as the weight never becomes the count.
    chosen: Attributes = {ours: ours for ours in attributes if ours in entries}
    return read_columns(table, attributes=chosen, **options)


def label(name: Any) -> str:
    """A name as text: 3.0, which pandas makes of 3 in a column with gaps, is 3."""
    if name.__class__ is str:
        return name
    return "" if name is None else str(int(name)) if isinstance(name, float) and name.is_integer() else str(name)


def _check_assigned(attributes: Attributes, assignable: Sequence[str]) -> None:
    for ours in attributes:
        if ours not in assignable:
            raise unknown_name("attributes", ours, assignable)


def _names(table: AttributeTable, attributes: Attributes) -> list[str]:
    """The neuron's name: the attribute `name`, else `label`, where every node has one; else the node's identifier."""
    remedy = "give every neuron its own name, or pass attributes={'name': None} to take the node identifiers"
    if "name" in attributes:
        columns = [*our_columns(table.nodes, NEURON_COLUMNS[:1], attributes, _refuse_graph).values()]
    else:
        columns = [table.nodes[attribute] for attribute in NAME_ATTRIBUTES if attribute in table.nodes]
    complete = [column for column in columns if all(value is not None and value != "" for value in column)]
    names = [str(value) for value in complete[0]] if complete else table.ids
    seen: set[str] = set()
    for row, label in enumerate(names):
        if not label or label in seen:
            raise table.refuse(
                "node", row, f"neuron {label!r} appears twice" if label else "a neuron without a name", remedy
            )
        seen.add(label)
    return names


def _refuse_graph(problem: str, remedy: str) -> ValueError:
    return InvalidArgumentError(f"attributes of the graph: {problem}; {remedy}")


def _parsed(table: AttributeTable, what: str, columns: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """The values of the given attributes, by field."""
    rules = NODE_ATTRIBUTES if what == "node" else EDGE_ATTRIBUTES
    return {
        rules[attribute].field: _values(table, what, rules[attribute], given) for attribute, given in columns.items()
    }


def _values(table: AttributeTable, what: str, column: Column, given: Sequence[Any]) -> list[Any]:
    attribute, values = column.attribute, []
    known: dict[str, Any] = {}
    for row, value in enumerate(given):
        if value.__class__ is str and value in known:
            values.append(known[value])
            continue
        if value is None:
            if column.default is None:
                problem = f"{table.value} {attribute!r} is missing here and present elsewhere"
                raise table.refuse(what, row, problem, "give it to all or to none")
            values.append(column.default)
            continue
        try:
            values.append(column.parse(value))
            if value.__class__ is str:
                known[value] = values[-1]
        except (TypeError, ValueError, OverflowError) as error:
            remedy = f"correct it, or pass attributes={{{attribute!r}: None}} to ignore that attribute"
            raise table.refuse(what, row, f"{table.value} {attribute!r}: {error}", remedy) from error
    return values


def _entries(table: AttributeTable, given: Mapping[str, Any], kind: str | None) -> tuple[np.ndarray, dict[str, Any]]:
    """Entries in both directions for each undirected edge, and the edge that each came from."""
    pre, post = np.array(table.pre, dtype=np.int64), np.array(table.post, dtype=np.int64)
    undirected = np.array(table.undirected, dtype=bool)
    kinds = np.array(given.get("kinds", np.full(len(pre), "")), dtype=np.str_)
    unclear = np.flatnonzero(undirected & (kinds == ""))
    if kind is None and len(unclear) and undirected.all():
        remedy = "pass kind='gap' (one strength for both directions) or kind='chemical' (a synapse each way)"
        raise table.refuse("edge", int(unclear[0]), "it has no direction and no kind", remedy)
    back = np.flatnonzero(undirected & (pre != post))
    row = np.concatenate([np.arange(len(pre)), back])
    entries = {
        "counts": np.ones(len(pre), dtype=np.int64),
        "weights": None,
        **given,
        # Where directed edges tell the others apart, an edge without direction is a gap junction.
        "kinds": np.where(kinds == "", np.where(undirected, kind or GAP, kind or CHEMICAL), kinds),
    }
    entries = {key: None if values is None else np.asarray(values)[row] for key, values in entries.items()}
    return row, {"pre": np.concatenate([pre, post[back]]), "post": np.concatenate([post, pre[back]]), **entries}


def _refuse_parallel(table: AttributeTable, row: np.ndarray, entries: dict[str, Any], names: list[str]) -> None:
    entry = first_repeat(entries["pre"], entries["post"], entries["kinds"])
    if entry is not None:
        pre, post = names[entries["pre"][entry]], names[entries["post"][entry]]
        problem = f"{pre} -> {post} ({entries['kinds'][entry]}) appears twice"
        remedy = "give parallel edges different kinds, or pass parallel='sum' to add them up"
        raise table.refuse("edge", int(row[entry]), problem, remedy)
