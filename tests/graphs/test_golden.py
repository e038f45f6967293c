"""A seed means the same graph on every machine, in every version of NumPy and of this package."""

from __future__ import annotations

import pytest

from elegans_gnn.connectome import Connectome
from elegans_gnn.graphs import list_random_models, random_connectome

WORM = {
    "erdos-renyi": "1b5f529419f178ed",
    "barabasi-albert": "4a90fe787fe417c2",
    "watts-strogatz": "ab8a1e1bb560dbf5",
    "configuration": "558be071ce583551",
    "degree-preserving": "497fb097a398b878",
    "reciprocity-preserving": "bf12fa11ad3ce729",
    "role-degree": "7c490436eafad479",
    "role-block": "49b828f7f77681a8",
    "strength-shuffle": "8ddd94ec1ec702a1",
    "lattice": "288dd5873e0ff3d9",
    "rewired": "7a8e3bd46f074619",
}
MIXED = {
    "erdos-renyi": "276da4002a4efa60",
    "barabasi-albert": "62c8c883a9ad8f36",
    "watts-strogatz": "9851a62d835ef47a",
    "configuration": "337d31a3aa4c2036",
    "degree-preserving": "474b2cb015f1a12d",
    "reciprocity-preserving": "0c7842f437c70a08",
    "role-degree": "9963d44df395b0b3",
    "role-block": "ad51d32e3c95814f",
    "strength-shuffle": "ca5dda6603d1d16a",
    "lattice": "441e365f4f92aa2d",
    "rewired": "8c84e48dd5e3c155",
}


def bare(worm: Connectome) -> Connectome:
    """Neurons, roles and synapses alone, so that an annotation added to the tables changes no hash here."""
    return Connectome.from_edges(
        "bare", worm.names, worm.pre, worm.post, kinds=worm.kinds, counts=worm.counts, roles=worm.roles
    )


def test_the_graphs_drawn_from_are_the_golden_ones(worm: Connectome, mixed: Connectome) -> None:
    assert bare(worm).fingerprint[:16] == "267507c2336f73ac"
    assert mixed.fingerprint[:16] == "1788749f0ad2b139"


@pytest.mark.parametrize("model", list_random_models())
def test_worm(model: str, worm: Connectome) -> None:
    assert random_connectome(model, like=bare(worm), seed=2011).fingerprint[:16] == WORM[model]


@pytest.mark.parametrize("model", list_random_models())
def test_mixed(model: str, mixed: Connectome) -> None:
    assert random_connectome(model, like=mixed, seed=2**40 + 7).fingerprint[:16] == MIXED[model]
