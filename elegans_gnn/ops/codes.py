"""The numbers that Python shares with C++ (csrc/) and Triton, once each; tests/ops/test_codes.py compares them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# The aggregation: enum elegans_reduce, elegans_dtype, elegans_schedule and elegans_isa in csrc/elegans_gnn.h.
REDUCE = {"sum": 0, "mean": 1, "mul": 2, "max": 3}
DTYPE = {"float32": 0, "float64": 1, "bfloat16": 2, "float16": 3}
SCHEDULE = {"auto": 0, "strips": 1, "rows": 2}
INSTRUCTION_SET = {"best": 0, "baseline": 1, "avx2": 2, "avx512": 3}
REDUCES = tuple(REDUCE)
# The reduces that are scaled sums, and what one edge of a target of this in-degree counts (numbers or tensors).
SHARES: dict[str, Callable[[Any], Any]] = {"mean": lambda degree: 1 / degree}

# The layout of elegans_call, as a format of `struct`, and its version.
AGGREGATE_CALL = "=33q"
ABI = 2

# The layout of synaptic_call in csrc/synaptic.h.
SYNAPTIC_CALL = "=32qd6q"
# enum synaptic_activation in csrc/synaptic.h; a step has one, a convolution alone has none.
ACTIVATION = {"none": 0, "relu": 1, "gelu": 2, "silu": 3}

# What a call returns that is not 0.
STATUS = {1: "not enough memory for the working buffers", 2: "this processor lacks the requested instruction set"}

# A program of visits: enum Code, Fuse and Norm in csrc/visits_program.h.
OP_FUSE, OP_ADD, OP_UNIT_INPUT, OP_CARRY, OP_FINISHED = range(5)
FUSE = {"add": 0, "mul": 1}
NORM = {"none": 0, "layer": 1, "rms": 2}
# What a program loads from: the network's input, the carry of the program before, the results of this stage's units.
FROM_INPUT, FROM_CARRY, FROM_UNITS = range(3)

# The layout of tensor_network_call in csrc/tensor_network.h.
VISITS_CALL = "=9qd31q"
