"""Files that are no connectomes, and what must be said of each."""

from __future__ import annotations

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
OPEN = '<graphml xmlns="http://graphml.graphdrawing.org/xmlns">\n'
KEYS = (
    '<key id="r" for="node" attr.name="role" attr.type="string"/>\n'
    '<key id="c" for="edge" attr.name="count" attr.type="int"/>\n'
    '<key id="w" for="edge" attr.name="weight" attr.type="double"/>\n'
)
NODES = '<graph edgedefault="directed">\n<node id="a"/>\n<node id="b"/>\n'
CLOSE = "</graph>\n</graphml>\n"
BOMB = (
    HEAD
    + "<!DOCTYPE graphml [\n<!ENTITY a0 'lol'>\n"
    + "".join(f"<!ENTITY a{n} '{f'&a{n - 1};' * 10}'>\n" for n in range(1, 10))
    + f"]>\n{OPEN}<graph><node id='&a9;'/></graph></graphml>"
)
QUADRATIC = HEAD + f"<!DOCTYPE graphml [<!ENTITY a '{'x' * 50_000}'>]>\n{OPEN}{'&a;' * 50_000}</graphml>"
EXTERNAL = (
    HEAD + '<!DOCTYPE graphml [\n<!ENTITY x SYSTEM "file:///etc/passwd">\n]>\n'
    f'{OPEN}<graph><node id="&x;"/></graph></graphml>'
)
PARAMETER = HEAD + f'<!DOCTYPE graphml [\n<!ENTITY % x SYSTEM "http://127.0.0.1:9/x.dtd">\n%x;\n]>\n{OPEN}</graphml>'
UNPARSED = HEAD + f'<!DOCTYPE graphml [\n<!NOTATION n SYSTEM "x">\n<!ENTITY x SYSTEM "x" NDATA n>\n]>\n{OPEN}</graphml>'
BODY = HEAD + OPEN + KEYS + NODES
HTML = "<!DOCTYPE html>\n<html lang='en'><head><title>Sign in<br></title></head><body>&nbsp;</body></html>"

