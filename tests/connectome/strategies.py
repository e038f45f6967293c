"""Connectomes with every column filled, incl. weights, odd names and shuffled visit ranks, as a Hypothesis strategy."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from elegans_gnn.connectome import ROLES, Connectome

# XML can write neither surrogates nor most control characters; tab, line feed and carriage return are the hard cases.
TEXT = st.text(st.characters(exclude_categories=("Cs", "Cc"), include_characters="\t\n\r"), max_size=6)
XML_SAFE = TEXT.filter(lambda text: not set(text) & {"\ufffe", "\uffff"})
# Shortest-digit printing matters here: values whose 15-digit form is not exact, and the ends of the range.
WEIGHTS = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def connectomes(draw: st.DrawFn, *, min_neurons: int = 0, max_neurons: int = 7, gap_only: bool = False) -> Connectome:
    """Any valid connectome: isolated neurons, self-loops, several kinds between two neurons, no edges at all."""
    names = draw(st.lists(XML_SAFE.filter(bool), unique=True, min_size=min_neurons, max_size=max_neurons))
    size = len(names)
    kinds = st.sampled_from(["gap"] if gap_only else ["chemical", "gap", "neuropeptide-short", "éβ <&>\"'"])
    neuron = st.integers(0, max(0, size - 1))
    triples = draw(st.sets(st.tuples(neuron, neuron, kinds), max_size=20)) if size else set()
    entries: dict[tuple[int, int, str], tuple[int, float]] = {}
    for pre, post, kind in sorted(triples):
        value = draw(st.tuples(st.integers(0, 2**40), WEIGHTS))
        entries[pre, post, kind] = value
        if kind == "gap":
            entries[post, pre, kind] = value
    rows = list(entries)
    return Connectome.from_edges(
        draw(XML_SAFE),
        np.array(names, dtype=np.str_),
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([row[1] for row in rows], dtype=np.int64),
        kinds=np.array([row[2] for row in rows], dtype=np.str_),
        counts=np.array([entries[row][0] for row in rows], dtype=np.int64),
        weights=[entries[row][1] for row in rows] if draw(st.booleans()) else None,
        roles=np.array([draw(st.sampled_from(ROLES)) for _ in names], dtype=np.str_),
        classes=np.array([draw(XML_SAFE) for _ in names], dtype=np.str_),
        sides=np.array([draw(st.sampled_from(["", "L", "R"])) for _ in names], dtype=np.str_),
        transmitters=np.array(
            [draw(st.sampled_from(["", "acetylcholine", "dopamine+glutamate", "NA", "Ach,x"])) for _ in names],
            dtype=np.str_,
        ),
        sexes=np.array([draw(st.sampled_from(["", "male"])) for _ in names], dtype=np.str_),
        visit_rank=np.array(draw(st.permutations(range(size))), dtype=np.int64),
        source=draw(XML_SAFE),
    )


def same(a: Connectome, b: Connectome) -> bool:
    """Equal in every column, in the title and in the source note."""
    assert a.fingerprint == b.fingerprint, a.diff(b)
    return (a.name, a.source) == (b.name, b.source)


def chain(**columns: object) -> Connectome:
    """ASH -> AVA (chemical, 3), AVA = DA1 (gap, 2), AVA -> AVA (chemical, 1), and DVA by itself."""
    given = {
        "kinds": ["chemical", "gap", "gap", "chemical"],
        "counts": [3, 2, 2, 1],
        "roles": ["sensory", "inter", "motor", "unknown"],
    } | columns
    return Connectome.from_edges(
        "chain",
        ["ASH", "AVA", "DA1", "DVA"],
        [0, 1, 2, 1],
        [1, 2, 1, 1],
        **given,  # type: ignore[arg-type]
    )
