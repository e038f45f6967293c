"""The GPU kernels without a GPU: interpreted on the CPU, and compiled ahead of time for two generations of devices."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="the CPU-only builds of torch come without triton")

from elegans_gnn import ops
from elegans_gnn.ops import triton_kernels as kernels
from tests.ops.aot import compile_kernel

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
    output = run_interpreted("tests/ops/test_against_reference.py", "tests/ops/test_contract.py", "-k", "triton")
    assert "passed" in output
    assert "skipped" not in output


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("kernel", [kernels.forward_kernel, kernels.backward_kernel], ids=["forward", "backward"])
@pytest.mark.skipif(INTERPRETED, reason="an interpreted kernel cannot be compiled")
def test_compiles_ahead_of_time_with_vector_accesses_and_no_spills(kernel: object, dtype: str, capability: int) -> None:
    constants = {"REDUCE": 0, "LANE_WEIGHTS": False, "ACC": kernels.tl.float32, "BLOCK_B": 4, "BLOCK_K": 256}
    if kernel is kernels.backward_kernel:
        constants |= {"NEED_X": True, "NEED_WEIGHT": True, "BLOCK_B": 8}
    built = compile_kernel(kernel, dtype, capability, constants)
    assert built.spilled_bytes == 0
    assert built.registers <= 128
    # Every state and gradient element moves in 16-byte pieces: 128 threads cover the tile.
    tile_bytes = constants["BLOCK_B"] * constants["BLOCK_K"] * {"fp32": 4, "bf16": 2}[dtype]
    pieces = tile_bytes // (128 * 16)
    assert built.vectors("ld") == pieces * (2 if kernel is kernels.backward_kernel else 1)
    assert built.vectors("st") == pieces


@pytest.mark.skipif(INTERPRETED, reason="available there")
def test_without_a_device_the_backend_says_what_it_needs() -> None:
    import torch

    if torch.cuda.is_available():
        assert "triton" in ops.available_backends()
        return
    assert "triton" not in ops.available_backends()
    with pytest.raises(RuntimeError, match="backend triton needs a CUDA device"), ops.backend("triton"):
        pass
