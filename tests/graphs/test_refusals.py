"""Requests that cannot be met are refused or reported, and soon."""

from __future__ import annotations

import itertools
import subprocess
import sys
import time

import pytest

from elegans_gnn.connectome import Connectome
from elegans_gnn.graphs import NullModelWarning, list_random_models, random_connectome

SWAP_MODELS = ("configuration", "degree-preserving", "reciprocity-preserving", "role-degree")


def complete(size: int, kind: str = "chemical") -> Connectome:
    pairs = list(itertools.permutations(range(size), 2))
    ends = [u for u, _ in pairs], [v for _, v in pairs]
    return Connectome.from_edges(f"K{size}", [f"N{i}" for i in range(size)], *ends, kinds=kind)


@pytest.mark.parametrize("model", SWAP_MODELS)
@pytest.mark.parametrize("kind", ["chemical", "gap"])
@pytest.mark.parametrize("size", [2, 5, 40])
def test_a_complete_graph_cannot_be_rewired(model: str, kind: str, size: int) -> None:
    start = time.process_time()
    with pytest.raises(ValueError, match=f"like must be a graph that {model} can change, got 'K{size}'.*erdos-renyi"):
        random_connectome(model, like=complete(size, kind), seed=0)
    assert time.process_time() - start < 5


@pytest.mark.parametrize("model", SWAP_MODELS)
@pytest.mark.parametrize(("kind", "pre", "post"), [("chemical", [0], [1]), ("gap", [0, 1], [1, 0])])
def test_a_single_edge_cannot_be_rewired(model: str, kind: str, pre: list[int], post: list[int]) -> None:
    like = Connectome.from_edges("one", list("abc"), pre, post, kinds=kind)
    with pytest.raises(ValueError, match="no swap is possible"):
        random_connectome(model, like=like, seed=0)


@pytest.mark.parametrize("model", [name for name in list_random_models() if name not in SWAP_MODELS])
def test_a_complete_graph_is_reported_unchanged_or_refused(model: str) -> None:
    if model == "rewired":
        with pytest.raises(ValueError, match=r"p must be a share of links .* 15 of 30 .* and 0 found a free place"):
            random_connectome(model, like=complete(6), seed=0)
        return
    with pytest.warns(NullModelWarning, match=f"{model}: the graph drawn has the same synapses as 'K6'"):
        graph = random_connectome(model, like=complete(6), seed=0)
    assert graph.num_edges == 30


def test_one_kind_that_cannot_change_is_reported(worm: Connectome) -> None:
    chemical = worm.select(kinds="chemical")
    names = [*worm.names]
    like = Connectome.from_edges(
        "half frozen",
        names,
        [*chemical.pre, 0, 1],
        [*chemical.post, 1, 0],
        kinds=["chemical"] * chemical.num_edges + ["gap", "gap"],
    )
    with pytest.warns(NullModelWarning, match="no swap is possible among the gap links of 'half frozen'"):
        graph = random_connectome("degree-preserving", like=like, seed=0)
    assert graph.select(kinds="gap") == like.select(kinds="gap")


def test_dense_graph_that_can_still_change_is_not_refused() -> None:
    # Three neurons short of complete in a way that leaves exactly one legal swap.
    size, free = 5, {(0, 1), (2, 3)}
    pairs = [pair for pair in itertools.permutations(range(size), 2) if pair not in free]
    like = Connectome.from_edges("K5 less two", list("abcde"), [u for u, _ in pairs], [v for _, v in pairs])
    seen = set()
    for seed in range(12):
        try:
            seen.add(random_connectome("degree-preserving", like=like, seed=seed).fingerprint)
        except NullModelWarning:
            seen.add(like.fingerprint)
    assert len(seen) == 2


@pytest.mark.parametrize("model", list_random_models())
def test_nothing_to_draw_is_no_error(model: str) -> None:
    nobody = Connectome.from_edges("nobody", [], [], [])
    unlinked = Connectome.from_edges("unlinked", list("abc"), [], [], roles=["sensory", "inter", "motor"])
    loop = Connectome.from_edges("loop", ["a"], [0], [0], counts=4)
    for like in (nobody, unlinked, loop):
        graph = random_connectome(model, like=like, seed=0)
        assert graph == like


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": "watts-strogats"}, "did you mean 'watts-strogatz'"),
        ({"seed": -1}, "seed must be a non-negative integer, got -1"),
        ({"seed": 0.5}, "seed must be a non-negative integer, got 0.5"),
        ({"seed": None}, "seed must be a non-negative integer, got None"),
        ({"like": "varshney2011"}, "like must be a Connectome, got 'varshney2011'; use load_connectome"),
        ({"p": 1.5}, r"p must be a number in 0..1, got 1.5"),
        ({"p": float("nan")}, r"p must be a number in 0..1, got nan"),
        ({"p": "half"}, r"p must be a number in 0..1, got 'half'"),
        ({"q": 1}, r"options must be among those of watts-strogatz \(p\), got q"),
        ({"model": "erdos-renyi", "p": 0.1}, r"options must be among those of erdos-renyi \(none\), got p"),
        ({"model": "degree-preserving", "swaps": 0}, "swaps must be a number in 0.5..10000, got 0"),
    ],
)
def test_bad_arguments(arguments: dict[str, object], message: str, worm: Connectome) -> None:
    full = {"model": "watts-strogatz", "like": worm, "seed": 0, **arguments}
    model = full.pop("model")
    with pytest.raises(ValueError, match=message):
        random_connectome(model, **full)  # type: ignore[arg-type]


def test_the_seed_is_not_optional(worm: Connectome) -> None:
    with pytest.raises(TypeError, match="seed"):
        random_connectome("erdos-renyi", like=worm)  # type: ignore[call-arg]


def test_importing_graphs_loads_no_heavy_package() -> None:
    script = "import sys, elegans_gnn.graphs; print({'torch', 'networkx', 'igraph', 'scipy'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
