"""Timing side by side, peak memory, and the conditions under which a figure was taken."""

from __future__ import annotations

import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from elegans_gnn import ops

Step = Callable[[], object]

# Asked once: the question takes a microsecond, too long inside what is timed.
_GPU = torch.cuda.is_available()


def interleaved(steps: Mapping[str, Step], *, repeats: int, warmup: int = 2) -> dict[str, list[float]]:
    """Seconds of each step, taken in turns so that a disturbance hits all of them."""
    for step in steps.values():
        for _ in range(warmup):
            step()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            synchronize()
            start = time.perf_counter()
            step()
            synchronize()
            seconds[name].append(time.perf_counter() - start)
    return seconds


def synchronize() -> None:
    """Wait for the GPU, where there is one."""
    if _GPU:
        torch.cuda.synchronize()


def summary(seconds: list[float]) -> dict[str, float]:
    """Median, quartiles, minimum and count, in milliseconds."""
    low, middle, high = statistics.quantiles(seconds, n=4) if len(seconds) > 1 else seconds * 3
    return {
        "median_ms": middle * 1e3,
        "quartile1_ms": low * 1e3,
        "quartile3_ms": high * 1e3,
        "min_ms": min(seconds) * 1e3,
        "n": len(seconds),
    }


def ratio(slow: list[float], fast: list[float]) -> dict[str, float]:
    """How many times faster, pair by pair of one round: median and quartiles."""
    pairs = [a / b for a, b in zip(slow, fast, strict=True)]
    low, middle, high = statistics.quantiles(pairs, n=4) if len(pairs) > 1 else pairs * 3
    return {"median": middle, "quartile1": low, "quartile3": high}


def peak_extra_bytes(step: Step) -> int | None:
    """How far the resident memory of the process rises above its level before the step (Linux; else None).

    Kept buffers are given back first: memory that a step takes from there counts as the step's.
    """
    status, clear = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    if not clear.exists():
        return None
    step()
    ops.release_buffers()
    clear.write_text("5")
    before = _status_bytes(status, "VmRSS")
    step()
    return _status_bytes(status, "VmHWM") - before


def _status_bytes(status: Path, field: str) -> int:
    line = next(line for line in status.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def conditions() -> dict[str, object]:
    """Hardware, versions and commit."""
    processor = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        lines = information.read_text().splitlines()
        processor = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), processor)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    dirty = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=False)
    return {
        "processor": processor,
        "instruction set": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "load at start": Path("/proc/loadavg").read_text().split()[0] if Path("/proc/loadavg").exists() else None,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": commit.stdout.strip() + ("+changes" if dirty.stdout.strip() else ""),
    }
