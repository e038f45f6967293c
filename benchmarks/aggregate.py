"""How fast the aggregation is, against everything else that does the same; no figure without correct results.

python benchmarks/aggregate.py                       # the main table, varshney2011 merged, B=128, F=1024
python benchmarks/aggregate.py --parts main grid overhead threads fly scaling --json results.json --plots docs/pictures
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from measure import conditions, interleaved, peak_extra_bytes, ratio, summary
from peers import Candidate, candidates
from torch import Tensor

from elegans_gnn import load_connectome, ops
from elegans_gnn.sparse import SparseAdjacency

OURS = "triton" if torch.cuda.is_available() else "native"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def main() -> None:
    parts: dict[str, Callable[[argparse.Namespace], object]] = {
        "main": main_table,
        "grid": grid,
        "overhead": overhead,
        "threads": threads,
        "fly": fly,
        "scaling": scaling,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=parts, default=["main"], help="what to measure")
    parser.add_argument("--repeats", type=int, default=9, help="rounds; figures are medians (default 9)")
    parser.add_argument("--no-pyg", action="store_true", help="omit PyG: it needs about 6 GB in the main table")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--plots", type=Path, help="folder for the pictures of the scaling part")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: every part runs, the figures mean nothing")
    arguments = parser.parse_args()
    gate()
    results: dict[str, object] = {"conditions": conditions()}
    print(json.dumps(results["conditions"], indent=2))
    for name in arguments.parts:
        print(f"\n== {name}")
        results[name] = parts[name](arguments)
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def worm() -> SparseAdjacency:
    """varshney2011 with kinds merged: N=279, E=2993."""
    return SparseAdjacency.from_connectome(load_connectome("varshney2011").merged()).to(DEVICE)


def fly_sized(neurons: int, edges: int) -> SparseAdjacency:
    """A graph of a fly brain's size: log-normal degrees, seed fixed, edges sorted by source as connectomes are."""
    generator = torch.Generator().manual_seed(0)
    ends = [torch.empty(neurons).log_normal_(0, 1, generator=generator).cumsum(0) for _ in range(2)]
    pairs = [
        torch.searchsorted(c, torch.rand(edges, generator=generator) * c[-1]).clamp_(max=neurons - 1) for c in ends
    ]
    order = torch.argsort(pairs[0] * neurons + pairs[1])
    return SparseAdjacency(torch.stack(pairs)[:, order], neurons).to(DEVICE)


def forward_backward(candidate: Candidate, x: Tensor, weight: Tensor, grad: Tensor) -> Callable[[], tuple[Tensor, ...]]:
    """One training step's worth of work: output and both gradients, inputs in the candidate's own layout."""
    x = candidate.to_layout(x).requires_grad_()
    weight, grad = weight.clone().requires_grad_(), candidate.to_layout(grad)

    def step() -> tuple[Tensor, ...]:
        y = candidate.call(x, weight)
        return y, *torch.autograd.grad(y, (x, weight), grad)

    return step


def inputs(adjacency: SparseAdjacency, batch: int, features: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (batch, adjacency.num_neurons, features)
    x, grad = torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)
    return x.to(DEVICE), torch.randn(adjacency.num_edges, generator=generator).to(DEVICE), grad.to(DEVICE)


def gate() -> None:
    """Every candidate against the reference in float64; stops the benchmark where one is wrong."""
    adjacency = worm()
    x, weight, grad = inputs(adjacency, 3, 20)
    with ops.backend("reference"):
        exact = Candidate("reference", lambda x, w: ops.aggregate(x, w, adjacency))
        expected = forward_backward(exact, x.double(), weight.double(), grad.double())()
    for candidate in candidates(adjacency, dense=True, pyg=True):
        found = forward_backward(candidate, x, weight, grad)()
        for a, b, state in zip(found, expected, (True, True, False), strict=True):
            a = candidate.from_layout(a, x.shape) if state else a
            error = float((a.detach().double() - b.detach()).abs().max() / b.detach().abs().max())
            if not error < 1e-5:
                sys.exit(f"the gate is red: {candidate.name} is off by {error:.1e}; no figures")
    print("the gate is green: all candidates equal the reference to 1e-5")


