"""Draws the random graphs of the table, and opens a graph by the names that commands and settings use."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from elegans_gnn.connectome import Connectome, open_connectome
from elegans_gnn.errors import invalid, unknown_name
from elegans_gnn.graphs._layers import from_layers, layers_of, move_loops
from elegans_gnn.graphs._models import OPTION_RANGE, RANDOM_MODELS, RandomModel, list_random_models
from elegans_gnn.graphs._stream import Stream


class NullModelWarning(UserWarning):
    """A random graph that is less random than requested: part or all of the wiring is unchanged."""


def open_graph(
    connectome: str,
    graph: str = "original",
    seed: int = 0,
    *,
    argument: str = "connectome",
    graph_argument: str = "graph",
) -> Connectome:
    """A connectome by name or path, or a random graph like it.

    Args:
        connectome: a name or a path, see :func:`~elegans_gnn.connectome.open_connectome`.
        graph: ``"original"`` for the connectome itself, or one of :func:`list_random_models`, drawn with its defaults.
        seed: of the random graph; has no effect with ``graph="original"``.
        argument, graph_argument: the names of the arguments `connectome` and `graph` in error messages.

    Raises:
        ValueError: an unknown connectome or graph, or a random graph that cannot be drawn.
    """
    known = ("original", *list_random_models())
    if graph not in known:
        raise unknown_name(graph_argument, graph, known)
    original = open_connectome(connectome, argument=argument)
    return original if graph == "original" else random_connectome(graph, like=original, seed=seed)


def random_connectome(model: str, *, like: Connectome, seed: int, **options: float) -> Connectome:
    """Draw a random graph to compare with a connectome.

    Neurons, roles and visit ranks are those of `like`. Each kind of synapse is drawn separately. It keeps its exact
    number of links (directed edges; pairs for ``gap``) and of self-loops, and its synapse counts (and weights). The
    model shuffles the counts among the links, or keeps each with its presynaptic neuron. Where a model has geometry (a
    ring, an order of arrival), all kinds share one random placement of the neurons per seed. The number of distinct
    ordered pairs over all kinds is not fixed; if it must be, draw from ``like.merged()``.

    The same (model, options, seed, like) gives the same graph on every machine and NumPy version. The links of a kind
    do not depend on which other kinds are present.

    Args:
        model: one of :func:`list_random_models`.
        like: the connectome to match.
        seed: a non-negative integer.
        options: ``p`` (watts-strogatz: default 0.1; rewired: 0.5) or ``swaps``, the swaps tried per link (models
            that swap links: 10); see ``RANDOM_MODELS[model].options``.

    Raises:
        ValueError: unknown model or option, an option out of range, or a request that cannot be met: a graph without
            any possible swap (a complete graph, a single edge), too few free places for ``rewired``.

    Warns:
        NullModelWarning: a kind of synapse has no possible swap, or the graph is equal to `like`.
    """
    spec, chosen = _checked(model, like, seed, options)
    label = "".join(f"-{option}{value}" for option, value in chosen.items() if value != spec.options[option])
    place = Stream(seed, model, "placement").permutation(like.num_neurons)
    roles = np.unique(like.roles, return_inverse=True)[1]
    given = {"place": (place,), "roles": (roles,), "": ()}[spec.needs]
    loop_groups = roles if spec.loops == "role" else np.zeros_like(roles)
    layers, frozen = [], {}
    for layer in layers_of(like):
        stream = Stream(seed, model, "layer", layer.kind)
        wiring = spec.build(layer, stream, *given, **chosen)
        if layer.num_links:
            frozen[layer.kind] = wiring.frozen
        moved = replace(layer, tail=wiring.tail, head=wiring.head, entry=layer.entry[wiring.origin])
        layers.append(moved if spec.loops == "kept" else move_loops(moved, loop_groups, stream))
    if any(frozen.values()):
        _report_frozen(model, like, frozen)
    source = f"Random graph ({model}{label}, seed {seed}) matched to {like.name}. {like.source}".rstrip()
    graph = from_layers(like, layers, name=f"{like.name}-{model}{label}-seed{seed}", source=source)
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
            raise invalid("options", f"among those of {model} ({known})", option, "omit it or choose another model")
        low, high = OPTION_RANGE[option]
        if not (isinstance(value, (int, float)) and low <= value <= high):
            remedy = f"the default is {spec.options[option]:g}"
            raise invalid(option, f"a number in {low:g}..{high:g}", repr(value), remedy)
    return spec, {**spec.options, **options}


def _report_frozen(model: str, like: Connectome, frozen: Mapping[str, bool]) -> None:
    if all(frozen.values()):
        got = f"{like.name!r}, in which no swap is possible"
        remedy = "its degrees allow no other wiring; use erdos-renyi or another connectome"
        raise invalid("like", f"a graph that {model} can change", got, remedy)
    kinds = ", ".join(kind for kind, stays in frozen.items() if stays)
    text = f"{model}: no swap is possible among the {kinds} links of {like.name!r}; they are unchanged"
    warnings.warn(text, NullModelWarning, stacklevel=3)


def _report_unchanged(spec: RandomModel, like: Connectome, graph: Connectome) -> None:
    columns = ["pre", "post", "kinds"]
    # A model that keeps the topology has to change the counts instead.
    if "links in place" in spec.preserves:
        columns += ["counts", "weights"]
    unchanged = all(np.array_equal(getattr(like, column), getattr(graph, column)) for column in columns)
    if unchanged and (like.pre != like.post).any():
        text = f"{spec.name}: the graph drawn has the same synapses as {like.name!r}; comparing them shows nothing"
        warnings.warn(text, NullModelWarning, stacklevel=3)
