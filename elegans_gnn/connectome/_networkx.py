"""Connectomes to and from NetworkX graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elegans_gnn.connectome import _attributes
from elegans_gnn.connectome._attributes import AttributeTable, attributes_of, graph_refusal
from elegans_gnn.connectome._columns import Columns
from elegans_gnn.connectome._select import check_simple
from elegans_gnn.errors import invalid

if TYPE_CHECKING:
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


def read_columns(graph: nx.Graph, *, name: str | None = None, **options: Any) -> dict[str, Any]:
    """The arguments of :meth:`Connectome.from_edges`; arguments and errors as in :func:`from_networkx`."""
    if not hasattr(graph, "adjacency") or not hasattr(graph, "graph"):
        raise invalid("graph", "a NetworkX graph", type(graph).__name__, "convert it to one")
    position = {node: row for row, node in enumerate(graph.nodes)}
    ends = list(graph.edges(data=True))
    ids = [str(node) for node in position]
    pre, post = [position[u] for u, _, _ in ends], [position[v] for _, v, _ in ends]
    title = name if name is not None else str(graph.graph.get("name", ""))
    table = AttributeTable(
        ids=ids,
        pre=pre,
        post=post,
        undirected=[not graph.is_directed()] * len(ends),
        refuse=graph_refusal(title, ids, pre, post),
        nodes=_columns([data for _, data in graph.nodes(data=True)]),
        edges=_columns([data for _, _, data in ends]),
        title=title,
        source=str(graph.graph.get("source", "")),
    )
    return _attributes.read_columns(table, name=name, **options)


def _columns(rows: list[dict[Any, Any]]) -> dict[str, list[Any]]:
    keys = {key: None for row in rows for key in row}
    return {str(key): [row.get(key) for row in rows] for key in keys}
