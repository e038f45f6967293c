from __future__ import annotations

import pytest

from elegans_gnn.connectome import Connectome, load_connectome


@pytest.fixture(scope="session")
def worm() -> Connectome:
    return load_connectome("varshney2011")


@pytest.fixture(scope="session")
def mixed() -> Connectome:
    """Nine neurons, four kinds, self-loops in each of three, mutual pairs, weights, an isolated neuron (the last)."""
    links = [
        *[
            ("chemical", u, v)
            for u, v in [(0, 1), (1, 0), (1, 2), (2, 3), (3, 0), (4, 1), (5, 5), (5, 6), (6, 2), (7, 3)]
        ],
        *[("gap", u, v) for u, v in [(0, 2), (2, 0), (1, 3), (3, 1), (4, 4), (4, 6), (6, 4), (5, 7), (7, 5)]],
        *[("monoamine", u, v) for u, v in [(7, 0), (6, 1), (5, 2), (4, 3)]],
        *[("neuropeptide-short", u, v) for u, v in [(0, 0), (1, 1), (2, 6), (6, 5), (5, 2), (3, 4)]],
    ]
    counts = [1 + (3 * min(u, v) + 5 * max(u, v)) % 7 for _, u, v in links]
    return Connectome.from_edges(
        "mixed",
        [f"N{i}" for i in range(9)],
        [u for _, u, _ in links],
        [v for _, _, v in links],
        kinds=[kind for kind, _, _ in links],
        counts=counts,
        weights=[count / 8 for count in counts],
        roles=["sensory", "sensory", "inter", "inter", "motor", "motor", "motor", "polymodal", "unknown"],
        visit_rank=[8, 3, 1, 0, 2, 4, 7, 6, 5],
        source="a test",
    )
