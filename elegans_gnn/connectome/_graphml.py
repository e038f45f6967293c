"""Connectomes to and from GraphML: plain files of NetworkX, igraph and Gephi, and the published Elegans-AI format."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from elegans_gnn.connectome import _attributes, _elegans_ai
from elegans_gnn.connectome._columns import Columns
from elegans_gnn.connectome._files import MAX_BYTES, title_of
from elegans_gnn.errors import invalid, unknown_name

STYLES = ("plain", "elegans-ai")
_HEADER = """<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns"
         xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
         xsi:schemaLocation="http://graphml.graphdrawing.org/xmlns
         http://graphml.graphdrawing.org/xmlns/1.0/graphml.xsd">
"""
_GRAPHML_TYPE = {int: "long", float: "double", str: "string"}
# XML 1.0 has no way to write these characters.
_UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def read_columns(path: Path, *, name: str | None = None, max_bytes: int = MAX_BYTES, **options: Any) -> dict[str, Any]:
    """The arguments of :meth:`Connectome.from_edges`; arguments and errors as in :func:`read_graphml`."""
    from elegans_gnn.connectome._graphml_parser import parse_graphml

    table = parse_graphml(path, max_bytes, wanted=filter(None, (options.get("attributes") or {}).values()))
    title = name if name is not None else table.title or title_of(path)
    return _attributes.read_columns(table, name=title, **options)


def write_graphml(connectome: Columns, path: str | os.PathLike[str], *, style: str = "plain") -> None:
    """Write a connectome as GraphML that :func:`read_graphml` reads back exactly, weights with all their digits.

    Args:
        connectome: the graph to write.
        path: the file.
        style: ``"plain"``, which NetworkX, igraph and Gephi read, or ``"elegans-ai"``, which the published Elegans-AI
            code reads. That code knows three roles and two kinds: others are written as NA and C, and exactly in
            further attributes. Soma positions, which that code does not use, are not written.

    Raises:
        ValueError: a name or another text has a character that XML cannot hold.
    """
    if style not in STYLES:
        raise unknown_name("style", str(style), STYLES)
    names = connectome.names.tolist()
    all_nodes: Mapping[str, Sequence[Any]]
    all_edges: Mapping[str, Sequence[Any]]
    nodes, edges = _attributes.attributes_of(connectome)
    about = {"name": connectome.name, "source": connectome.source}
    if style == "elegans-ai":
        about["info"] = "weight = count of synapses"
        all_nodes, all_edges = _elegans_ai.encode(names, nodes, edges)
    else:
        all_nodes, all_edges = {"name": names, **nodes}, edges
    graph = {key: [text] for key, text in about.items()}
    lines = [_HEADER]
    for prefix, element, columns in (("g", "graph", graph), ("v", "node", all_nodes), ("e", "edge", all_edges)):
        for key, column in columns.items():
            # In the published file counts are of the type double, though all are integers.
            number = float if style == "elegans-ai" and key == "weight" else type(column[0]) if len(column) else str
            kind = _GRAPHML_TYPE[number]
            attribute = f'for="{element}" attr.name={quoteattr(key)} attr.type="{kind}"'
            lines.append(f'  <key id="{prefix}_{key}" {attribute}/>\n')
    lines.append('  <graph id="G" edgedefault="directed">\n')
    lines += [f"    {line}\n" for line in _data("g", graph, 0)]
    for row in range(len(names)):
        lines.append(f'    <node id="n{row}">\n')
        lines += [f"      {line}\n" for line in _data("v", all_nodes, row)]
        lines.append("    </node>\n")
    for row, (u, v) in enumerate(zip(connectome.pre.tolist(), connectome.post.tolist(), strict=True)):
        lines.append(f'    <edge source="n{u}" target="n{v}">\n')
        lines += [f"      {line}\n" for line in _data("e", all_edges, row)]
        lines.append("    </edge>\n")
    lines.append("  </graph>\n</graphml>\n")
    Path(path).write_text("".join(lines), encoding="utf-8", newline="\n")


def _data(prefix: str, columns: Mapping[str, Sequence[Any]], row: int) -> list[str]:
    return [f'<data key="{prefix}_{key}">{_text(column[row])}</data>' for key, column in columns.items()]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        return repr(value)
    unwritable = _UNWRITABLE.search(value)
    if unwritable:
        got = f"U+{ord(unwritable[0]):04X} in {value!r}"
        raise invalid("text", "writable in XML", got, "rename it, or write CSV")
    # A bare carriage return would be read back as a line feed.
    return escape(value, {"\r": "&#13;"})
