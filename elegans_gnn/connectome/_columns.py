"""The columns of a connectome, as a table: one row says of a column its names, its check, its parser, its default."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elegans_gnn.connectome._values import (
    GAP,
    ROLES,
    count_column,
    float_column,
    integer_column,
    kind_column,
    name_column,
    natural_key,
    parse_count,
    parse_kind,
    parse_name,
    parse_role,
    parse_weight,
    plain_name,
    rank_column,
    role_column,
    text_column,
)
from elegans_gnn.errors import invalid, unknown_name

# The default of columns whose length only __post_init__ knows; afterwards none of them is None.
_FILLED_LATER: Any = None


Check = Callable[[str, ArrayLike, int], NDArray[Any]]
Parse = Callable[[Any], Any]


@dataclass(frozen=True)
class Column:
    """The names of one column and the values it can hold.

    Attributes:
        attribute: its name in CSV, NetworkX, igraph and GraphML.
        check: builds the array from (field name, values, length); a ValueError says what is wrong.
        parse: reads one value of a file or a graph; a ValueError says what is wrong.
        default: for rows without a value. None: either all rows have a value or none has.
        pyg: its name in PyG data.
        also: further names that tables and graphs of others have for it.
        field: its name in :class:`Columns`.
    """

    attribute: str
    check: Check
    parse: Parse
    default: str | None
    pyg: str
    also: tuple[str, ...] = ()
    field: str = ""

    def __str__(self) -> str:
        return f"{self.attribute} (or {', '.join(self.also)})" if self.also else self.attribute


def _neuron(
    attribute: str,
    check: Check = text_column,
    parse: Parse = str,
    default: str | None = "",
    *also: str,
    pyg: str = "",
) -> dict[str, Column]:
    return {"neuron": Column(attribute, check, parse, default, pyg or attribute, also)}


def _entry(attribute: str, check: Check, parse: Parse, *also: str, default: str | None = None) -> dict[str, Column]:
    return {"entry": Column(attribute, check, parse, default, f"edge_{attribute}", also)}


@dataclass(frozen=True, eq=False, repr=False)
class Columns:
    """The checked, read-only columns of a connectome, with one row per neuron [N] or one row per entry [E].

    To add a column, add one line here: every reader, writer and converter follows this table.
    :class:`elegans_gnn.Connectome` explains each column and adds the operations.
    """

    name: str
    names: NDArray[np.str_] = field(
        metadata=_neuron("name", name_column, parse_name, None, "neuron", "cell", pyg="names")
    )
    roles: NDArray[np.str_] = field(metadata=_neuron("role", role_column, parse_role, "unknown"))
    pre: NDArray[np.int64] = field(metadata=_entry("pre", integer_column, str, "source", "from", "pre_id"))
    post: NDArray[np.int64] = field(metadata=_entry("post", integer_column, str, "target", "to", "post_id"))
    kinds: NDArray[np.str_] = field(metadata=_entry("kind", kind_column, parse_kind, "type", default=""))
    counts: NDArray[np.int64] = field(
        metadata=_entry("count", count_column, parse_count, "synapses", "n", "number_of_synapses")
    )
    weights: NDArray[np.float64] | None = field(default=None, metadata=_entry("weight", float_column, parse_weight))
    classes: NDArray[np.str_] = field(default=_FILLED_LATER, metadata=_neuron("class", pyg="neuron_class"))
    sides: NDArray[np.str_] = field(default=_FILLED_LATER, metadata=_neuron("side"))
    transmitters: NDArray[np.str_] = field(default=_FILLED_LATER, metadata=_neuron("transmitter"))
    sexes: NDArray[np.str_] = field(default=_FILLED_LATER, metadata=_neuron("sex"))
    visit_rank: NDArray[np.int64] = field(
        default=_FILLED_LATER, metadata=_neuron("visit_rank", rank_column, parse_count, None)
    )
    source: str = ""

    def __post_init__(self) -> None:
        size, edges = len(self.names), len(self.pre)
        checked: dict[str, NDArray[Any]] = {}
        for column in NEURON_COLUMNS:
            given = getattr(self, column.field)
            if given is None:
                given = np.arange(size) if column.default is None else np.full(size, column.default)
            checked[column.field] = column.check(column.field, given, size)
        for column in ENTRY_COLUMNS:
            given = getattr(self, column.field)
            if given is not None:
                checked[column.field] = column.check(column.field, given, edges)
        for key, values in checked.items():
            values.flags.writeable = False
            object.__setattr__(self, key, values)
        _check_entries(self)

    @property
    def num_neurons(self) -> int:
        """N, the length of the neuron axis."""
        return len(self.names)

    @property
    def num_edges(self) -> int:
        """E, the number of directed entries (a gap junction between two neurons counts twice)."""
        return len(self.pre)

    @property
    def edge_index(self) -> NDArray[np.int64]:
        """[2, E] row 0 the presynaptic, row 1 the postsynaptic neuron: PyG's source and target."""
        return np.stack([self.pre, self.post])

    @property
    def kind_names(self) -> tuple[str, ...]:
        """The kinds of synapse present, sorted."""
        return tuple(str(kind) for kind in np.unique(self.kinds))

    @property
    def wired(self) -> NDArray[np.bool_]:
        """[N] whether a neuron has at least one synapse."""
        has_synapse = np.zeros(self.num_neurons, dtype=bool)
        has_synapse[self.pre] = True
        has_synapse[self.post] = True
        return has_synapse

    @cached_property
    def _row_of(self) -> dict[str, int]:
        return {str(name): row for row, name in enumerate(self.names)}

    def index(self, names: str | Iterable[str]) -> NDArray[np.int64]:
        """Indices of neurons by name, in the given order; DD06 finds DD6 if no neuron is called DD06.

        Raises:
            ValueError: a name is unknown; the message names the nearest one.
        """
        return named_rows(self, names, "names")

    def role_index(self, role: str) -> NDArray[np.int64]:
        """Indices of the neurons of one role, ascending (possibly none)."""
        if role not in ROLES:
            raise unknown_name("role", role, ROLES)
        return np.flatnonzero(self.roles == role)


