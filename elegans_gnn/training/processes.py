"""Which process of a distributed run this is, before Lightning knows it."""

from __future__ import annotations

import os


def global_rank() -> int:
    """0 in a run of one process and in the first of several; from the variables torchrun, SLURM or Lightning set."""
    for name in ("RANK", "SLURM_PROCID"):
        if name in os.environ:
            return int(os.environ[name])
    return int(os.environ.get("LOCAL_RANK", "0")) + int(os.environ.get("NODE_RANK", "0"))


def launched_from_outside() -> bool:
    """Whether all processes were started from outside, at the same time."""
    return "TORCHELASTIC_RUN_ID" in os.environ or int(os.environ.get("SLURM_NTASKS", "1")) > 1