def main_table(arguments: argparse.Namespace) -> object:
    """All candidates at one size; ratios to ours, round by round; memory."""
    adjacency = worm()
    batch, features = (4, 16) if arguments.smoke else (128, 1024)
    x, weight, grad = inputs(adjacency, batch, features)
    found = candidates(adjacency, dense=True, pyg=not arguments.no_pyg)
    steps = {c.name: forward_backward(c, x, weight, grad) for c in found}
    out = torch.empty_like(x)
    y_free = {"copy_": lambda: out.copy_(x), "forward": lambda: ops.aggregate(x, weight, adjacency)}
    seconds = interleaved({**steps, **y_free}, repeats=3 if arguments.smoke else arguments.repeats, warmup=1)
    state_bytes = x.numel() * x.element_size()
    needed = 3 * state_bytes - state_bytes + weight.numel() * 4
    table: dict[str, dict[str, Any]] = {}
    for name, times in seconds.items():
        memory = peak_extra_bytes(steps[name]) if name in steps and DEVICE == "cpu" else None
        table[name] = {
            **summary(times),
            "times slower than ours": ratio(times, seconds[OURS]),
            "extra bytes": memory,
            "extra / (y + gradients)": memory and round(memory / needed, 3),
        }
        slower = table[name]["times slower than ours"]
        print(
            f"{name:28s} {table[name]['median_ms']:10.2f} ms   x{slower['median']:7.2f} "
            f"[{slower['quartile1']:.2f} .. {slower['quartile3']:.2f}]   memory {(memory or 0) / 2**20:8.0f} MiB"
        )
    backward = [a - b for a, b in zip(seconds[OURS], seconds["forward"], strict=True)]
    limits = {
        "forward / copy_": ratio(seconds["forward"], seconds["copy_"]),
        "backward / copy_": ratio(backward, seconds["copy_"]),
    }
    print(json.dumps(limits, indent=2))
    return {"size": [batch, adjacency.num_neurons, features], "table": table, "limits": limits}


def grid(arguments: argparse.Namespace) -> object:
    """Small and large batches and features: ours against the sparse peers."""
    adjacency = worm()
    rows = []
    for batch in (1, 8) if arguments.smoke else (1, 8, 128):
        for features in (1, 16) if arguments.smoke else (1, 16, 64, 1024):
            big = batch * features >= 8192
            found = [c for c in candidates(adjacency, dense=False, pyg=not (big and arguments.no_pyg)) if c.sparse]
            x, weight, grad = inputs(adjacency, batch, features)
            steps = {c.name: forward_backward(c, x, weight, grad) for c in found}
            seconds = interleaved(steps, repeats=3 if big else 30)
            medians = {name: summary(times)["median_ms"] for name, times in seconds.items()}
            fastest = min(medians, key=lambda name: medians[name])
            rows.append({"batch": batch, "features": features, "median_ms": medians, "fastest": fastest})
            figures = "  ".join(f"{name} {value:.3f}" for name, value in medians.items())
            print(f"B={batch:4d} F={features:5d}  fastest {fastest:14s} {figures}")
    return rows


def overhead(arguments: argparse.Namespace) -> object:
    """One call at the smallest size, in microseconds."""
    adjacency = worm()
    x, weight, grad = inputs(adjacency, 1, 1)
    step = forward_backward(Candidate("ours", lambda x, w: ops.aggregate(x, w, adjacency)), x, weight, grad)
    rounds = 20 if arguments.smoke else 2000
    seconds = interleaved({"no grad": lambda: ops.aggregate(x, weight, adjacency), "both": step}, repeats=rounds)
    result = {name: {"median_us": 1e3 * summary(t)["median_ms"], "min_us": 1e6 * min(t)} for name, t in seconds.items()}
    print(json.dumps(result, indent=2))
    return result


def threads(arguments: argparse.Namespace) -> object:
    """1 thread against 2, in turns."""
    adjacency = worm()
    x, weight, grad = inputs(adjacency, *((4, 16) if arguments.smoke else (128, 1024)))
    step = forward_backward(Candidate("ours", lambda x, w: ops.aggregate(x, w, adjacency)), x, weight, grad)
    seconds = _one_and_two_threads(step, arguments.repeats)
    result = {"speed-up": ratio(seconds["1"], seconds["2"]), **{name: summary(t) for name, t in seconds.items()}}
    print(json.dumps(result, indent=2))
    return result


