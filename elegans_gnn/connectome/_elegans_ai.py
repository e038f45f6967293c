"""The attributes of the GraphML file that the authors of Elegans-AI (Bardozzo et al., 2024) publish with their code.

That file gives a node ``cell_name`` (DD06), ``cell_class``, ``neurotransmitters`` and ``role`` (S, M, or NA for all
others), and an edge ``synapse_type`` (C chemical, E electrical) and ``weight``, the number of synapses. These cannot
hold other kinds and roles, float weights, or a visit order. Further attributes, ``elegans_gnn.*``, hold them exactly.
They are written only where needed. The authors' code ignores them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from elegans_gnn.connectome._values import plain_name

NODE_ATTRIBUTES = ("name", "cell_name", "cell_class", "neurotransmitters", "role")
EDGE_ATTRIBUTES = ("synapse_type", "weight")
EXACT = "elegans_gnn."
_ENCODED = ("class", "transmitter", "role", "visit_rank")  # ours; all others have the same name in the file
_ROLE_OF = {"S": "sensory", "M": "motor", "I": "inter", "NA": "inter"}
_KIND_OF = {"C": "chemical", "E": "gap"}
_TRANSMITTER_OF = {"Ach": "acetylcholine", "DA": "dopamine", "5-HT": "serotonin", "GLU": "glutamate", "GABA": "GABA"}
_NUMBERED_CLASS = re.compile(r"(AS|CA|CP|DA|DB|DD|VA|VB|VC|VD)([0-9])")

Column = Sequence[Any]


def is_published_format(nodes: Mapping[str, Column], edges: Mapping[str, Column]) -> bool:
    """Whether the attributes are those of the published file."""
    return "cell_name" in nodes and (not edges or "synapse_type" in edges)


def decode_nodes(nodes: Mapping[str, Column]) -> dict[str, Column]:
    """Published node attributes -> ours."""
    rows = len(nodes["cell_name"])
    ours: dict[str, Column] = _others(nodes, NODE_ATTRIBUTES) | {
        "name": _mapped(nodes, "cell_name", rows, plain_name),
        "class": _mapped(nodes, "cell_class", rows, str),
        "transmitter": _mapped(nodes, "neurotransmitters", rows, _transmitter),
        "role": _mapped(nodes, "role", rows, lambda text: _ROLE_OF.get(text, text)),
    }
    return _with_exact(ours, nodes, rows)


def decode_edges(edges: Mapping[str, Column], refuse: Callable[[int, str, str], ValueError]) -> dict[str, Column]:
    """Published edge attributes -> ours."""
    if not edges:
        return {}
    kinds = []
    for row, text in enumerate(edges["synapse_type"]):
        if text not in _KIND_OF:
            raise refuse(row, f"synapse_type {text!r} is neither C nor E", "write C for chemical, E for electrical")
        kinds.append(_KIND_OF[text])
    ours: dict[str, Column] = _others(edges, EDGE_ATTRIBUTES) | {"kind": kinds}
    if "weight" in edges:
        ours["count"] = edges["weight"]
    return _with_exact(ours, edges, len(kinds))


def encode(
    names: Sequence[str], nodes: Mapping[str, Column], edges: Mapping[str, Column]
) -> tuple[dict[str, Column], dict[str, Column]]:
    """Our attributes -> published ones, and ``elegans_gnn.*`` for each column that these cannot hold exactly."""
    short_role = {role: short for short, role in _ROLE_OF.items()}  # the later one wins: inter is NA, as published
    short_kind = {kind: short for short, kind in _KIND_OF.items()}
    out_nodes: dict[str, Column] = {
        "name": [str(row + 1) for row in range(len(names))],
        "cell_name": [_NUMBERED_CLASS.sub(r"\g<1>0\2", name) if len(name) == 3 else name for name in names],
        "cell_class": list(nodes["class"]),
        "neurotransmitters": [_short_transmitter(text) for text in nodes["transmitter"]],
        "role": [short_role.get(role, "NA") for role in nodes["role"]],
        **{key: column for key, column in nodes.items() if key not in _ENCODED},
    }
    out_edges: dict[str, Column] = {
        "synapse_type": [short_kind.get(kind, "C") for kind in edges["kind"]],
        "weight": edges["count"],
    }
    ours = {"name": list(names), **nodes}
    kept = {**decode_nodes(out_nodes), "visit_rank": list(range(len(names)))}
    out_nodes |= {EXACT + key: column for key, column in ours.items() if list(kept[key]) != list(column)}
    kept = decode_edges(out_edges, lambda *_: ValueError())
    out_edges |= {EXACT + key: column for key, column in edges.items() if list(kept.get(key, ())) != list(column)}
    return out_nodes, out_edges


def _others(given: Mapping[str, Column], published: tuple[str, ...]) -> dict[str, Column]:
    """The attributes that the published file does not have; a caller may assign them."""
    return {key: column for key, column in given.items() if key not in published and not key.startswith(EXACT)}


def _mapped(nodes: Mapping[str, Column], attribute: str, rows: int, change: Callable[[str], str]) -> list[Any]:
    column = nodes.get(attribute, [None] * rows)
    return [None if value is None else change(str(value)) for value in column]


def _with_exact(ours: dict[str, Column], given: Mapping[str, Column], rows: int) -> dict[str, Column]:
    for attribute, column in given.items():
        if attribute.startswith(EXACT):
            ours[attribute.removeprefix(EXACT)] = column
    return {attribute: column for attribute, column in ours.items() if len(column) == rows}


def _transmitter(text: str) -> str:
    if text == "NA":
        return ""
    return "+".join(_TRANSMITTER_OF.get(part, part) for part in text.split(","))


def _short_transmitter(text: str) -> str:
    short = {ours: theirs for theirs, ours in _TRANSMITTER_OF.items()}
    return ",".join(short.get(part, part) for part in text.split("+")) if text else "NA"
