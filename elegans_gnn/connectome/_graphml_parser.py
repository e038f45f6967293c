"""A GraphML parser for files from any source: no entities, no external references, and the line of every error."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn
from xml.sax import SAXParseException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl, Locator

from defusedxml.common import DefusedXmlException
from defusedxml.expatreader import DefusedExpatParser

from elegans_gnn.connectome._attributes import ASSIGNABLE, NAME_ATTRIBUTES, AttributeTable
from elegans_gnn.connectome._columns import ENTRY_COLUMNS
from elegans_gnn.connectome._elegans_ai import EDGE_ATTRIBUTES, EXACT, NODE_ATTRIBUTES
from elegans_gnn.connectome._files import checked_head
from elegans_gnn.connectome._headers import plain
from elegans_gnn.errors import ConnectomeFormatError

_CHUNK = 1 << 16
_MAX_DEPTH = 64
_ALSO = (name for column in ENTRY_COLUMNS for name in column.also)
_KNOWN = frozenset((*ASSIGNABLE, *NAME_ATTRIBUTES, *NODE_ATTRIBUTES, *EDGE_ATTRIBUTES, *_ALSO, "source"))
_EXPORT = "export the graph again as GraphML"
_DOMAINS = ("graph", "node", "edge")


def parse_graphml(path: Path, max_bytes: int, wanted: Iterable[str] = ()) -> AttributeTable:
    """The nodes, edges and known (or wanted) attributes of a GraphML file.

    Raises:
        ConnectomeFormatError: with the line.
    """
    checked_head(path, max_bytes)
    handler = _Handler(path, wanted)
    parser = _Parser(forbid_dtd=False, forbid_entities=True, forbid_external=True)
    parser.setContentHandler(handler)
    handler.setDocumentLocator(parser)  # the parser does not do so when it is fed in pieces
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                parser.feed(chunk)
            parser.close()
    except SAXParseException as error:
        remedy = "the file is damaged, cut off, or not in the encoding that it declares; " + _EXPORT
        raise ConnectomeFormatError(path, error.getMessage(), remedy, line=error.getLineNumber()) from error
    except DefusedXmlException as error:
        problem = f"{type(error).__name__}: entities and external references are not read"
        raise ConnectomeFormatError(path, problem, "write the text itself in their place", line=handler.line) from error
    except (LookupError, ValueError) as error:
        if isinstance(error, ConnectomeFormatError):
            raise
        # Expat asks Python for encodings that it does not know.
        raise ConnectomeFormatError(path, str(error), "save it as UTF-8", line=handler.line) from error
    return handler.table()


class _Parser(DefusedExpatParser):
    """Accepts the document type of old GraphML, but neither fetches it nor lets it declare anything."""

    def defused_external_entity_ref_handler(
        self, context: str | None, base: str | None, sysid: str | None, pubid: str | None
    ) -> int:
        if context is None:
            return 1  # the document type itself; 1 means continue
        return int(super().defused_external_entity_ref_handler(context, base, sysid, pubid))


class _Handler(ContentHandler):
    """Collects the attributes of each element as a row."""

    def __init__(self, path: Path, wanted: Iterable[str]) -> None:
        super().__init__()
        self._path = path
        self._wanted = _KNOWN | frozenset(wanted)
        self._locator: Locator | None = None
        self._open: list[str] = []
        self._keys: dict[str, tuple[str, str]] = {}  # id -> (graph, node, edge or all; attribute name)
        self._defaults: dict[str, dict[str, str]] = {domain: {} for domain in _DOMAINS}
        self._key = ""
        self._text: list[str] | None = None
        self._graphs = 0
        self._directed = True
        self._rows: dict[str, list[dict[str, str]]] = {domain: [] for domain in _DOMAINS}
        self._lines: dict[str, array[int]] = {domain: array("q") for domain in _DOMAINS}
        self._position: dict[str, int] = {}
        self._ends: list[tuple[str, str]] = []
        self._undirected: list[bool] = []

    @property
    def line(self) -> int | None:
        """The line that the parser has reached."""
        return self._locator.getLineNumber() if self._locator is not None else None

    def setDocumentLocator(self, locator: Locator) -> None:  # noqa: N802
        self._locator = locator

    def startElement(self, name: str, attrs: AttributesImpl) -> None:  # noqa: N802
        element = name.rpartition(":")[2]
        if not self._open and element != "graphml":
            self._refuse(f"this is an XML document of <{name[:40]}>, not of <graphml>", _EXPORT)
        if len(self._open) >= _MAX_DEPTH:
            self._refuse(f"elements nested deeper than {_MAX_DEPTH}", _EXPORT)
        self._open.append(element)
        if "data" not in self._open[:-1]:  # drawing programs write further elements inside data
            start: Callable[[AttributesImpl], None] | None = getattr(self, f"_start_{element}", None)
            if start is not None:
                start(attrs)

    def characters(self, content: str) -> None:
        if self._text is not None:
            self._text.append(content)

    def endElement(self, name: str) -> None:  # noqa: N802
        element = self._open.pop()
        if self._text is None or element not in ("data", "default") or "data" in self._open:
            return
        domain, attribute = self._keys[self._key]
        text, self._text = "".join(self._text), None
        if element == "default":
            for each in _DOMAINS if domain == "all" else (domain,):
                self._defaults[each][attribute] = text
        elif self._open[-1] in _DOMAINS:
            self._rows[self._open[-1]][-1][attribute] = text

    def _start_key(self, attrs: AttributesImpl) -> None:
        self._key = self._required(attrs, "key", "id")
        attribute = attrs.get("attr.name", self._key)
        self._keys[self._key] = (attrs.get("for", "all"), attribute)

    def _start_default(self, attrs: AttributesImpl) -> None:
        if self._is_wanted(self._key) and self._keys[self._key][0] in (*_DOMAINS, "all"):
            self._text = []

    def _start_data(self, attrs: AttributesImpl) -> None:
        self._key = self._required(attrs, "data", "key")
        if self._key not in self._keys:
            self._refuse(f"data of key {self._key!r}, which is not declared", "declare it with <key> before <graph>")
        if self._is_wanted(self._key):
            self._text = []

    def _start_graph(self, attrs: AttributesImpl) -> None:
        self._graphs += 1
        if self._graphs > 1:
            self._refuse("a second or nested graph", "write one graph per file")
        default = attrs.get("edgedefault", "directed")
        if default not in ("directed", "undirected"):
            self._refuse(f"edgedefault {default!r}", "write directed or undirected")
        self._directed = default == "directed"
        self._append("graph")

    def _start_node(self, attrs: AttributesImpl) -> None:
        identifier = self._required(attrs, "node", "id")
        if identifier in self._position:
            self._refuse(f"node {identifier!r} appears twice", "write one node per neuron")
        self._position[identifier] = len(self._position)
        self._append("node")

    def _start_edge(self, attrs: AttributesImpl) -> None:
        self._ends.append((self._required(attrs, "edge", "source"), self._required(attrs, "edge", "target")))
        self._undirected.append(attrs.get("directed", str(self._directed).lower()) == "false")
        self._append("edge")

    def _start_hyperedge(self, attrs: AttributesImpl) -> None:
        self._refuse("a hyperedge", "write it as edges between pairs of neurons")

    def table(self) -> AttributeTable:
        """Everything that was read, as columns; edges are checked here, because they may come before their nodes."""
        if not self._graphs:
            raise ConnectomeFormatError(self._path, "no <graph> in it", _EXPORT)
        pre, post = [], []
        for row, ends in enumerate(self._ends):
            for end in ends:
                if end not in self._position:
                    raise self._error("edge", row, f"edge to unknown node {end!r}", "add the node or drop the edge")
            pre.append(self._position[ends[0]])
            post.append(self._position[ends[1]])
        about = self._defaults["graph"] | self._rows["graph"][0]
        return AttributeTable(
            ids=list(self._position),
            pre=pre,
            post=post,
            undirected=self._undirected,
            refuse=self._error,
            nodes=self._columns("node"),
            edges=self._columns("edge"),
            title=about.get("name", ""),
            source=about.get("source", ""),
        )

    def _columns(self, domain: str) -> dict[str, list[Any]]:
        rows, defaults = self._rows[domain], self._defaults[domain]
        present = dict.fromkeys([*defaults, *(attribute for row in rows for attribute in row)])
        return {attribute: [row.get(attribute, defaults.get(attribute)) for row in rows] for attribute in present}

    def _append(self, domain: str) -> None:
        self._rows[domain].append({})
        self._lines[domain].append(self.line or 0)

    def _is_wanted(self, key: str) -> bool:
        attribute = self._keys[key][1]
        return attribute in self._wanted or plain(attribute) in self._wanted or attribute.startswith(EXACT)

    def _required(self, attrs: AttributesImpl, element: str, attribute: str) -> str:
        if attribute not in attrs:
            self._refuse(f"<{element}> without {attribute}", f"give every {element} its {attribute}")
        return str(attrs[attribute])

    def _error(self, domain: str, row: int, problem: str, remedy: str) -> ConnectomeFormatError:
        return ConnectomeFormatError(self._path, problem, remedy, line=self._lines[domain][row])

    def _refuse(self, problem: str, remedy: str) -> NoReturn:
        raise ConnectomeFormatError(self._path, problem, remedy, line=self.line)
