"""Graphs and networks for the tensor network's tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from elegans_gnn.connectome import Connectome
from elegans_gnn.nn.tensor_network import TensorNetwork
from elegans_gnn.nn.tensor_network.rules import LETTERS, RELATIONS

GOLDEN = Path(__file__).parent.parent / "data" / "golden"
GOLDEN_NAMES = ("add", "add_unitnorm", "mul_unitnorm", "reapply")
ROLE = {"S": "sensory", "I": "inter", "M": "motor"}


def make_graph(letters: str, edges: list[tuple[int, int]], **columns: Any) -> Connectome:
    """A graph with one neuron per letter of S, I, M."""
    pre, post = (np.array([edge[side] for edge in edges], dtype=np.int64) for side in (0, 1))
    names = [f"N{i}" for i in range(len(letters))]
    return Connectome.from_edges("graph", names, pre, post, roles=[ROLE[letter] for letter in letters], **columns)


def golden_arrays(name: str) -> dict[str, NDArray[Any]]:
    with np.load(GOLDEN / f"{name}.npz") as file:
        return dict(file)


def golden_graph(name: str = "add") -> Connectome:
    arrays = golden_arrays(name)
    return make_graph("".join(arrays["role"]), list(zip(arrays["src"].tolist(), arrays["dst"].tolist(), strict=True)))


def small() -> Connectome:
    """Every seventh neuron of the golden files' graph."""
    return golden_graph().subset(range(0, 279, 7))


def golden_network(name: str) -> tuple[TensorNetwork, dict[str, NDArray[Any]]]:
    """A float64 network with the weights of a golden file, and the file's arrays."""
    arrays = golden_arrays(name)
    config = json.loads(str(arrays["config"]))
    network = TensorNetwork(
        golden_graph(name),
        config["dim"],
        fuse={"add": "add", "mult": "mul"}[config["skip"]],
        unit_norm=config["unit_norm"],
        activation=config["activation"],
        order=config["order"],
        reapply=config["reapply"],
        ignored_relations=config["ignored"],
        num_heads=2,
        head_dim=4,
    ).double()
    used = np.flatnonzero(network.units.row_of >= 0)
    rows = network.units.row_of[used]
    with torch.no_grad():
        network.units.weight[rows] = torch.from_numpy(arrays["unit_weight"][used])
        network.units.bias[rows] = torch.from_numpy(arrays["unit_bias"][used])
        for ours, theirs in {"query": "q", "key": "k", "value": "v", "output": "out"}.items():
            part = getattr(network.readout.attention, ours)
            part.weight.copy_(torch.from_numpy(arrays[f"attention._w_{theirs}.weight"]))
            if part.bias is not None:  # the published code's key bias drops out of the softmax
                part.bias.copy_(torch.from_numpy(arrays[f"attention._w_{theirs}.bias"]))
    return network, arrays


@st.composite
def graphs(draw: st.DrawFn, most: int = 9) -> Connectome:
    """Small graphs with cycles, self-loops, isolated neurons and neurons no signal reaches; a motor one is reached."""
    letters = draw(st.lists(st.sampled_from(LETTERS), min_size=0, max_size=most - 2))
    spots = draw(st.permutations(range(len(letters) + 2)))
    letters = [(["S", "M", *letters])[spot] for spot in spots]
    sensory, motor = spots.index(0), spots.index(1)
    pair = st.tuples(*[st.integers(0, len(letters) - 1)] * 2)
    edges = draw(st.lists(pair, max_size=4 * len(letters), unique=True))
    edges = sorted({*edges, (sensory, motor)})
    ranks = np.array(draw(st.permutations(range(len(letters)))))
    return make_graph("".join(letters), edges, visit_rank=ranks, classes=[f"C{i // 2}" for i in range(len(letters))])


def orders() -> st.SearchStrategy[str]:
    """Random phases, the one that reaches the sure motor neuron among them."""
    phases = st.sampled_from([a + "->" + b for a in LETTERS for b in LETTERS + "O" if b != a or b != "O"])
    mixed = st.tuples(st.lists(phases, max_size=5), st.lists(phases, max_size=3))
    return mixed.map(lambda parts: ", ".join([*parts[0], "S->M", *parts[1]]))


def relation_sets(without: tuple[str, ...] = ()) -> st.SearchStrategy[tuple[str, ...]]:
    allowed = [relation for relation in RELATIONS if relation not in without]
    return st.lists(st.sampled_from(allowed), max_size=4, unique=True).map(tuple)


def relative_error(found: Tensor, expected: Tensor, floor: float = 1e-30) -> float:
    """Largest deviation in units of the largest expected value, or of the floor if that is larger."""
    if not expected.numel():
        return 0.0
    return float((found - expected).detach().abs().max()) / max(float(expected.detach().abs().max()), floor)


def gradients(output: Tensor, network: TensorNetwork, x: Tensor, seed: int = 0) -> dict[str, Tensor]:
    """Gradients of a random projection of the output, for the input and every parameter."""
    generator = torch.Generator().manual_seed(seed)
    cotangent = torch.randn(output.shape, dtype=output.dtype, generator=generator)
    named = {"x": x, **dict(network.named_parameters())}
    found = torch.autograd.grad((output * cotangent).sum(), list(named.values()), allow_unused=True)
    zeros = {key: torch.zeros_like(value) for key, value in named.items()}
    return {key: zeros[key] if value is None else value for key, value in zip(named, found, strict=True)}
