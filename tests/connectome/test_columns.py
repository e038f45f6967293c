"""The table of columns: it has every field of a connectome, and entries have one order."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elegans_gnn.connectome import Connectome, load_connectome
from elegans_gnn.connectome._columns import ENTRY_COLUMNS, NEURON_COLUMNS, canonical_order, first_repeat, summed

ENTRIES = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.sampled_from(["gap", "chemical", "z"]), st.integers(0, 9))
)


def test_every_field_has_a_row_in_the_table() -> None:
    columns = [*NEURON_COLUMNS, *ENTRY_COLUMNS]
    assert {item.name for item in fields(Connectome)} == {"name", "source", *(column.field for column in columns)}
    for names in ([c.attribute for c in columns], [c.pyg for c in columns]):
        assert len(set(names)) == len(names)


@settings(max_examples=100, deadline=None)
@given(ENTRIES)
def test_entries_are_ordered_and_added_up_as_a_dictionary_does(
    entries: list[tuple[int, int, str, int]],
) -> None:
    pre, post = (np.array([entry[end] for entry in entries], dtype=np.int64) for end in (0, 1))
    kinds = np.array([entry[2] for entry in entries], dtype=np.str_)
    counts = np.array([entry[3] for entry in entries], dtype=np.int64)
    # Python's sort is stable too.
    assert canonical_order(pre, post, kinds).tolist() == sorted(range(len(entries)), key=lambda row: entries[row][:3])
    keys = [entry[:3] for entry in entries]
    repeats = [row for row, key in enumerate(keys) if key in keys[:row]]
    assert first_repeat(pre, post, kinds) == (repeats[0] if repeats else None)
    total: dict[tuple[int, int, str], int] = {}
    for entry in entries:
        total[entry[:3]] = total.get(entry[:3], 0) + entry[3]
    added = summed({"pre": pre, "post": post, "kinds": kinds, "counts": counts, "weights": counts / 2})
    found = zip(*(added[key].tolist() for key in ("pre", "post", "kinds", "counts")), strict=True)
    assert list(found) == [(*key, total[key]) for key in sorted(total)]
    assert added["weights"].tolist() == [total[key] / 2 for key in sorted(total)]


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("Gap", "gap"),
        ("electrical", "gap"),
        ("Gap junction", "gap"),
        ("GJ", "gap"),
        ("Chemical", "chemical"),
        ("peptide", "peptide"),
    ],
)
def test_the_fields_words_for_a_kind_are_one_kind(written: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"pre,post,kind\na,b,{written}\n")
    assert set(load_connectome(tmp_path / "a.csv").kinds.tolist()) == {kind}
