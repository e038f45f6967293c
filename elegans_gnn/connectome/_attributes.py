"""One set of rules for graphs with named attributes: NetworkX, igraph and GraphML say the same thing in three ways."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import Any

import numpy as np

from elegans_gnn.connectome import _elegans_ai
from elegans_gnn.connectome._core import Connectome
from elegans_gnn.connectome._validate import ROLES
from elegans_gnn.errors import InvalidArgumentError, invalid, unknown_name

# Our attribute names, and the columns they fill.
NODE_ATTRIBUTES = {
    "role": "roles",
    "class": "classes",
    "side": "sides",
    "transmitter": "transmitters",
    "sex": "sexes",
    "visit_rank": "visit_rank",
}
EDGE_ATTRIBUTES = ("kind", "count", "weight")
NAME_ATTRIBUTES = ("name", "label")
ASSIGNABLE = ("name", *NODE_ATTRIBUTES, *EDGE_ATTRIBUTES)
PARALLEL = ("refuse", "sum")
_SHORT_ROLES = {"S": "sensory", "I": "inter", "M": "motor", "": "unknown"}
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?")


@dataclass
class AttributeTable:
    """A graph as columns of attributes, None where a node or an edge lacks one.

    `refuse` builds the error for a row of ``"node"`` or ``"edge"``: a ValueError, or for a file one with the line.
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


def columns_of(connectome: Connectome) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """The attributes that stand for a connectome's columns, as plain Python values: of the nodes, of the edges."""
    nodes = {attribute: getattr(connectome, column).tolist() for attribute, column in NODE_ATTRIBUTES.items()}
    edges = {"kind": connectome.kinds.tolist(), "count": connectome.counts.tolist()}
    if connectome.weights is not None:
        edges["weight"] = connectome.weights.tolist()
    return nodes, edges


def connectome_columns(
    table: AttributeTable,
    *,
    name: str | None,
    attributes: Mapping[str, str | None] | None,
    kind: str | None,
    parallel: str,
) -> dict[str, Any]:
    """The arguments of :meth:`Connectome.from_edges` out of a table; options as in :func:`from_networkx`."""
    if parallel not in PARALLEL:
        raise unknown_name("parallel", str(parallel), PARALLEL)
    if _elegans_ai.is_published_format(table.nodes, table.edges):
        table = _decoded(table)
    _assign(table, attributes or {})
    names = _names(table)
    columns = {
        column: _parsed(table, "node", attribute, _PARSERS[attribute], default)
        for attribute, column, default in (
            ("role", "roles", "unknown"),
            *((a, NODE_ATTRIBUTES[a], "") for a in ("class", "side", "transmitter", "sex")),
        )
    }
    if "visit_rank" in table.nodes:
        columns["visit_rank"] = _parsed(table, "node", "visit_rank", parse_count, None)
    edges = _edge_columns(table, kind)
    if parallel == "sum":
        edges = _summed(edges)
    else:
        _refuse_parallel(table, edges, names)
    return columns | {
        "name": name if name is not None else table.title,
        "names": np.array(names, dtype=np.str_),
        "roles": np.array(columns["roles"], dtype=np.str_),
        "source": table.source,
        **{column: edges[column] for column in ("pre", "post", "kinds", "counts", "weights")},
    }


def parse_count(value: Any) -> int:
    """An integer >= 0 out of 3, 3.0, "3", "3.0" or "3e0"."""
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value.strip()):
            raise ValueError(f"{value[:40]!r} is not an integer")
        number: Any = Decimal(value.strip())
    else:
        number = value
        if not math.isfinite(number):
            raise ValueError(f"{value!r} is not an integer")
    if number < 0:
        raise ValueError(f"{value} is negative")
    if number >= 2**63:
        raise ValueError(f"{value} does not fit into 64 bits")
    if number != int(number):
        raise ValueError(f"{value!r} is not an integer")
    return int(number)


def parse_weight(value: Any) -> float:
    """A finite float out of a number or its text."""
    if isinstance(value, str) and "_" in value:
        raise ValueError(f"{value!r} is not a number")  # float() takes 1_000 for 1000
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not finite")
    return number


def _parse_role(value: Any) -> str:
    text = _SHORT_ROLES.get(str(value), str(value))
    if text not in ROLES:
        raise ValueError(f"{text!r} is none of {', '.join(ROLES)}")
    return text


_PARSERS: dict[str, Callable[[Any], Any]] = {
    "role": _parse_role,
    "class": str,
    "side": str,
    "transmitter": str,
    "sex": str,
    "count": parse_count,
    "weight": parse_weight,
}


