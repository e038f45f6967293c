"""The kernels without Python, run on odd shapes against plain loops: with sanitizers, and on another processor."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ARM_ROOT = Path("/usr/aarch64-linux-gnu")


def built(folder: Path, *options: str) -> Path:
    """The self-test program, compiled with these CMake options."""
    assert shutil.which("cmake"), "the self-test needs cmake and a C++17 compiler"
    configure = ["cmake", "-S", ROOT, "-B", folder, "-DCMAKE_BUILD_TYPE=Release", *options]
    build = ["cmake", "--build", folder, "--target", "elegans_selftest", "--parallel", "2"]
    for command in (configure, build):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder / "elegans_selftest"


def check(*command: str | Path) -> None:
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-4000:]
    assert " cases, 0 failures" in ran.stdout


@pytest.mark.hard
def test_address_and_undefined_behaviour_sanitizers_find_nothing(tmp_path: Path) -> None:
    check(built(tmp_path, "-DELEGANS_SANITIZE=ON"))


@pytest.mark.hard
@pytest.mark.skipif(
    not (shutil.which("aarch64-linux-gnu-g++") and shutil.which("qemu-aarch64")),
    reason="needs the Debian packages g++-aarch64-linux-gnu and qemu-user",
)
def test_the_kernels_run_on_aarch64(tmp_path: Path) -> None:
    target = ("-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64")
    compilers = ("-DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc", "-DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++")
    check("qemu-aarch64", "-L", ARM_ROOT, built(tmp_path, *target, *compilers))
