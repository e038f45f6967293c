"""The table of random graphs: one row each. A new one is a file with its function, and a row here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from elegans_gnn.graphs._grown import barabasi_albert, erdos_renyi, lattice, role_block, watts_strogatz
from elegans_gnn.graphs._layers import Wiring
from elegans_gnn.graphs._rewired import (
    configuration,
    degree_preserving,
    reciprocity_preserving,
    rewired,
    role_degree,
    strength_shuffle,
)


@dataclass(frozen=True)
class RandomModel:
    """What is known about a model before any graph is drawn.

    Args:
        name: the name that :func:`random_connectome` takes.
        summary: one line on what is drawn.
        preserves: quantities of :func:`match_report` that are equal by construction, in each layer, beyond those that
            every model keeps (:data:`ALWAYS_PRESERVED`).
        build: draws the links of one layer; gets the layer, a stream, and what `needs` names.
        needs: ``"place"`` (a random place of each neuron, shared by the layers), ``"roles"`` (numbers), or nothing.
        loops: where self-loops go: ``"kept"`` in place, ``"anywhere"``, or to a neuron of the same ``"role"``.
        options: options and their defaults; the allowed values are in :data:`OPTION_RANGE`.
    """

    name: str
    summary: str
    preserves: tuple[str, ...]
    build: Callable[..., Wiring] = field(repr=False)
    needs: Literal["place", "roles", ""] = ""
    loops: Literal["kept", "anywhere", "role"] = "kept"
    options: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))


ALWAYS_PRESERVED = (
    "neurons",
    "names alike",
    "visit ranks alike",
    "links",
    "self-loops",
    "synapses",
    "counts alike",
    "weights alike",
)
OPTION_RANGE = {"p": (0.0, 1.0), "swaps": (0.5, 10_000.0)}

_DEGREES = ("in-degrees alike", "out-degrees alike", "degrees alike")
_OUTPUT = (*_DEGREES, "out-strengths alike")
_MUTUAL = ("mutual pairs",)
_BLOCKS = ("role blocks", "role blocks, synapses")
_TOPOLOGY = (*_DEGREES, "mutual pairs", "role blocks", "links in place")
_SWAPS = MappingProxyType({"swaps": 10.0})
_P_01, _P_05 = MappingProxyType({"p": 0.1}), MappingProxyType({"p": 0.5})

# fmt: off
_ROWS = (
    RandomModel("erdos-renyi", "every graph with as many links is equally likely",
                (), erdos_renyi, loops="anywhere"),
    RandomModel("barabasi-albert", "growth with preferential attachment, randomly oriented",
                _MUTUAL, barabasi_albert, needs="place", loops="anywhere"),
    RandomModel("watts-strogatz", "ring lattice with a share p of its links rewired, randomly oriented",
                _MUTUAL, watts_strogatz, needs="place", loops="anywhere", options=_P_01),
    RandomModel("configuration", "stubs joined at random: same degrees, independent of the wiring",
                _OUTPUT, configuration, options=_SWAPS),
    RandomModel("degree-preserving", "the wiring randomized by swaps that keep each neuron's degrees",
                _OUTPUT, degree_preserving, options=_SWAPS),
    RandomModel("reciprocity-preserving", "as degree-preserving, with separate swaps of one-way and mutual links",
                (*_OUTPUT, *_MUTUAL), reciprocity_preserving, options=_SWAPS),
    RandomModel("role-degree", "as degree-preserving, with the number of links from role to role kept as well",
                (*_OUTPUT, "role blocks"), role_degree, needs="roles", options=_SWAPS),
    RandomModel("role-block", "every graph with as many links from role to role is equally likely",
                _BLOCKS, role_block, needs="roles", loops="role"),
    RandomModel("strength-shuffle", "the same wiring, its synapse counts shuffled among the links",
                _TOPOLOGY, strength_shuffle),
    RandomModel("lattice", "links between nearest neighbours on a ring, randomly oriented",
                _MUTUAL, lattice, needs="place", loops="anywhere"),
    RandomModel("rewired", "a share p of the links moved to new places",
                ("out-degrees alike", "out-strengths alike"), rewired, options=_P_05),
)
# fmt: on

RANDOM_MODELS: Mapping[str, RandomModel] = MappingProxyType({row.name: row for row in _ROWS})


def list_random_models() -> tuple[str, ...]:
    """Names that :func:`random_connectome` takes."""
    return tuple(RANDOM_MODELS)
