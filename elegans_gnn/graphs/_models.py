"""The random graphs by name, and the one function that draws them."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from elegans_gnn.connectome import Connectome, open_connectome
from elegans_gnn.errors import invalid, unknown_name
from elegans_gnn.graphs import _grown, _rewired
from elegans_gnn.graphs._layers import IntArray, Layer, Wiring, place_loops, put_together, take_apart
from elegans_gnn.graphs._stream import Stream

_OPTION_RANGE = {"p": (0.0, 1.0), "swaps": (0.5, 10_000.0)}


class NullModelWarning(UserWarning):
    """A random graph that is less random than asked for: part or all of the wiring came out as it was."""


@dataclass(frozen=True)
class RandomModel:
    """What is known about a model before any graph is drawn.

    Args:
        name: the name :func:`random_connectome` takes.
        summary: one line on what is drawn.
        preserves: quantities of :func:`match_report` that are equal by construction, in each layer, beyond those that
            every model keeps (:data:`ALWAYS_PRESERVED`).
        build: draws the links of one layer; gets the layer, a stream, and what `needs` names.
        needs: ``"place"`` (a random place of each neuron, shared by the layers), ``"roles"``, or nothing.
        loops: where self-loops go: ``"kept"`` in place, ``"anywhere"``, or to a neuron of the same ``"role"``.
        options: options and their defaults.
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
_DEGREES = ("in-degrees alike", "out-degrees alike", "degrees alike")
_SWAPS = MappingProxyType({"swaps": 10.0})


def _models() -> tuple[RandomModel, ...]:
    return (
        RandomModel(
            "erdos-renyi", "every graph with as many links is equally likely", (), _grown.erdos_renyi, loops="anywhere"
        ),
        RandomModel(
            "barabasi-albert",
            "growth with preferential attachment, randomly oriented",
            ("mutual pairs",),
            _grown.barabasi_albert,
            needs="place",
            loops="anywhere",
        ),
        RandomModel(
            "watts-strogatz",
            "ring lattice with a share p of its links let go, randomly oriented",
            ("mutual pairs",),
            _grown.watts_strogatz,
            needs="place",
            loops="anywhere",
            options=MappingProxyType({"p": 0.1}),
        ),
        RandomModel(
            "configuration",
            "stubs joined at random: degrees kept, no trace of the wiring",
            (*_DEGREES, "out-strengths alike"),
            _rewired.configuration,
            options=_SWAPS,
        ),
        RandomModel(
            "degree-preserving",
            "the wiring mixed by swaps that keep each neuron's degrees",
            (*_DEGREES, "out-strengths alike"),
            _rewired.degree_preserving,
            options=_SWAPS,
        ),
        RandomModel(
            "reciprocity-preserving",
            "as degree-preserving, with one-way and mutual links mixed apart",
            (*_DEGREES, "out-strengths alike", "mutual pairs"),
            _rewired.reciprocity_preserving,
            options=_SWAPS,
        ),
        RandomModel(
            "role-block",
            "every graph with as many links from role to role is equally likely",
            ("role blocks", "role blocks, synapses"),
            _grown.role_block,
            needs="roles",
            loops="role",
        ),
        RandomModel(
            "strength-shuffle",
            "the wiring kept, the synapse counts dealt out anew",
            (*_DEGREES, "mutual pairs", "role blocks", "links in place"),
            _rewired.strength_shuffle,
        ),
        RandomModel(
            "lattice",
            "links between nearest neighbours on a ring, randomly oriented",
            ("mutual pairs",),
            _grown.lattice,
            needs="place",
            loops="anywhere",
        ),
        RandomModel(
            "rewired",
            "a share p of the links led to a new place",
            ("out-degrees alike", "out-strengths alike"),
            _rewired.rewired,
            options=MappingProxyType({"p": 0.5}),
        ),
    )


RANDOM_MODELS: Mapping[str, RandomModel] = MappingProxyType({model.name: model for model in _models()})


def list_random_models() -> tuple[str, ...]:
    """Names that :func:`random_connectome` takes."""
    return tuple(RANDOM_MODELS)


