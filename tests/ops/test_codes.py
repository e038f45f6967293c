"""The numbers that Python, C++ and Triton share are the same in all three."""

from __future__ import annotations

import re
import struct
from pathlib import Path

import pytest

from elegans_gnn.ops import codes

HEADERS = "\n".join(path.read_text() for path in sorted((Path(__file__).parents[2] / "csrc").glob("*.h")))


def enum(name: str) -> dict[str, int]:
    """The members of an enum in the C headers, by their name in lower case."""
    found = re.search(rf"enum {name}\b[^{{;]*{{([^}}]*)}}", HEADERS)
    assert found, f"no enum {name}"
    members = re.findall(r"(\w+)\s*=\s*(-?\d+)", found[1])
    assert len(members) == found[1].count("=") == found[1].count(",") + 1
    return {member.removeprefix("ELEGANS_").lower(): int(value) for member, value in members}


def fields(struct_name: str) -> dict[str, int]:
    """How many 64-bit integers and doubles a struct of the C headers has."""
    body = re.search(rf"typedef struct {{([^}}]*)}} {struct_name};", HEADERS)
    assert body, f"no struct {struct_name}"
    text = re.sub(r"/\*.*?\*/", "", body[1], flags=re.DOTALL)
    text = text.replace("TENSOR_NETWORK_SOURCES", re.search(r"define TENSOR_NETWORK_SOURCES (\d+)", HEADERS)[1])
    counts = {"q": 0, "d": 0}
    for kind, names in re.findall(r"(int64_t|double) ([^;]*);", text):
        for name in names.split(","):
            length = re.search(r"\[(\d+)\]", name)
            counts["q" if kind == "int64_t" else "d"] += int(length[1]) if length else 1
    return counts


def test_reduces_and_options_of_the_aggregation() -> None:
    assert enum("elegans_reduce") == codes.REDUCE
    assert enum("elegans_schedule") == codes.SCHEDULE
    assert enum("elegans_isa") == codes.INSTRUCTION_SET
    short = {"float32": "f32", "float64": "f64", "bfloat16": "bf16", "float16": "f16"}
    assert enum("elegans_dtype") == {short[name]: code for name, code in codes.DTYPE.items()}
    assert int(re.search(r"define ELEGANS_GNN_ABI (\d+)", HEADERS)[1]) == codes.ABI


def test_programs_of_visits() -> None:
    names = ("fuse", "add", "unit_input", "carry", "finished")
    assert enum("Code") == {name: getattr(codes, f"OP_{name.upper()}") for name in names}
    assert enum("Fuse") == {"sum": codes.FUSE["add"], "product": codes.FUSE["mul"]}
    norms = {"no_norm": "none", "layer_norm": "layer", "root_mean_square": "rms"}
    assert enum("Norm") == {name: codes.NORM[ours] for name, ours in norms.items()}
    assert (codes.FROM_INPUT, codes.FROM_CARRY, codes.FROM_UNITS) == (0, 1, 2)


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("elegans_call", codes.AGGREGATE_CALL),
        ("synaptic_call", codes.SYNAPTIC_CALL),
        ("tensor_network_call", codes.VISITS_CALL),
    ],
)
def test_call_blocks(name: str, layout: str) -> None:
    counted = {kind: sum(int(n or 1) for n in re.findall(rf"(\d*){kind}", layout)) for kind in "qd"}
    assert fields(name) == counted
    assert struct.calcsize(layout) == 8 * sum(counted.values())


def test_reduces_of_the_gpu_kernels() -> None:
    pytest.importorskip("triton", reason="the CPU-only builds of torch come without triton")
    from elegans_gnn.ops import triton_kernels as kernels

    found = {name: getattr(kernels, name.upper()).value for name in codes.REDUCES}
    assert found == codes.REDUCE
