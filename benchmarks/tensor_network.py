"""The tensor network against the loop over synapses, and against its own matrix products.

    python benchmarks/tensor_network.py [--smoke] [--repeats 15]

Prints a table: training steps (forward and backward of the whole layer, readout included) against the project's own
loop in the same process, taken in turns; the core against the batched matrix products of its first arrivals and nothing
else; memory; and what the schedule found.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from measure import Step, conditions, interleaved, ratio, summary
from torch import Tensor

from elegans_gnn import load_connectome
from elegans_gnn.connectome import Connectome
from elegans_gnn.nn.tensor_network import Schedule, TensorNetwork, reference_forward
from elegans_gnn.nn.tensor_network.schedule import FIRST

BURST = 5


def training_step(network: TensorNetwork, x: Tensor, forward: str) -> None:
    """One forward and backward pass, gradients made anew."""
    network.zero_grad()
    x.grad = None
    outputs = {
        "layer": network.forward,
        "core": network.motor_states,
        "loop": lambda given: reference_forward(network, given),
    }
    outputs[forward](x).sum().backward()


def burst(network: TensorNetwork, x: Tensor, forward: str) -> None:
    """Several steps in a row, as training does them: the other candidate's garbage is not on the bill."""
    for _ in range(BURST):
        training_step(network, x, forward)


def against_loop(graph: Connectome, batch: int, dim: int, repeats: int, unit_norm: bool) -> dict[str, object]:
    """Whole layer, forward and backward, against the loop."""
    network = TensorNetwork(graph, dim, unit_norm=unit_norm)
    x = torch.randn(batch, dim, requires_grad=True)
    bursts = interleaved(
        {name: partial(burst, network, x, name) for name in ("layer", "loop")},
        repeats=repeats,
    )
    seconds = {name: [total / BURST for total in values] for name, values in bursts.items()}
    rows: dict[str, object] = {name: summary(values) for name, values in seconds.items()}
    return rows | {"loop / layer": ratio(seconds["loop"], seconds["layer"])}


class Products:
    """The batched matrix products of some first arrivals: what no execution can do without."""

    def __init__(self, count: int, batch: int, dim: int) -> None:
        self.weight = torch.randn(count, dim, dim, requires_grad=True)
        self.states = torch.randn(count, batch, dim, requires_grad=True)
        self.grad = torch.randn(count, batch, dim)

    def forward(self) -> Tensor:
        return torch.bmm(self.states, self.weight.transpose(1, 2))

    def step(self) -> None:
        self.weight.grad = self.states.grad = None
        self.forward().backward(self.grad)


def against_products(graph: Connectome, batch: int, dim: int, repeats: int) -> dict[str, object]:
    """The core (sums, no norm) against the products of all first arrivals, and of those that outputs depend on."""
    network = TensorNetwork(graph, dim, unit_norm=False)
    x = torch.randn(batch, dim, requires_grad=True)
    arrivals = int((Schedule.compile(graph, outputs="all").kind == FIRST).sum())
    every, needed = Products(arrivals, batch, dim), Products(network.units.num_units, batch, dim)
    rows: dict[str, object] = {"first arrivals": arrivals, "that outputs depend on": network.units.num_units}
    measured: dict[str, dict[str, Step]] = {
        "forward": {
            "core": lambda: network.motor_states(x),
            "all": every.forward,
            "needed": needed.forward,
        },
        "forward + backward": {
            "core": lambda: training_step(network, x, "core"),
            "all": every.step,
            "needed": needed.step,
        },
    }
    for name, steps in measured.items():
        seconds = interleaved(steps, repeats=repeats)
        rows |= {f"{name}: {key}": summary(values) for key, values in seconds.items()}
        for other in ("all", "needed"):
            rows[f"{name}: core / {other}"] = ratio(seconds["core"], seconds[other])
    return rows


def memory(graph: Connectome, batch: int, dim: int) -> dict[str, object]:
    """What the graph keeps between forward and backward, parameters and input aside, in states of all neurons."""
    states = graph.num_neurons * batch * dim * 4
    x = torch.randn(batch, dim, requires_grad=True)
    found: dict[str, object] = {"state of all neurons (MB)": states / 1e6}
    for name, unit_norm, recompute in (
        ("sums", False, False),
        ("sums, recompute", False, True),
        ("norm", True, False),
        ("norm, recompute", True, True),
    ):
        network = TensorNetwork(graph, dim, unit_norm=unit_norm, recompute=recompute)
        found[name] = kept_bytes(network, x, network.motor_states) / states
        if not recompute:
            found[f"{name}: loop"] = kept_bytes(network, x, partial(reference_forward, network)) / states
    return found


def kept_bytes(network: TensorNetwork, x: Tensor, forward: Callable[[Tensor], Tensor]) -> int:
    """Bytes of the tensors that autograd saves in one forward pass."""
    own = {parameter.untyped_storage().data_ptr() for parameter in (*network.parameters(), x)}
    kept: dict[int, int] = {}

    def save(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor):
        output = forward(x)
    del output
    return sum(kept.values())


def schedule_facts(graph: Connectome) -> dict[str, object]:
    """Depths, and how long building takes."""
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        TensorNetwork(graph, 64)
        seconds.append(time.perf_counter() - start)
    return {
        "wavefronts of all visits, sums": Schedule.compile(graph, commuting=True, outputs="all").num_wavefronts,
        "wavefronts of all visits, norm": Schedule.compile(graph, outputs="all").num_wavefronts,
        "wavefronts, sums": Schedule.compile(graph, commuting=True).num_wavefronts,
        "wavefronts, norm": Schedule.compile(graph).num_wavefronts,
        "build (median s, dim 64)": statistics.median(seconds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--smoke", action="store_true", help="tiny sizes, to see that it runs")
    arguments = parser.parse_args()
    logging.getLogger("elegans_gnn").setLevel(logging.ERROR)
    graph = load_connectome("varshney2011").merged()
    repeats = 2 if arguments.smoke else arguments.repeats
    small, large = ((2, 8), (2, 8)) if arguments.smoke else ((32, 64), (128, 256))
    report: dict[str, dict[str, object]] = {
        "conditions": conditions(),
        "schedule": schedule_facts(graph),
        f"B={small[0]}, dim={small[1]}, add": against_loop(graph, *small, repeats, unit_norm=False),
        f"B={small[0]}, dim={small[1]}, add, unit_norm": against_loop(graph, *small, repeats, unit_norm=True),
        f"B={large[0]}, dim={large[1]}, add, against matrix products": against_products(graph, *large, repeats),
        f"memory, B={large[0]}, dim={small[1]}": memory(graph, large[0], small[1]),
    }
    for title, rows in report.items():
        print(f"\n{title}")
        for name, value in rows.items():
            print(f"  {name:<36}{shown(value)}")


def shown(value: object) -> str:
    """A figure with its spread, a ratio with its quartiles, or a plain value."""
    if isinstance(value, dict) and "median_ms" in value:
        return "{median_ms:9.2f} ms  (quartiles {quartile1_ms:.2f} - {quartile3_ms:.2f}, n={n})".format(**value)
    if isinstance(value, dict):
        return "{median:9.2f} x   (quartiles {quartile1:.2f} - {quartile3:.2f})".format(**value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