Graph = TypeVar("Graph", bound=Columns)


def _table(axis: str) -> tuple[Column, ...]:
    return tuple(replace(item.metadata[axis], field=item.name) for item in fields(Columns) if axis in item.metadata)


NEURON_COLUMNS, ENTRY_COLUMNS = _table("neuron"), _table("entry")


def neuron_columns(graph: Columns) -> dict[str, NDArray[Any]]:
    """The columns with one row per neuron, by field."""
    return {column.field: getattr(graph, column.field) for column in NEURON_COLUMNS}


def entry_columns(graph: Columns) -> dict[str, NDArray[Any] | None]:
    """The columns with one row per entry, by field; weights may be None."""
    return {column.field: getattr(graph, column.field) for column in ENTRY_COLUMNS}


def named_rows(graph: Columns, names: str | Iterable[str], argument: str) -> NDArray[np.int64]:
    """:meth:`Columns.index` for an argument of another name."""
    given = [names] if isinstance(names, str) else [str(name) for name in names]
    row_of = graph._row_of
    wanted = [name if name in row_of else plain_name(name) for name in given]
    for name, found in zip(given, wanted, strict=True):
        if found not in row_of:
            raise unknown_name(argument, name, sorted(row_of, key=natural_key))
    return np.array([row_of[name] for name in wanted], dtype=np.int64)


def take(columns: Mapping[str, NDArray[Any] | None], rows: Any) -> dict[str, Any]:
    """Some rows of each column (indices, a mask or a slice)."""
    return {key: None if values is None else values[rows] for key, values in columns.items()}


def canonical_order(*keys: NDArray[Any]) -> NDArray[np.intp]:
    """The one order of entries: by pre, then post, then (if given) kind; equal entries keep their order."""
    # Most tables are in order, and checking is 10 times faster than sorting; disorder mostly shows in the first key.
    if _falls(keys[0]).any() or _falls(*keys).any():
        return np.lexsort(keys[::-1])
    return np.arange(len(keys[0]))


def in_order(entries: Mapping[str, NDArray[Any] | None]) -> dict[str, Any]:
    """Columns of entries in canonical order."""
    return take(entries, canonical_order(*_keys(entries)))


def first_repeat(*keys: NDArray[Any]) -> int | None:
    """The first row that has the pre, post and (if given) kind of an earlier one."""
    order = canonical_order(*keys)
    new = _group_starts(*(key[order] for key in keys))
    return None if new.all() else int(order[~new].min())


