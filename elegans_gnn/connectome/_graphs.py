"""Connectomes to and from NetworkX and igraph graphs, and from the JSON that NetworkX calls node-link."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from elegans_gnn._text import read_json
from elegans_gnn.connectome import _attributes
from elegans_gnn.connectome._attributes import attributes_of, table_in_memory
from elegans_gnn.connectome._columns import Columns
from elegans_gnn.connectome._select import check_simple
from elegans_gnn.errors import invalid, require

if TYPE_CHECKING:
    import igraph
    import networkx as nx


def to_networkx(connectome: Columns, create_using: type[nx.Graph] | None = None) -> nx.Graph:
    """The connectome as a NetworkX graph whose nodes are the neuron names, in the order of the neuron axis.

    Nodes carry ``role``, ``class``, ``side``, ``transmitter``, ``sex`` and ``visit_rank``; edges ``kind``, ``count``
    and, where the connectome has them, ``weight``; the graph ``name`` and ``source``.

    Args:
        connectome: the graph to convert.
        create_using: ``MultiDiGraph`` (default; the edge key is the kind), ``DiGraph`` (one entry per ordered pair:
            merge or select a kind first), or ``MultiGraph`` / ``Graph`` (gap junctions only, each one edge).

    Raises:
        ValueError: the class asked for cannot hold this connectome.
    """
    import networkx as nx

    graph = (nx.MultiDiGraph if create_using is None else create_using)()
    check_simple(connectome, parallel=graph.is_multigraph(), directed=graph.is_directed())
    graph.graph.update(name=connectome.name, source=connectome.source)
    nodes, edges = attributes_of(connectome)
    names = connectome.names.tolist()
    for row, label in enumerate(names):
        graph.add_node(label, **{attribute: column[row] for attribute, column in nodes.items()})
    for row, (u, v) in enumerate(zip(connectome.pre.tolist(), connectome.post.tolist(), strict=True)):
        if not graph.is_directed() and u > v:
            continue
        values = {attribute: column[row] for attribute, column in edges.items()}
        key = (values["kind"],) if graph.is_multigraph() else ()
        graph.add_edge(names[u], names[v], *key, **values)
    return graph


def to_igraph(connectome: Columns, *, directed: bool = True) -> igraph.Graph:
    """The connectome as an igraph graph whose vertex ids are the neuron indices.

    It has the attributes that :func:`to_networkx` writes, and ``name`` at the vertices; edges keep their order.

    Args:
        connectome: the graph to convert.
        directed: False makes each gap junction one undirected edge, and is refused with other kinds.
    """
    check_simple(connectome, parallel=True, directed=directed)
    nodes, edges = attributes_of(connectome)
    rows = np.flatnonzero((connectome.pre <= connectome.post) | directed).tolist()
    graph: igraph.Graph = require("igraph").Graph(
        n=connectome.num_neurons,
        edges=list(zip(connectome.pre[rows].tolist(), connectome.post[rows].tolist(), strict=True)),
        directed=directed,
        graph_attrs={"name": connectome.name, "source": connectome.source},
        vertex_attrs={"name": connectome.names.tolist(), **nodes},
    )
    for attribute, column in edges.items():
        graph.es[attribute] = [column[row] for row in rows]
    return graph


def networkx_columns(graph: nx.Graph, **options: Any) -> dict[str, Any]:
    """The arguments of :meth:`Connectome.from_edges`; options and errors as in :meth:`Connectome.from_networkx`."""
    if not hasattr(graph, "adjacency") or not hasattr(graph, "graph"):
        raise invalid("graph", "a NetworkX graph", type(graph).__name__, "convert it to one")
    edges = list(graph.edges(data=True))
    nodes = dict(graph.nodes(data=True))
    return _dictionaries(graph.graph, nodes, edges, directed=graph.is_directed(), **options)


def igraph_columns(graph: igraph.Graph, **options: Any) -> dict[str, Any]:
    """The same for :meth:`Connectome.from_igraph`."""
    if not isinstance(graph, require("igraph").Graph):
        raise invalid("graph", "an igraph Graph", type(graph).__name__, "convert it to one")
    ids = [str(vertex) for vertex in range(graph.vcount())]
    nodes, edges = ({attribute: each[attribute] for attribute in each.attributes()} for each in (graph.vs, graph.es))
    about = {attribute: graph[attribute] for attribute in graph.attributes()}
    ends, directed = graph.get_edgelist(), graph.is_directed()
    table = table_in_memory(about, ids, ends, directed=directed, nodes=nodes, edges=edges)
    return _attributes.read_columns(table, **options)


def node_link_columns(path: Path, **options: Any) -> dict[str, Any]:
    """The same for a file of ``networkx.node_link_data``; the edges are under ``edges`` or ``links``."""
    data = read_json(path, "file", expected="a JSON file of networkx.node_link_data")
    try:
        given = data["edges"] if "edges" in data else data["links"]
        nodes = {_identifier(node["id"]): {**node} for node in data["nodes"]}
        edges = [(_identifier(edge["source"]), _identifier(edge["target"]), {**edge}) for edge in given]
        directed, about = data.get("directed", False), {**data.get("graph", {})}
        if len(nodes) < len(data["nodes"]):
            raise ValueError("a node appears twice")
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        problem = f"no {error}" if isinstance(error, KeyError) else str(error)
        remedy = "write it with json.dump(networkx.node_link_data(graph), file)"
        raise invalid(
            "file", "node-link JSON (nodes with id, edges with source and target)", problem, remedy
        ) from error
    for *ends, values in edges:
        for end, key in zip(ends, ("source", "target"), strict=True):
            del values[key]
            if end not in nodes:
                raise invalid("every edge", "between nodes of the file", f"an edge to {end!r}", "add the node")
    return _dictionaries(about, nodes, edges, directed=directed, **options)


def _identifier(value: Any) -> str | int:
    if not isinstance(value, str | int):
        raise ValueError(f"the identifier {value!r:.40}")
    return value


def _dictionaries(
    about: Mapping[str, Any],
    nodes: Mapping[Any, Mapping[Any, Any]],
    edges: Iterable[tuple[Any, Any, Mapping[Any, Any]]],
    *,
    directed: bool,
    **options: Any,
) -> dict[str, Any]:
    position = {node: row for row, node in enumerate(nodes)}
    ends = [(position[u], position[v]) for u, v, _ in edges]
    values = {"nodes": _columns([*nodes.values()]), "edges": _columns([data for *_, data in edges])}
    table = table_in_memory(about, [str(node) for node in position], ends, directed=directed, **values)
    return _attributes.read_columns(table, **options)


def _columns(rows: list[Mapping[Any, Any]]) -> dict[str, list[Any]]:
    keys = {key: None for row in rows for key in row}
    return {str(key): [row.get(key) for row in rows] for key in keys}