def random_connectome(model: str, *, like: Connectome, seed: int, **options: float) -> Connectome:
    """Draw a random graph to hold against a connectome.

    Neurons, roles and visit ranks are those of `like`. Each kind of synapse is drawn by itself and keeps its exact
    number of links (directed edges; pairs for ``gap``), of self-loops, and its synapse counts (and weights), which are
    dealt out anew or travel with their presynaptic neuron, as the model says. Where a model has geometry (a ring, an
    order of arrival), one random placement of the neurons per seed serves all kinds. The number of distinct ordered
    pairs over all kinds is not fixed; draw from ``like.merged()`` where it must be.

    The same (model, options, seed, like) gives the same graph on every machine and NumPy version, and a kind's links do
    not depend on which other kinds are present.

    Args:
        model: one of :func:`list_random_models`.
        like: the connectome to match.
        seed: a non-negative integer.
        options: ``p`` (watts-strogatz: default 0.1; rewired: 0.5) or ``swaps``, the swaps tried per link
            (configuration, degree-preserving, reciprocity-preserving: 10).

    Raises:
        ValueError: unknown model or option, an option out of range, or a request that cannot be met: a graph without
            any possible swap (a complete graph, a single edge), too few free places for ``rewired``.

    Warns:
        NullModelWarning: a kind of synapse has no possible swap, or the graph came out equal to `like`.
    """
    spec, chosen = _checked(model, like, seed, options)
    label = "".join(f"-{option}{value}" for option, value in chosen.items() if value != spec.options[option])
    place = Stream(seed, model, "placement").permutation(like.num_neurons)
    layers, frozen, movable = [], [], 0
    for layer in take_apart(like):
        stream = Stream(seed, model, "layer", layer.kind)
        given = {"place": place, "roles": like.roles}.get(spec.needs)
        wiring = spec.build(layer, stream, *(() if given is None else (given,)), **chosen)
        if layer.num_links:
            frozen += [layer.kind] if wiring.frozen else []
            movable += not wiring.frozen
        layers.append(_rewire(layer, wiring, _loop_groups(spec, like), stream))
    if frozen:
        _report_frozen(model, like, frozen, movable)
    source = f"Random graph ({model}{label}, seed {seed}) matched to {like.name}. {like.source}".rstrip()
    graph = put_together(like, layers, name=f"{like.name}-{model}{label}-seed{seed}", source=source)
    if chosen.get("p") != 0:
        _report_unchanged(spec, like, graph)
    return graph


def _checked(model: str, like: Any, seed: Any, options: Mapping[str, Any]) -> tuple[RandomModel, dict[str, float]]:
    if model not in RANDOM_MODELS:
        raise unknown_name("model", str(model), RANDOM_MODELS)
    if not isinstance(like, Connectome):
        raise invalid("like", "a Connectome", repr(like), "use load_connectome(name)")
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if number < 0:
        raise invalid("seed", "a non-negative integer", repr(seed), "pass seed=0")
    spec = RANDOM_MODELS[model]
    for option, value in options.items():
        if option not in spec.options:
            known = ", ".join(spec.options) or "none"
            raise invalid("options", f"among those of {model} ({known})", option, "leave it out or change the model")
        low, high = _OPTION_RANGE[option]
        if not (isinstance(value, (int, float)) and low <= value <= high):
            remedy = f"the default is {spec.options[option]:g}"
            raise invalid(option, f"a number in {low:g}..{high:g}", repr(value), remedy)
    return spec, {**spec.options, **options}


def _loop_groups(spec: RandomModel, like: Connectome) -> IntArray | None:
    if spec.loops == "kept":
        return None
    labels: NDArray[np.str_] = like.roles if spec.loops == "role" else np.zeros(like.num_neurons, dtype=np.str_)
    return np.unique(labels, return_inverse=True)[1]


def _rewire(layer: Layer, wiring: Wiring, loop_groups: IntArray | None, stream: Stream) -> Layer:
    moved = replace(layer, tail=wiring.tail, head=wiring.head, entry=layer.entry[wiring.origin])
    return moved if loop_groups is None else place_loops(moved, loop_groups, stream)


def _report_frozen(model: str, like: Connectome, frozen: list[str], movable: int) -> None:
    if not movable:
        got = f"{like.name!r}, in which no swap is possible"
        remedy = "its degrees allow no other wiring; use erdos-renyi or another connectome"
        raise invalid("like", f"a graph that {model} can change", got, remedy)
    text = f"{model}: no swap is possible among the {', '.join(frozen)} links of {like.name!r}; they are unchanged"
    warnings.warn(text, NullModelWarning, stacklevel=3)


def _report_unchanged(spec: RandomModel, like: Connectome, graph: Connectome) -> None:
    columns = ["pre", "post", "kinds"]
    # A model that keeps the topology has to change the counts instead.
    if "links in place" in spec.preserves:
        columns += ["counts"] if like.weights is None else ["counts", "weights"]
    if (like.pre != like.post).any() and all(
        np.array_equal(getattr(like, column), getattr(graph, column)) for column in columns
    ):
        text = f"{spec.name}: the graph drawn has the same synapses as {like.name!r}; it is no test against it"
        warnings.warn(text, NullModelWarning, stacklevel=3)


def open_graph(connectome: str, graph: str = "original", seed: int = 0, *, argument: str = "connectome") -> Connectome:
    """A connectome by its name or path, or the random graph drawn like it (stub until the merge)."""
    if graph != "original" and graph not in list_random_models():
        raise unknown_name("graph", graph, ("original", *list_random_models()))
    opened = open_connectome(connectome, argument=argument)
    return opened if graph == "original" else random_connectome(graph, like=opened, seed=seed)
