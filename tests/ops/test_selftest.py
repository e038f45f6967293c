"""The kernels without Python: compiled with sanitizers, run on odd shapes against plain loops."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.hard
def test_address_and_undefined_behaviour_sanitizers_find_nothing(tmp_path: Path) -> None:
    assert shutil.which("cmake"), "the sanitizer build needs cmake and a C++17 compiler"
    configure = ["cmake", "-S", ROOT, "-B", tmp_path, "-DELEGANS_SANITIZE=ON", "-DCMAKE_BUILD_TYPE=Release"]
    for command in (configure, ["cmake", "--build", tmp_path, "--target", "elegans_selftest"]):
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        assert built.returncode == 0, built.stdout[-2000:] + built.stderr[-2000:]
    ran = subprocess.run([tmp_path / "elegans_selftest"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-4000:]
    assert " cases, 0 failures" in ran.stdout
