"""Which columns of a table, or attributes of a graph, are which of ours: by our names, and by those of the field."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypedDict, TypeVar

from elegans_gnn.connectome._columns import Column
from elegans_gnn.errors import invalid

T = TypeVar("T")
_CHOOSE = "keep one, or choose with attributes={ours: theirs}"
Attributes = Mapping[str, str | None]
Refuse = Callable[[str, str], ValueError]  # of a problem and a remedy


class Options(TypedDict, total=False):
    """What every reader of tables and graphs takes, see :meth:`Connectome.from_networkx`."""

    attributes: Attributes | None
    kind: str | None
    parallel: str
    roles: Any


def our_columns(
    given: Mapping[str, T], columns: Iterable[Column], attributes: Attributes, refuse: Refuse
) -> dict[str, T]:
    """Our names -> what is given under them, as `attributes` says, else by name; case, ``_`` and spaces do not matter.

    Our own name goes before further names of the field, of which there can be only one.
    """
    found = {}
    for column in columns:
        ours = column.attribute
        if ours in attributes:
            theirs = attributes[ours]
            if theirs is not None and theirs not in given:
                expected = f"one of {sorted(given)}"
                raise invalid(f"attributes[{ours!r}]", expected, repr(theirs), "choose one of the list")
            meant = [] if theirs is None else [theirs]
        else:
            meant = [key for key in given if _means(key, column) and key not in attributes.values()]
        meant = [ours] if ours in meant else meant
        if len(meant) > 1:
            raise refuse(f"{meant[0]!r} and {meant[1]!r} both mean {ours}", _CHOOSE)
        if meant:
            found[ours] = given[meant[0]]
    return found


def table_columns(
    header: Sequence[str],
    columns: Sequence[Column],
    attributes: Attributes,
    required: Sequence[str],
    refuse: Refuse,
) -> dict[str, int]:
    """Our names -> positions in the header of a table, which must have the required columns and only known ones."""
    remedy = f"the columns understood are {', '.join(map(str, columns))}"
    position = {name: place for place, name in enumerate(header)}
    found = our_columns(position, columns, attributes, refuse)
    for name in required:
        if name not in found:
            raise refuse(f"column {name!r} is missing", remedy)
    for name in header:
        meaning = [column.attribute for column in columns if _means(name, column)]
        unused = position[name] not in found.values() and not attributes.keys() & meaning
        if header.count(name) > 1 or (unused and meaning):
            raise refuse(f"column {name!r} is repeated, by this or another name", _CHOOSE)
        if unused:
            raise refuse(f"column {name!r} is unknown", f"drop it or rename it; {remedy}")
    return found


def plain(name: str) -> str:
    """A name in small letters, with ``_`` for spaces."""
    return name.strip().lower().replace(" ", "_")


def _means(name: str, column: Column) -> bool:
    return plain(name) in (column.attribute, *column.also)