def summed(entries: Mapping[str, NDArray[Any] | None]) -> dict[str, Any]:
    """One entry per (pre, post, kind), in canonical order, with the counts and weights of equal entries added up."""
    ordered = in_order(entries)
    new = _group_starts(*_keys(ordered))
    group = np.cumsum(new) - 1
    total = take(ordered, new)
    for key in ("counts", "weights"):
        if total[key] is not None:
            total[key] = np.zeros_like(total[key])
            np.add.at(total[key], group, ordered[key])
    return total


def both_ways(entries: Mapping[str, NDArray[Any] | None]) -> dict[str, Any]:
    """The entries, and the other direction of each gap junction if every one is given once."""
    pre, post, kinds = _keys(entries)
    once = np.flatnonzero((kinds == GAP) & (pre != post))
    base = 1 + max(pre.max(initial=0), post.max(initial=0))
    if not len(once) or np.isin(pre[once] * base + post[once], post[once] * base + pre[once]).any():
        return dict(entries)
    rows = np.concatenate([np.arange(len(pre)), once])
    ends = {"pre": np.concatenate([pre, post[once]]), "post": np.concatenate([post, pre[once]])}
    return take(entries, rows) | ends


def _keys(entries: Mapping[str, Any]) -> tuple[Any, Any, Any]:
    return entries["pre"], entries["post"], entries["kinds"]


def _group_starts(*keys: NDArray[Any]) -> NDArray[np.bool_]:
    """[E] for sorted entries: whether an entry differs from the one before it."""
    new = np.ones(len(keys[0]), dtype=bool)
    new[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return new


def _falls(*keys: NDArray[Any], or_equals: bool = False) -> NDArray[np.bool_]:
    """[E - 1] whether an entry sorts before the entry that precedes it (with `or_equals`, or equals it)."""
    last = keys[-1]
    falls: NDArray[np.bool_] = last[1:] <= last[:-1] if or_equals else last[1:] < last[:-1]
    for key in keys[-2::-1]:
        falls = (key[1:] < key[:-1]) | ((key[1:] == key[:-1]) & falls)
    return falls


def _check_entries(graph: Columns) -> None:
    size = graph.num_neurons
    for argument, ends in (("pre", graph.pre), ("post", graph.post)):
        outside = (ends < 0) | (ends >= size)
        if outside.any():
            raise invalid(argument, f"indices in 0..{size - 1}", int(ends[outside][0]), "check the neuron table")
    late = _falls(graph.pre, graph.post, graph.kinds, or_equals=True)
    if late.any():
        at = int(np.flatnonzero(late)[0]) + 1
        entry = f"{_label(graph, at)} ({graph.kinds[at]})"
        repeated = not _falls(*(column[at - 1 : at + 1] for column in _keys(entry_columns(graph)))).any()
        got, remedy = (f"{entry} twice", "add up its counts") if repeated else (f"{entry} late", "use from_edges")
        raise invalid("edges", "sorted by (pre, post, kind) without repeats", got, remedy)
    _check_gap_pairs(graph)


def _check_gap_pairs(graph: Columns) -> None:
    gap = np.flatnonzero(graph.kinds == GAP)
    pair = graph.pre[gap] * graph.num_neurons + graph.post[gap]
    reverse = graph.post[gap] * graph.num_neurons + graph.pre[gap]
    mirrored = gap[np.argsort(reverse, kind="stable")]
    lacking = ~np.isin(reverse, pair)
    if lacking.any():
        got, remedy = f"{_label(graph, gap[lacking][0])} alone", "add its other direction"
    else:
        differs = graph.counts[gap] != graph.counts[mirrored]
        if graph.weights is not None:
            differs |= graph.weights[gap] != graph.weights[mirrored]
        if not differs.any():
            return
        got = f"{_label(graph, gap[differs][0])} unlike its other direction"
        remedy = "give both the same count and weight"
    raise invalid("gap edges", "present in both directions with equal counts and weights", got, remedy)


def _label(graph: Columns, entry: int) -> str:
    return f"{graph.names[graph.pre[entry]]} -> {graph.names[graph.post[entry]]}"
