"""Compiles a Triton kernel for a GPU that is not there, as the launcher would for well-aligned arguments."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

POINTERS = ("x", "weight", "y", "grad_y", "grad_x", "partial", "winner")
INDICES = ("rowptr", "col", "perm", "colptr", "row", "csc_perm")


class Compiled(NamedTuple):
    ptx: str
    registers: int
    spilled_bytes: int

    def vectors(self, kind: str) -> int:
        """How many 128-bit global loads ("ld") or stores ("st") there are."""
        return len(re.findall(rf"{kind}\.global(?:\.[\w:]+)*\.v4\.b32|{kind}\.global(?:\.[\w:]+)*\.v2\.b64", self.ptx))


def compile_kernel(kernel: Any, dtype: str, capability: int, constants: dict[str, Any]) -> Compiled:
    """Pointers and strides are multiples of 16, as for states whose feature axis is one."""
    signature: dict[str, str] = {}
    for name in kernel.arg_names:
        if name in constants:
            signature[name] = "constexpr"
        elif name in INDICES or name == "winner":
            signature[name] = "*i32"
        elif name == "partial":
            signature[name] = "*fp32"
        else:
            signature[name] = f"*{dtype}" if name in POINTERS else "i32"
    # Numbers that need not be multiples of 16; one weight an edge has stride 1 along edges.
    free = (
        ("neurons", "batch", "edges", "wc") if constants["LANE_WEIGHTS"] else ("neurons", "batch", "edges", "we", "wc")
    )
    aligned = [name for name in kernel.arg_names if name not in constants and name not in free]
    attributes = {(kernel.arg_names.index(name),): [["tt.divisibility", 16]] for name in aligned}
    source = ASTSource(kernel, signature, constexprs=constants, attrs=attributes)
    built = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": 4})
    return Compiled(built.asm["ptx"], *_resources(built.asm["cubin"]))


def _resources(cubin: bytes) -> tuple[int, int]:
    """Registers per thread, and bytes of stack and local memory (where spills go), as the cubin itself states them."""
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        report = subprocess.run([tool, "--dump-resource-usage", file.name], capture_output=True, text=True, check=True)
    counts = {name: int(value) for name, value in re.findall(r"(REG|STACK|LOCAL):(\d+)", report.stdout)}
    return counts["REG"], counts["STACK"] + counts["LOCAL"]
