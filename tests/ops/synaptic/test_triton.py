"""The GPU kernels without a GPU: interpreted on the CPU, and compiled ahead of time for two generations of devices."""

from __future__ import annotations

import os
from typing import Any

import pytest

pytest.importorskip("triton", reason="the CPU-only builds of torch come without triton")

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from elegans_gnn.ops.synaptic import triton_kernels as kernels
from tests.ops.aot import Compiled, _resources
from tests.ops.test_triton import run_interpreted

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
FOLDER = "tests/ops/synaptic"
INDICES = ("pointers", "partners", "perm", "sources", "edge_numbers")
STATES = ("x", "y", "grad_y")


def test_interpreted_on_the_small_cases() -> None:
    chosen = (
        "(kernel1 and size1) or (kernel3 and size0) or self-loops or taps_look or dense or unwanted or empty_states"
    )
    output = run_interpreted(f"{FOLDER}/test_against_reference.py", "-k", f"({chosen}) and triton")
    assert "passed" in output
    assert "skipped" not in output


@pytest.mark.hard
def test_interpreted_on_the_whole_suite() -> None:
    # The interpreter cuts float32 off to bfloat16; that the compiled kernels round is asserted for the aggregation.
    chosen = "triton and not (rounded_once and dtype0)"
    output = run_interpreted(f"{FOLDER}/test_against_reference.py", f"{FOLDER}/test_contract.py", "-k", chosen)
    assert "passed" in output
    assert "skipped" not in output


def compile_kernel(kernel: Any, dtype: str, capability: int, constants: dict[str, Any]) -> Compiled:
    """As the launcher would for fresh tensors: their addresses are multiples of 16."""
    kinds = dict.fromkeys(INDICES, "*i32") | dict.fromkeys(STATES, f"*{dtype}")
    kinds |= {"weight": "*fp32" if dtype != "fp64" else "*fp64", "targets": "*i64"}
    kinds |= {"grad_weight": kinds["weight"]} | dict.fromkeys(constants, "constexpr")
    signature = {name: kinds.get(name, "i32") for name in kernel.arg_names}
    aligned = [place for place, name in enumerate(kernel.arg_names) if signature[name].startswith("*")]
    attributes = {(place,): [["tt.divisibility", 16]] for place in aligned}
    source = ASTSource(kernel, signature, constexprs=constants, attrs=attributes)
    built = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": 4})
    return Compiled(built.asm["ptx"], *_resources(built.asm["cubin"]))


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("dtype", ["fp32", "bf16", "fp64"])
@pytest.mark.parametrize("side", [1, 3, 5])
@pytest.mark.skipif(INTERPRETED, reason="an interpreted kernel cannot be compiled")
def test_compiles_ahead_of_time_without_spills(capability: int, dtype: str, side: int) -> None:
    acc = kernels.tl.float64 if dtype == "fp64" else kernels.tl.float32
    # What triton_backend chooses; the module itself needs a device.
    taps = {1: 1, 3: 16, 5: 32}[side]
    common, wide = {"KH": side, "KW": side, "ACC": acc}, 2 if dtype == "fp64" else 1
    for turned in (False, True):
        constants = common | {"TURNED": turned, "BLOCK": 512 // wide}
        built = compile_kernel(kernels.convolve_kernel, dtype, capability, constants)
        assert built.spilled_bytes == 0
        assert built.registers <= 128
    constants = common | {"TAPS": taps, "BLOCK": 2048 // wide // taps}
    built = compile_kernel(kernels.correlate_kernel, dtype, capability, constants)
    assert built.spilled_bytes == 0
    assert built.registers <= 255
