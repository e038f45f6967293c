"""The index tensors that a backend works on."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

REDUCES = ("sum", "mean", "mul", "max")


class Graph(NamedTuple):
    """CSR by target and CSC by source, both with their permutation into the caller's edge order (int32)."""

    rowptr: Tensor
    col: Tensor
    perm: Tensor
    colptr: Tensor
    row: Tensor
    csc_perm: Tensor