def _decoded(table: AttributeTable) -> AttributeTable:
    nodes = _elegans_ai.decode_nodes(table.nodes)
    edges = _elegans_ai.decode_edges(table.edges, partial(table.refuse, "edge"))
    return replace(table, nodes=nodes, edges=edges)


def _assign(table: AttributeTable, attributes: Mapping[str, str | None]) -> None:
    """Let the caller say which of the graph's attributes fills which column, or that none does (None)."""
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
            raise invalid(f"attributes[{ours!r}]", f"one of {sorted(given)}", repr(theirs), "name one that is there")
        columns[ours] = given[theirs]
    table.nodes, table.edges = nodes, edges


def _names(table: AttributeTable) -> list[str]:
    """The neuron's name: the attribute `name`, else `label`, where every node has one; else the node's identifier."""
    remedy = "give every neuron a name of its own, or pass attributes={'name': None} to take the node identifiers"
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
            raise table.refuse("node", row, f"neuron {label!r} stands twice" if label else "no name", remedy)
        seen.add(label)
    return names


def _parsed(table: AttributeTable, what: str, attribute: str, parse: Callable[[Any], Any], default: Any) -> list[Any]:
    """One column; `default` stands where the value is missing, and None as default makes the value compulsory."""
    rows = len(table.ids) if what == "node" else len(table.pre)
    column = (table.nodes if what == "node" else table.edges).get(attribute)
    if column is None:
        return [default] * rows
    values = []
    for row, value in enumerate(column):
        if value is None:
            if default is None:
                problem = f"attribute {attribute!r} is missing here and present elsewhere"
                raise table.refuse(what, row, problem, "give it to all or to none")
            values.append(default)
            continue
        try:
            values.append(parse(value))
        except (TypeError, ValueError, OverflowError) as error:
            remedy = f"correct it, or pass attributes={{{attribute!r}: None}} to leave that attribute out"
            raise table.refuse(what, row, f"attribute {attribute!r}: {error}", remedy) from error
    return values


def _edge_columns(table: AttributeTable, kind: str | None) -> dict[str, Any]:
    """Entries in both directions for each undirected edge, with `row` telling which edge an entry came from."""
    pre, post = np.array(table.pre, dtype=np.int64), np.array(table.post, dtype=np.int64)
    undirected = np.array(table.undirected, dtype=bool)
    # What has no direction is by default what a gap junction is: one strength for both directions.
    fallback = np.where(undirected, kind or "gap", kind or "chemical")
    given = _parsed(table, "edge", "kind", str, "")
    kinds = np.where(np.array(given, dtype=np.str_) == "", fallback, np.array(given, dtype=np.str_))
    counts = _parsed(table, "edge", "count", parse_count, None if "count" in table.edges else 1)
    back = np.flatnonzero(undirected & (pre != post))
    row = np.concatenate([np.arange(len(pre)), back])
    weights = None
    if "weight" in table.edges:
        weights = np.array(_parsed(table, "edge", "weight", parse_weight, None), dtype=np.float64)[row]
    return {
        "pre": np.concatenate([pre, post[back]]),
        "post": np.concatenate([post, pre[back]]),
        "kinds": kinds[row],
        "counts": np.array(counts, dtype=np.int64)[row],
        "weights": weights,
        "row": row,
    }


def _refuse_parallel(table: AttributeTable, edges: dict[str, Any], names: list[str]) -> None:
    order = np.lexsort((edges["kinds"], edges["post"], edges["pre"]))
    equal = np.logical_and.reduce([edges[key][order][1:] == edges[key][order][:-1] for key in ("pre", "post", "kinds")])
    if equal.any():
        entry = order[1:][equal].min()
        pre, post = names[edges["pre"][entry]], names[edges["post"][entry]]
        problem = f"{pre} -> {post} ({edges['kinds'][entry]}) stands twice"
        remedy = "give parallel edges different kinds, or pass parallel='sum' to add them up"
        raise table.refuse("edge", int(edges["row"][entry]), problem, remedy)


def _summed(edges: dict[str, Any]) -> dict[str, Any]:
    """One entry per (pre, post, kind): counts and weights of parallel entries added up."""
    kind_names, kind_code = np.unique(edges["kinds"], return_inverse=True)
    triples = np.stack([edges["pre"], edges["post"], kind_code])
    unique, group = np.unique(triples, axis=1, return_inverse=True)
    counts = np.zeros(unique.shape[1], dtype=np.int64)
    np.add.at(counts, group, edges["counts"])
    weights = None
    if edges["weights"] is not None:
        weights = np.zeros(unique.shape[1])
        np.add.at(weights, group, edges["weights"])
    kinds = kind_names[unique[2]]
    return {"pre": unique[0], "post": unique[1], "kinds": kinds, "counts": counts, "weights": weights}
