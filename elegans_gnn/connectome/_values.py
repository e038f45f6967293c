"""The values of a connectome: parsers for single values of files and graphs, and checks of whole arrays."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elegans_gnn.errors import invalid, unknown_name

ROLES = ("sensory", "inter", "motor", "polymodal", "unknown")
CHEMICAL, GAP, MERGED, UNKNOWN = "chemical", "gap", "merged", "unknown"
_KINDS = {"chemical": CHEMICAL, **dict.fromkeys(("gap", "gap junction", "gap_junction", "electrical", "gj"), GAP)}
_SHORT_ROLES = {"S": "sensory", "I": "inter", "M": "motor", "": "unknown"}
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]*)?([eE][+-]?[0-9]{1,3})?")
_EXACT = 2**53  # above, a float cannot hold every integer
_SHOWN = 40  # letters of a value in a message


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that counts digits as numbers: DA1, DA2, ..., DA9, DA10."""
    parts = re.findall(r"\d+|\D+", name)
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts)


def plain_name(name: str) -> str:
    """The name without leading zeros, as the bundled tables write it: DD06 -> DD6."""
    return re.sub(r"(?<=[A-Za-z])0+(?=[0-9])", "", name)


def parse_name(value: Any) -> str:
    """The name of a neuron."""
    if value == "":
        raise ValueError("a neuron without a name")
    return str(value)


def parse_role(value: Any) -> str:
    """One of :data:`ROLES`, or its short form S, I or M; empty is unknown."""
    text = _SHORT_ROLES.get(str(value), str(value))
    if text not in ROLES:
        raise ValueError(f"{text[:_SHOWN]!r} is not one of {', '.join(ROLES)}")
    return text


def parse_count(value: Any) -> int:
    """An integer >= 0 from 3, 3.0, "3", "3.0" or "3e0"."""
    number: Any = value
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value.strip()):
            raise ValueError(f"{value[:_SHOWN]!r} is not an integer")
        number = Decimal(value.strip())
    elif not math.isfinite(value):
        raise ValueError(f"{value!r} is not an integer")
    if number < 0:
        raise ValueError(f"{str(value)[:_SHOWN]} is negative")
    if number >= 2**63:
        raise ValueError(f"{str(value)[:_SHOWN]} does not fit into 64 bits")
    if number != int(number):
        raise ValueError(f"{value!r:.{_SHOWN}} is not an integer")
    return int(number)


def parse_weight(value: Any) -> float:
    """A finite float from a number or its text."""
    if isinstance(value, str) and "_" in value:
        raise ValueError(f"{value[:_SHOWN]!r} is not a number")  # float() takes 1_000 for 1000
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is not finite")
    return number


def counts_or_weights(columns: Mapping[str, Any]) -> dict[str, Any]:
    """Columns of entries in which weights without counts are counts if all are whole and not negative."""
    if columns.get("weights") is None or columns.get("counts") is not None:
        return dict(columns)
    values = np.asarray(columns["weights"], dtype=np.float64)
    whole = bool(((values >= 0) & (values < _EXACT) & (values == np.trunc(values))).all())
    return {**columns, "weights": None, "counts": values.astype(np.int64)} if whole else dict(columns)


def text_column(argument: str, values: ArrayLike, length: int) -> NDArray[np.str_]:
    """Text of any kind."""
    array = np.array(values, dtype=np.str_)
    _check_length(argument, array, length)
    return array


def name_column(argument: str, values: ArrayLike, length: int) -> NDArray[np.str_]:
    """Unique names, never empty."""
    names = text_column(argument, values, length)
    if (names == "").any():
        raise invalid(argument, "non-empty", f"'' at row {int(np.flatnonzero(names == '')[0])}", "name every neuron")
    unique, occurrences = np.unique(names, return_counts=True)
    if len(unique) != length:
        twice = str(unique[occurrences > 1][0])
        raise invalid(argument, "unique", f"{twice!r} {int(occurrences.max())} times", "drop or rename the duplicates")
    return names


def role_column(argument: str, values: ArrayLike, length: int) -> NDArray[np.str_]:
    """One of :data:`ROLES` each."""
    roles = text_column(argument, values, length)
    stray = ~np.isin(roles, ROLES)
    if stray.any():
        raise unknown_name(argument, str(roles[stray][0]), ROLES)
    return roles


def parse_kind(text: str) -> str:
    """A kind of synapse; the field's words for the two common ones, in any case, are one kind each."""
    return _KINDS.get(text.strip().lower(), text)


def kind_column(argument: str, values: ArrayLike, length: int) -> NDArray[np.str_]:
    """Text, never empty."""
    kinds = text_column(argument, values, length)
    if (kinds == "").any():
        raise invalid(argument, "non-empty", "''", "name a kind such as chemical or gap for each entry")
    return kinds


def integer_column(argument: str, values: ArrayLike, length: int) -> NDArray[np.int64]:
    """Whole numbers, as integers or as floats, that fit into 64 bits."""
    array = np.asarray(values)
    _check_length(argument, array, length)
    whole = array.dtype.kind in "iu" or (array.dtype.kind == "f" and np.array_equal(array, np.trunc(array)))
    if array.size and not whole:
        raise invalid(argument, "integers", f"dtype {array.dtype}", "put measured strengths into weights instead")
    if array.size and max(abs(int(array.max())), abs(int(array.min()))) >= 2**63:
        raise invalid(argument, "64-bit integers", array[np.abs(array).argmax()], "put measured strengths into weights")
    return np.array(array, dtype=np.int64)


def count_column(argument: str, values: ArrayLike, length: int) -> NDArray[np.int64]:
    """Integers >= 0."""
    counts = integer_column(argument, values, length)
    if (counts < 0).any():
        raise invalid(argument, ">= 0", int(counts.min()), "drop the entry or put its sign into weights")
    return counts


def rank_column(argument: str, values: ArrayLike, length: int) -> NDArray[np.int64]:
    """Each of 0 .. length - 1 once."""
    ranks = integer_column(argument, values, length)
    if not np.array_equal(np.sort(ranks), np.arange(length)):
        raise invalid(argument, f"a permutation of 0..{length - 1}", "other values", "rank each neuron once")
    return ranks


def float_column(argument: str, values: ArrayLike, length: int) -> NDArray[np.float64]:
    """Finite floats."""
    array = np.array(values, dtype=np.float64)
    _check_length(argument, array, length)
    if not np.isfinite(array).all():
        raise invalid(argument, "finite", f"{array[~np.isfinite(array)][0]}", "replace or drop those entries")
    return array


def full_column(argument: str, values: ArrayLike, length: int, dtype: Any = None) -> NDArray[Any]:
    """A new array from a scalar or from one value per row."""
    array = np.asarray(values, dtype=dtype)
    if array.ndim:
        _check_length(argument, array, length)
    return np.array(np.broadcast_to(array, (length,)))


def _check_length(argument: str, array: NDArray[Any], length: int) -> None:
    if array.shape != (length,):
        raise invalid(argument, f"of shape [{length}]", list(array.shape), "give one value per row of the table")
