"""Connectomes to and from igraph graphs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from elegans_gnn.connectome import _attributes
from elegans_gnn.connectome._attributes import AttributeTable, attributes_of, graph_refusal
from elegans_gnn.connectome._columns import Columns
from elegans_gnn.connectome._select import check_simple
from elegans_gnn.errors import invalid, require

if TYPE_CHECKING:
    import igraph


def to_igraph(connectome: Columns, *, directed: bool = True) -> igraph.Graph:
    """The connectome as an igraph graph whose vertex ids are the neuron indices.

    Vertices carry ``name``, ``role``, ``class``, ``side``, ``transmitter``, ``sex`` and ``visit_rank``; edges, in the
    connectome's order, ``kind``, ``count`` and, where the connectome has them, ``weight``.

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


def read_columns(graph: igraph.Graph, *, name: str | None = None, **options: Any) -> dict[str, Any]:
    """The arguments of :meth:`Connectome.from_edges`; arguments and errors as in :func:`from_igraph`."""
    if not isinstance(graph, require("igraph").Graph):
        raise invalid("graph", "an igraph Graph", type(graph).__name__, "convert it to one")
    ends = graph.get_edgelist()
    known = graph.attributes()
    ids = [str(vertex) for vertex in range(graph.vcount())]
    pre, post = [u for u, _ in ends], [v for _, v in ends]
    title = name if name is not None else str(graph["name"] if "name" in known else "")
    table = AttributeTable(
        ids=ids,
        pre=pre,
        post=post,
        undirected=[not graph.is_directed()] * len(ends),
        refuse=graph_refusal(title, ids, pre, post),
        nodes={attribute: graph.vs[attribute] for attribute in graph.vs.attributes()},
        edges={attribute: graph.es[attribute] for attribute in graph.es.attributes()},
        title=title,
        source=str(graph["source"] if "source" in known else ""),
    )
    return _attributes.read_columns(table, name=name, **options)
