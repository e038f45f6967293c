"""How fast the synaptic convolution is, against dense masked convolutions and the PyG way; and the fused step, against
its composed form.

No figure without correct results.

python benchmarks/synaptic.py                             # varshney2011 merged, B=64, 14 x 14 and 7 x 7, one thread
python benchmarks/synaptic.py --threads 1 2 --grid --json results.json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from measure import conditions, interleaved, peak_extra_bytes, ratio, summary
from torch import Tensor
from torch.nn.functional import conv2d, unfold

from elegans_gnn import load_connectome, ops
from elegans_gnn.ops.synaptic import composed_step
from elegans_gnn.sparse import SparseAdjacency

OURS = "triton" if torch.cuda.is_available() else "native"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
KERNEL = 3
Step = Callable[[], tuple[Tensor, ...]]


@dataclass(frozen=True)
class Candidate:
    """A way to compute it: `call(x, weight)`; states, filters and gradient in its own dtype and layout.

    `prepare` makes what `call` takes for a filter outside the timed part, where that favours the candidate.
    """

    name: str
    call: Callable[[Tensor, Tensor], Tensor]
    states: Callable[[Tensor], Tensor] = torch.clone
    prepare: Callable[[Tensor], Tensor] = torch.clone
    from_states: Callable[[Tensor], Tensor] = torch.clone
    from_filters: Callable[[Tensor], Tensor] = torch.clone
    rounding: float = 1e-5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--sizes", type=int, nargs="+", default=[14, 7], help="sides of the maps (default 14 7)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1])
    parser.add_argument("--repeats", type=int, default=9, help="rounds; figures are medians (default 9)")
    parser.add_argument("--grid", action="store_true", help="also native against torch on a grid of sizes")
    parser.add_argument("--no-pyg", action="store_true", help="leave the PyG way out: a round takes seconds")
    parser.add_argument("--json", type=Path, help="write all figures here")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: everything runs, the figures mean nothing")
    arguments = parser.parse_args()
    if arguments.smoke:
        arguments.batch, arguments.sizes, arguments.repeats = 2, [3], 3
    adjacency = SparseAdjacency.from_connectome(load_connectome("varshney2011").merged()).to(DEVICE)
    gate(adjacency, arguments)
    results: dict[str, Any] = {"conditions": conditions(), "kernel": KERNEL, "tables": [], "steps": []}
    print(json.dumps(results["conditions"], indent=2))
    for threads in arguments.threads:
        torch.set_num_threads(threads)
        for side in arguments.sizes:
            results["tables"].append(table(adjacency, side, threads, arguments))
            results["steps"].append(step_table(adjacency, side, threads, arguments))
        if arguments.grid:
            results.setdefault("grid", []).extend(grid(adjacency, threads, arguments))
    if arguments.json:
        arguments.json.parent.mkdir(parents=True, exist_ok=True)
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


def candidates(adjacency: SparseAdjacency, *, pyg: bool) -> list[Candidate]:
    """Ours, then the dense masked convolution in four layouts, then the PyG way."""
    found = [Candidate(name, backend(name, adjacency)) for name in ops.available_backends() if name in (OURS, "torch")]
    half = Candidate(f"{OURS}, bfloat16 states", backend(OURS, adjacency), lambda x: x.bfloat16(), rounding=2e-2)
    found.append(half)
    for dtype, rounding in ((torch.float32, 1e-5), (torch.bfloat16, 3e-2)):
        for layout, title in ((torch.contiguous_format, "NCHW"), (torch.channels_last, "channels_last")):
            found.append(dense(adjacency, dtype, layout, f"dense {str(dtype)[6:]} {title}", rounding))
    if pyg:
        found.append(Candidate("PyG: unfold, gather, scatter", gather_scatter(adjacency)))
    return found


def backend(name: str, adjacency: SparseAdjacency) -> Callable[[Tensor, Tensor], Tensor]:
    def call(x: Tensor, weight: Tensor) -> Tensor:
        with ops.backend(name):
            return ops.synaptic_conv2d(x, weight, adjacency)

    return call


def dense(
    adjacency: SparseAdjacency, dtype: torch.dtype, layout: torch.memory_format, name: str, rounding: float
) -> Candidate:
    """One convolution with N x N filters, zero where there is no edge.

    In its favour the dense filters are made outside the timed part, and their gradient is not gathered at the edges.
    """
    source, target = adjacency.edge_index
    neurons = adjacency.num_neurons

    def states(x: Tensor) -> Tensor:
        return x[:, :, 0].to(dtype).contiguous(memory_format=layout)

    def prepare(weight: Tensor) -> Tensor:
        filters = weight.new_zeros(neurons, neurons, KERNEL, KERNEL).index_put((target, source), weight)
        return filters.to(dtype).contiguous(memory_format=layout)

    return Candidate(
        name, lambda x, filters: conv2d(x, filters, padding=KERNEL // 2), states, prepare,
        lambda y: y.unsqueeze(2), lambda filters: filters[target, source], rounding,
    )  # fmt: skip


def gather_scatter(adjacency: SparseAdjacency) -> Callable[[Tensor, Tensor], Tensor]:
    """What message passing does: a message per edge from its source's patches, then a sum at the targets."""
    from torch_geometric.utils import scatter

    source, target = adjacency.edge_index

    def call(x: Tensor, weight: Tensor) -> Tensor:
        batch, neurons = x.shape[:2]
        patches = unfold(x.flatten(0, 1), KERNEL, padding=KERNEL // 2).view(batch, neurons, KERNEL**2, -1)
        messages = (weight.flatten(1)[:, :, None] * patches[:, source]).sum(2)
        return scatter(messages, target, dim=1, dim_size=neurons, reduce="sum").view(x.shape)

    return call


def inputs(adjacency: SparseAdjacency, batch: int, channels: int, side: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (batch, adjacency.num_neurons, channels, side, side)
    x, grad = torch.randn(shape, generator=generator), torch.randn(shape, generator=generator)
    weight = torch.randn(adjacency.num_edges, KERNEL, KERNEL, generator=generator)
    return x.to(DEVICE), weight.to(DEVICE), grad.to(DEVICE)


def steps(candidate: Candidate, x: Tensor, weight: Tensor, grad: Tensor) -> tuple[Step, Step]:
    """The forward pass alone, and with both gradients."""
    x, grad = candidate.states(x).detach(), candidate.states(grad).detach()
    filters = candidate.prepare(weight).detach()
    leaves = x.clone().requires_grad_(), filters.clone().requires_grad_()

    def forward() -> tuple[Tensor, ...]:
        with torch.no_grad():
            return (candidate.call(x, filters),)

    def training() -> tuple[Tensor, ...]:
        y = candidate.call(*leaves)
        return y, *torch.autograd.grad(y, leaves, grad)

    return forward, training


def gate(adjacency: SparseAdjacency, arguments: argparse.Namespace) -> None:
    """Every candidate against plain torch in float64; stops the benchmark where one is wrong."""
    x, weight, grad = inputs(adjacency, 3, 1, 5)
    exact = Candidate("torch", backend("torch", adjacency))
    expected = steps(exact, x.double(), weight.double(), grad.double())[1]()
    for candidate in candidates(adjacency, pyg=not arguments.no_pyg):
        y, grad_x, grad_filters = steps(candidate, x, weight, grad)[1]()
        found = candidate.from_states(y), candidate.from_states(grad_x), candidate.from_filters(grad_filters)
        for a, b in zip(found, expected, strict=True):
            error = float((a.detach().double() - b.detach()).abs().max() / b.detach().abs().max())
            if not error < candidate.rounding:
                sys.exit(f"the gate is red: {candidate.name} is off by {error:.1e}; no figures")
    print("the gate is green: all candidates equal plain torch in float64 up to the rounding of their dtype")


def table(adjacency: SparseAdjacency, side: int, threads: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """All candidates at one size, in turns; ratios to ours round by round; memory."""
    batch = arguments.batch
    x, weight, grad = inputs(adjacency, batch, 1, side)
    found = candidates(adjacency, pyg=not arguments.no_pyg)
    print(f"\n== {side} x {side}, batch {batch}, {threads} thread(s), ms an image: median [quartiles], times ours")
    rows: dict[str, Any] = {}
    for place, title in enumerate(("forward", "forward + backward")):
        chosen = {candidate.name: steps(candidate, x, weight, grad)[place] for candidate in found}
        seconds = interleaved(chosen, repeats=arguments.repeats, warmup=1)
        for name, times in seconds.items():
            per_image = {key: value / batch if key != "n" else value for key, value in summary(times).items()}
            slower = ratio(times, seconds[OURS])
            row: dict[str, Any] = {**per_image, "times slower than ours": slower}
            if place == 1 and DEVICE == "cpu":
                needed = 2 * x.numel() * 4 + weight.numel() * 4
                extra = peak_extra_bytes(chosen[name])
                row["extra bytes / (y + gradients)"] = extra and round(extra / needed, 3)
            rows[f"{name}, {title}"] = row
            print(
                f"{name:30s} {title:18s} {row['median_ms']:9.4f} [{row['quartile1_ms']:.4f} .. "
                f"{row['quartile3_ms']:.4f}]   x{slower['median']:7.2f} [{slower['quartile1']:.2f} .. "
                f"{slower['quartile3']:.2f}]   {row.get('extra bytes / (y + gradients)', '')}"
            )
    return {"size": [batch, adjacency.num_neurons, 1, side, side], "threads": threads, "rows": rows}


def step_table(adjacency: SparseAdjacency, side: int, threads: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """The fused step against its composed form, both on our convolution, with all gradients; in turns."""
    x, weight, grad = inputs(adjacency, arguments.batch, 1, side)
    neurons = adjacency.num_neurons
    parameters = (
        torch.ones(neurons, 1, device=DEVICE),
        torch.zeros(neurons, 1, device=DEVICE),
        torch.ones(neurons, device=DEVICE),
    )
    leaves = [each.clone().requires_grad_() for each in (x, weight, *parameters)]
    print(
        f"\n== a step, {side} x {side}, batch {arguments.batch}, {threads} thread(s), ms an image; composed over fused"
    )
    rows: dict[str, Any] = {}
    for activation in ("relu", "gelu", "silu"):

        def run(step: Callable[..., Tensor], activation: str = activation) -> Callable[[], tuple[Tensor, ...]]:
            def training() -> tuple[Tensor, ...]:
                y = step(*leaves[:2], adjacency, *leaves[2:], activation=activation)
                return y, *torch.autograd.grad(y, leaves, grad)

            return training

        chosen = {"fused": run(ops.synaptic_step), "composed": run(composed_step)}
        for name, a, b in zip(
            ("y", "x", "weight", "scale", "shift", "leak"), *[call() for call in chosen.values()], strict=True
        ):
            if not torch.allclose(a, b, rtol=1e-3, atol=1e-4 * float(b.detach().abs().max())):
                sys.exit(f"the gate is red: the fused step's {name} is not the composed one's; no figures")
        seconds = interleaved(chosen, repeats=arguments.repeats, warmup=1)
        faster = ratio(seconds["composed"], seconds["fused"])
        per_image = {name: summary(times)["median_ms"] / arguments.batch for name, times in seconds.items()}
        rows[activation] = {"ms an image": per_image, "times faster than composed": faster}
        print(
            f"{activation:5s} fused {per_image['fused']:.4f}  composed {per_image['composed']:.4f}   "
            f"x{faster['median']:.2f} [{faster['quartile1']:.2f} .. {faster['quartile3']:.2f}]"
        )
    return {"size": [arguments.batch, neurons, 1, side, side], "threads": threads, "rows": rows}


def grid(adjacency: SparseAdjacency, threads: int, arguments: argparse.Namespace) -> list[dict[str, Any]]:
    """Ours against plain torch from one pixel to large maps, from one image to many."""
    rows = []
    print(f"\n== {OURS} against torch, {threads} thread(s): how many times faster, forward + backward")
    for batch in (1, 2) if arguments.smoke else (1, 8, 64):
        for channels in (1, 3):
            for side in (1, 4) if arguments.smoke else (1, 3, 5, 7, 10, 14, 28):
                x, weight, grad = inputs(adjacency, batch, channels, side)
                pair = [Candidate(name, backend(name, adjacency)) for name in (OURS, "torch")]
                chosen = {candidate.name: steps(candidate, x, weight, grad)[1] for candidate in pair}
                seconds = interleaved(chosen, repeats=3, warmup=1)
                faster = ratio(seconds["torch"], seconds[OURS])
                rows.append({"batch": batch, "channels": channels, "side": side, "threads": threads, **faster})
                print(f"B={batch:3d} C={channels} {side:2d} x {side:2d}   x{faster['median']:8.1f}")
    return rows


if __name__ == "__main__":
    main()