def _one_and_two_threads(step: Callable[[], object], repeats: int) -> dict[str, list[float]]:
    """Seconds with one thread and with two, in turns."""
    before = torch.get_num_threads()

    def run(count: int) -> object:
        torch.set_num_threads(count)
        return step()

    try:
        return interleaved({"1": partial(run, 1), "2": partial(run, 2)}, repeats=repeats)
    finally:
        torch.set_num_threads(before)


def fly(arguments: argparse.Namespace) -> object:
    """A fly's brain: against torch.sparse CSR and against the rate at which index_select gathers the same rows."""
    rows = []
    sizes = [(1000, 20_000)] if arguments.smoke else [(139_255, 2_700_000), (139_255, 15_000_000)]
    for neurons, edges in sizes:
        adjacency = fly_sized(neurons, edges)
        x, weight, grad = inputs(adjacency, 1, 32)
        found = [
            c for c in candidates(adjacency, dense=False, pyg=False) if c.name in (OURS, "torch.sparse CSR, [N, B*F]")
        ]
        steps: dict[str, Callable[[], object]] = {c.name: forward_backward(c, x, weight, grad) for c in found}
        steps["forward"] = partial(ops.aggregate, x, weight, adjacency)
        chunk = adjacency.col[: min(edges, 2_000_000)]
        gathered = torch.empty(chunk.numel(), 32, device=DEVICE)
        steps["index_select"] = partial(torch.index_select, x[0], 0, chunk, out=gathered)
        seconds = interleaved(steps, repeats=3 if arguments.smoke else 5, warmup=1)
        medians = {name: summary(times)["median_ms"] for name, times in seconds.items()}
        rate = {"index_select": chunk.numel() / medians["index_select"], "forward": edges / medians["forward"]}
        # Forward gathers every row once and so does backward.
        rate["forward + backward"] = 2 * edges / medians[OURS]
        row = {"neurons": neurons, "edges": edges, "median_ms": medians, "rows per ms": rate}
        row["of index_select's rate"] = rate["forward + backward"] / rate["index_select"]
        row["extra bytes"] = extra = peak_extra_bytes(steps[OURS]) if DEVICE == "cpu" else None
        row["extra / (y + gradients)"] = extra and round(extra / (4 * (2 * x.numel() + edges)), 3)
        print(json.dumps(row, indent=2))
        rows.append(row)
    return rows


Curves = dict[str, dict[int, dict[str, float]]]


def scaling(arguments: argparse.Namespace) -> object:
    """Milliseconds with one thread and with two against features, batch and edges; pictures in the given folder."""
    adjacency = worm()
    small = arguments.smoke
    curves: Curves = {"features (B=8)": {}, "batch (F=64)": {}, "edges (B=1, F=32)": {}}
    for features in (1, 16) if small else (1, 4, 16, 64, 256, 1024, 4096):
        curves["features (B=8)"][features] = _ours(adjacency, 8, features)
    for batch in (1, 4) if small else (1, 4, 16, 64, 256):
        curves["batch (F=64)"][batch] = _ours(adjacency, batch, 64)
    for edges in (3_000,) if small else (3_000, 30_000, 300_000, 3_000_000, 15_000_000):
        curves["edges (B=1, F=32)"][edges] = _ours(fly_sized(max(279, min(139_255, edges // 20)), edges), 1, 32)
    print(json.dumps(curves, indent=2))
    if arguments.plots:
        plot(curves, arguments.plots)
    return curves


def _ours(adjacency: SparseAdjacency, batch: int, features: int) -> dict[str, float]:
    x, weight, grad = inputs(adjacency, batch, features)
    step = forward_backward(Candidate("ours", lambda x, w: ops.aggregate(x, w, adjacency)), x, weight, grad)
    seconds = _one_and_two_threads(step, repeats=5)
    return {f"threads: {count}": summary(times)["median_ms"] for count, times in seconds.items()}


def plot(curves: Curves, folder: Path) -> None:
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    figure, axes = pyplot.subplots(1, len(curves), figsize=(4 * len(curves), 3), layout="constrained")
    for axis, (name, points) in zip(axes, curves.items(), strict=True):
        for label in next(iter(points.values())):
            axis.loglog(list(points), [point[label] for point in points.values()], marker="o", label=label)
        axis.set_xlabel(name)
        axis.set_ylabel("forward + backward, ms")
    axes[0].legend()
    figure.savefig(folder / "aggregate_scaling.png", dpi=120)


if __name__ == "__main__":
    main()