# name: text or bytes, line (None where the whole file is meant), what the message says
GRAPHML = {
    "truncated in a tag": (BODY + '<edge source="a" tar', 9, "unclosed token|not well-formed"),
    "truncated between tags": (BODY + '<edge source="a" target="b">\n', 10, "no element found"),
    "truncated before the root": (HEAD, 2, "no element found"),
    "entity bomb": (BOMB, 3, "EntitiesForbidden: entities and external references are not read"),
    "quadratic entity bomb": (QUADRATIC, 2, "EntitiesForbidden"),
    "external entity": (EXTERNAL, 3, "EntitiesForbidden"),
    "external parameter entity": (PARAMETER, 3, "EntitiesForbidden"),
    "unparsed entity": (UNPARSED, 4, "EntitiesForbidden"),
    "HTML": (HTML, 1, "this is an HTML page; download the raw file"),
    "HTML in capitals after a comment": ("<!-- saved -->\n<HTML><BODY></BODY></HTML>", 1, "this is an HTML page"),
    "another XML": (HEAD + "<gexf/>", 2, "this is an XML document of <gexf>, not of <graphml>"),
    "CSV": ("pre,post\na,b\n", 1, "syntax error|not well-formed"),
    "declared UTF-8, written in Latin-1": (
        BODY.replace('"b"', '"\xe9"').encode("latin-1") + CLOSE.encode(),
        8,
        "invalid token",
    ),
    "unknown encoding": (HEAD.replace("UTF-8", "klingon") + OPEN + CLOSE, 1, "unknown encoding"),
    "multi-byte encoding": (
        HEAD.replace("UTF-8", "shift_jis") + OPEN + CLOSE,
        1,
        "multi-byte encodings are not supported",
    ),
    "no graph": (HEAD + OPEN + "</graphml>", None, "no <graph> in it"),
    "two graphs": (BODY + '</graph><graph edgedefault="directed"/></graphml>', 9, "a second or nested graph"),
    "nested graph": (BODY + '<node id="c"><graph/></node>' + CLOSE, 9, "a second or nested graph"),
    "hyperedge": (BODY + "<hyperedge/>" + CLOSE, 9, "a hyperedge; write it as edges between pairs"),
    "node without id": (BODY + "<node/>" + CLOSE, 9, "<node> without id"),
    "edge without target": (BODY + '<edge source="a"/>' + CLOSE, 9, "<edge> without target"),
    "data without key": (BODY + '<node id="c"><data>x</data></node>' + CLOSE, 9, "<data> without key"),
    "undeclared key": (
        BODY + '<node id="c"><data key="q">x</data></node>' + CLOSE,
        9,
        "key 'q', which is not declared",
    ),
    "duplicate node id": (BODY + '<node id="a"/>' + CLOSE, 9, "node 'a' appears twice"),
    "duplicate neuron name": (
        HEAD
        + OPEN
        + '<key id="n" for="node" attr.name="name"/>\n<graph>\n<node id="0"><data key="n">AVAL</data></node>\n'
        '<node id="1"><data key="n">AVAL</data></node>\n' + CLOSE,
        6,
        "neuron 'AVAL' appears twice",
    ),
    "edge to unknown neuron": (BODY + '\n<edge source="a" target="z"/>' + CLOSE, 10, "edge to unknown node 'z'"),
    "NaN count": (
        BODY + '<edge source="a" target="b"><data key="c">NaN</data></edge>' + CLOSE,
        9,
        "'NaN' is not an integer",
    ),
    "negative count": (
        BODY + '<edge source="a" target="b"><data key="c">-3</data></edge>' + CLOSE,
        9,
        "-3 is negative",
    ),
    "fractional count": (
        BODY + '<edge source="a" target="b"><data key="c">1.5</data></edge>' + CLOSE,
        9,
        "not an integer",
    ),
    "NaN weight": (BODY + '<edge source="a" target="b"><data key="w">nan</data></edge>' + CLOSE, 9, "is not finite"),
    "infinite weight": (
        BODY + '<edge source="a" target="b"><data key="w">1e999</data></edge>' + CLOSE,
        9,
        "is not finite",
    ),
    "missing weight": (
        BODY + '<edge source="a" target="b"><data key="w">1</data></edge>\n<edge source="b" target="a"/>' + CLOSE,
        10,
        "attribute 'weight' is missing here and present elsewhere",
    ),
    "unknown role": (BODY + '<node id="c"><data key="r">boss</data></node>' + CLOSE, 9, "'boss' is not one of sensory"),
    "repeated edge": (BODY + '<edge source="a" target="b"/>\n' * 2 + CLOSE, 10, r"a -> b \(chemical\) appears twice"),
    "one-sided gap junction": (
        HEAD + OPEN + '<key id="k" for="edge" attr.name="kind"/>\n<graph><node id="a"/><node id="b"/><node id="c"/>\n'
        '<edge source="a" target="b"><data key="k">gap</data></edge>\n'
        '<edge source="b" target="a"><data key="k">gap</data></edge>\n'
        '<edge source="b" target="c"><data key="k">gap</data></edge>' + CLOSE,
        None,
        "gap edges must be present in both directions",
    ),
    "unknown synapse type": (
        HEAD
        + OPEN
        + '<key id="n" for="node" attr.name="cell_name"/><key id="s" for="edge" attr.name="synapse_type"/>\n'
        '<graph><node id="0"><data key="n">A</data></node>\n'
        '<edge source="0" target="0"><data key="s">X</data></edge>' + CLOSE,
        5,
        "synapse_type 'X' is neither C nor E",
    ),
    "odd edgedefault": (HEAD + OPEN + '<graph edgedefault="maybe"/></graphml>', 3, "edgedefault 'maybe'"),
    "deep nesting": (HEAD + OPEN + "<x>" * 100_000, 3, "elements nested deeper than 64"),
    "empty": ("", None, "the file is empty"),
    "gzip": (b"\x1f\x8b\x08\x00rest", None, "this is a gzip archive; unpack it first"),
    "zip": (b"PK\x03\x04rest", None, "this is a zip archive"),
    "zeros": (bytes(4096), 1, "not well-formed"),
}
NEURONS = "name,role\na,sensory\nb,motor\n"
# name: neurons.csv, synapses.csv, the file at fault, line, what the message says
CSV: dict[str, tuple[str | bytes, str | bytes, str, int | None, str]] = {
    "missing column": (
        NEURONS,
        "pre,count\na,1\n",
        "synapses",
        1,
        "column 'post' is missing; the columns understood are pre \\(or source, from",
    ),
    "missing name column": ("role\nmotor\n", "pre,post\n", "neurons", 1, "column 'name' is missing"),
    "misspelt column": (
        NEURONS,
        "pre,post,weigth\n",
        "synapses",
        1,
        "column 'weigth' is unknown; drop it or rename it; the columns understood are pre",
    ),
    "repeated column": (
        NEURONS,
        "pre,post,post\n",
        "synapses",
        1,
        "column 'post' is repeated, by this or another name; keep one",
    ),
    "NaN count": (
        NEURONS,
        "pre,post,count\na,b,1\nb,a,nan\n",
        "synapses",
        3,
        "column 'count': 'nan' is not an integer",
    ),
    "negative count": (NEURONS, "pre,post,count\na,b,-1\n", "synapses", 2, "column 'count': -1 is negative"),
    "fractional count": (NEURONS, "pre,post,count\na,b,1.5\n", "synapses", 2, "'1.5' is not an integer"),
    "count with underscore": (NEURONS, "pre,post,count\na,b,1_0\n", "synapses", 2, "'1_0' is not an integer"),
    "endless count": (NEURONS, f"pre,post,count\na,b,{'9' * 30}\n", "synapses", 2, "9999 does not fit into 64 bits"),
    "count with a fraction": (NEURONS, "pre,post,count\na,b,3.0\nb,a,3.5\n", "synapses", 3, "'3.5' is not an integer"),
    "endless digits": (NEURONS, f"pre,post,count\na,b,{'9' * 100_000}\n", "synapses", 2, "does not fit into 64 bits"),
    "endless fraction": (NEURONS, f"pre,post,count\na,b,1.{'9' * 100_000}\n", "synapses", 2, "9 is not an integer"),
    "NaN weight": (NEURONS, "pre,post,weight\na,b,nan\n", "synapses", 2, "column 'weight': 'nan' is not finite"),
    "weight with underscore": (NEURONS, "pre,post,weight\na,b,1_0\n", "synapses", 2, "'1_0' is not a number"),
    "no kind": (NEURONS, "pre,post,kind\na,b,\n", "synapses", 2, "a kind without a name"),
    "duplicate neuron": ("name\na\nb\na\n", "pre,post\n", "neurons", 4, "neuron 'a' appears twice"),
    "nameless neuron": ('name,role\n"",motor\n', "pre,post\n", "neurons", 2, "a neuron without a name"),
    "unknown role": ("name,role\na,boss\n", "pre,post\n", "neurons", 2, "column 'role': 'boss' is not one of sensory"),
    "edge to unknown neuron": (
        NEURONS,
        "pre,post\na,z\n",
        "synapses",
        2,
        "column 'post': 'z' is not a neuron of neurons.csv",
    ),
    "entry twice": (
        NEURONS,
        "pre,post\na,b\n\nb,a\na,b\n",
        "synapses",
        5,
        r"a -> b \(chemical\) appears twice; .* parallel='sum' to add them up",
    ),
    "semicolons": (
        NEURONS,
        "pre;post;count\na;b;1\n",
        "synapses",
        1,
        "the columns are separated by semicolons; save it",
    ),
    "tabs": (NEURONS, "pre\tpost\na\tb\n", "synapses", 1, "the columns are separated by tabs; save it with commas, or"),
    "short row": (NEURONS, "pre,post,count\na,b\n", "synapses", 2, "2 cells where the header has 3"),
    "open quote": (NEURONS, 'pre,post\n"a,b\n', "synapses", 2, "unexpected end of data"),
    "one-sided gap junction": (
        NEURONS,
        "pre,post,kind,count\na,b,gap,1\nb,a,gap,2\n",
        "synapses",
        None,
        "gap edges must be present in both",
    ),
    "visit rank that is none": (
        "name,visit_rank\na,0\nb,0\n",
        "pre,post\n",
        "synapses",
        None,
        "visit_rank must be a permutation",
    ),
    "Latin-1": ("name\na\n\xe9\n".encode("latin-1"), "pre,post\n", "neurons", 3, "not UTF-8 text; save it as UTF-8"),
    "Latin-1 far down": (NEURONS, b"pre,post\n" + b"\n" * 30_000 + b"\xe9,a\n", "synapses", 30_002, "not UTF-8 text"),
    "UTF-16": (NEURONS, "pre,post\na,b\n".encode("utf-16"), "synapses", 1, "NUL bytes: a binary file or UTF-16 text"),
    "HTML": (NEURONS, HTML, "synapses", 1, "this is an HTML page"),
    "XML": (NEURONS, HEAD + OPEN, "synapses", 1, "this is XML, not CSV; read GraphML with read_graphml"),
    "one endless cell": (NEURONS, "pre,post\n" + "a" * 200_000, "synapses", 2, "field larger than field limit"),
    "empty": (NEURONS, "", "synapses", None, "the file is empty"),
    "blank": (NEURONS, "\n\n", "synapses", 1, "column 'pre' is missing"),
}
