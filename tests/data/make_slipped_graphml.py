"""Make slipped_excerpt.graphml: 60 neurons of the worm with names shifted by one row against the wiring from DD6 on.

    python tests/data/make_slipped_graphml.py [FOLDER]

The GraphML of this graph that circulates has that slip in 172 of its 279 names, and too low a count in some chemical
entries. This excerpt has both, in the same format, made from our own table.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from elegans_gnn.connectome import Connectome, load_connectome, write_graphml

FIRST_SLIPPED = "DD6"
EXCERPT = slice(80, 140)
FILE = "slipped_excerpt.graphml"


def with_slip(graph: Connectome, first: str = FIRST_SLIPPED, shift: int = 1) -> Connectome:
    """The graph in which each name from `first` on stands on the wiring of the name `shift` rows further on."""
    rows = np.arange(graph.num_neurons)
    start = int(graph.index(first)[0])
    rows[start:] = np.roll(rows[start:], shift)
    return Connectome.from_edges(
        graph.name,
        graph.names,
        rows[graph.pre],
        rows[graph.post],
        kinds=graph.kinds,
        counts=graph.counts,
        roles=graph.roles,
        classes=graph.classes,
        sides=graph.sides,
        transmitters=graph.transmitters,
        sexes=graph.sexes,
        source=graph.source,
    )


def with_low_counts(graph: Connectome) -> Connectome:
    """The graph with one synapse less in every third chemical entry that has several."""
    several = np.flatnonzero((graph.kinds == "chemical") & (graph.counts > 1))
    counts = graph.counts.copy()
    counts[several[::3]] -= 1
    return replace(graph, counts=counts)


def main(folder: Path) -> None:
    """Write the file."""
    excerpt = load_connectome("varshney2011").subset(np.arange(279)[EXCERPT])
    write_graphml(with_slip(with_low_counts(excerpt)), folder / FILE, style="elegans-ai")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
