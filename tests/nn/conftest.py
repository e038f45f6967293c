"""The graphs of these tests: the worm, and five neurons one can check by eye."""

from __future__ import annotations

import pytest

from elegans_gnn import Connectome, load_connectome


@pytest.fixture(scope="module")
def worm() -> Connectome:
    return load_connectome("varshney2011")


@pytest.fixture
def small() -> Connectome:
    """Five neurons: a chain, a gap junction, a pair of both kinds, a self-loop, and E isolated."""
    return Connectome.from_edges(
        "small",
        ["A", "B", "C", "D", "E"],
        ["A", "B", "B", "C", "C", "D", "D"],
        ["B", "C", "C", "B", "D", "D", "A"],
        kinds=["chemical", "chemical", "gap", "gap", "chemical", "gap", "chemical"],
        counts=[1, 4, 2, 2, 9, 1, 3],
        roles=["sensory", "inter", "inter", "motor", "motor"],
        transmitters=["acetylcholine", "GABA", "dopamine", "", "glutamate"],
    )
