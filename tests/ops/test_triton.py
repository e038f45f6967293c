"""The GPU kernels without a GPU: interpreted on the CPU, and compiled ahead of time for two generations of devices."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("triton", reason="the CPU-only builds of torch come without triton")

from elegans_gnn import ops
from elegans_gnn.ops import triton_kernels as kernels
from tests.ops.aot import compile_kernel
from tests.ops.cases import REDUCES

ROOT = Path(__file__).parents[2]
INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"


def run_interpreted(*arguments: str) -> str:
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider"]
    # The interpreter computes with numpy, which warns about the NaN and infinity that some tests put in.
    command += ["-W", "ignore:invalid value encountered:RuntimeWarning", *arguments]
    environment = os.environ | {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-2000:]
    return result.stdout


def test_interpreted_on_the_small_cases() -> None:
    chosen = "first_winner or zeros or small_graphs or nan_and_infinity or unwanted or empty_states"
    output = run_interpreted("tests/ops/test_against_reference.py", "-k", f"({chosen}) and triton")
    assert "passed" in output
    assert "skipped" not in output


@pytest.mark.hard
def test_interpreted_on_the_whole_suite() -> None:
    # The interpreter cuts float32 off to bfloat16; that the compiled kernels round is asserted below.
    chosen = "triton and not (rounded_once and dtype0)"
    output = run_interpreted("tests/ops/test_against_reference.py", "tests/ops/test_contract.py", "-k", chosen)
    assert "passed" in output
    assert "skipped" not in output


def settings(kernel: Any, dtype: str, reduce: str, lane_weights: bool) -> dict[str, Any]:
    """The compile-time arguments of a large call: what `triton_backend.tiling` chooses, 256 features wide."""
    tile = {kernels.forward_kernel: 4, kernels.backward_kernel: 8}[kernel]
    constants = {
        "REDUCE": REDUCES.index(reduce),
        "LANE_WEIGHTS": lane_weights,
        "ACC": kernels.tl.float64 if dtype == "fp64" else kernels.tl.float32,
        "BLOCK_B": tile // 2 if dtype == "fp64" else tile,
        "BLOCK_K": 256,
    }
    # The launcher makes a constant of a stride that is 1: neighbouring weights of neighbouring channels.
    constants |= {"wc": 1} if lane_weights else {}
    return constants | ({"NEED_X": True, "NEED_WEIGHT": True} if kernel is kernels.backward_kernel else {})


def variants() -> Iterator[Any]:
    """Every kernel; in the ordinary run all of them for one device and type, and the plain sum for the others."""
    for capability in (80, 90):
        for dtype in ("fp32", "bf16", "fp16", "fp64"):
            for reduce in REDUCES:
                for lane_weights in (False, True):
                    ordinary = (capability, dtype) == (90, "fp32") or (
                        (reduce, lane_weights) == ("sum", False) and dtype in ("fp32", "bf16")
                    )
                    marks = [] if ordinary else [pytest.mark.hard]
                    yield pytest.param(capability, dtype, reduce, lane_weights, marks=marks)


@pytest.mark.parametrize(("capability", "dtype", "reduce", "lane_weights"), [*variants()])
@pytest.mark.parametrize("kernel", [kernels.forward_kernel, kernels.backward_kernel], ids=["forward", "backward"])
@pytest.mark.skipif(INTERPRETED, reason="an interpreted kernel cannot be compiled")
def test_compiles_ahead_of_time_with_vector_accesses_and_no_spills(
    kernel: Any, capability: int, dtype: str, reduce: str, lane_weights: bool
) -> None:
    constants = settings(kernel, dtype, reduce, lane_weights)
    built = compile_kernel(kernel, dtype, capability, constants)
    assert built.spilled_bytes == 0
    assert built.registers <= 128
    if dtype in ("bf16", "fp16"):
        downcasts = re.findall(r"cvt\.(\w+)\.(?:bf16|f16)(?:x2)?\.f32", built.ptx)
        assert set(downcasts) == {"rn"}
    # Every state, gradient and winner moves in 16-byte pieces: 128 threads cover the tile.
    elements = constants["BLOCK_B"] * constants["BLOCK_K"]
    pieces = elements * {"fp64": 8, "fp32": 4}.get(dtype, 2) // (128 * 16)
    winners = elements * 4 // (128 * 16) if reduce == "max" else 0
    if kernel is kernels.forward_kernel:
        # More loads where the compiler writes out a first edge or rows of weights.
        assert built.vectors("ld") >= pieces
        assert built.vectors("st") == pieces + winners
    else:
        assert built.vectors("ld") >= pieces * (3 if reduce == "mul" else 2) + winners
        assert built.vectors("st") == pieces


@pytest.mark.hard
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("reduce", REDUCES)
@pytest.mark.parametrize("wanted", ["NEED_X", "NEED_WEIGHT"])
@pytest.mark.skipif(INTERPRETED, reason="an interpreted kernel cannot be compiled")
def test_one_gradient_alone_compiles_without_spills(capability: int, reduce: str, wanted: str) -> None:
    constants = settings(kernels.backward_kernel, "fp32", reduce, False) | {"NEED_X": False, "NEED_WEIGHT": False}
    built = compile_kernel(kernels.backward_kernel, "fp32", capability, constants | {wanted: True})
    assert built.spilled_bytes == 0
    assert (built.vectors("st") > 0) == (wanted == "NEED_X")


@pytest.mark.skipif(INTERPRETED, reason="available there")
def test_without_a_device_the_backend_says_what_it_needs() -> None:
    import torch

    if torch.cuda.is_available():
        assert "triton" in ops.available_backends()
        return
    assert "triton" not in ops.available_backends()
    with pytest.raises(RuntimeError, match="backend triton needs a CUDA device"), ops.backend("triton"):
        pass
