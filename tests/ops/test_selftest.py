"""The native library without Python, run on odd shapes against plain loops: as built, under sanitizers, on aarch64."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from elegans_gnn.ops._backends import library_path

ROOT = Path(__file__).parents[2]
ARM_ROOT = Path("/usr/aarch64-linux-gnu")
SELFTEST = sorted((ROOT / "csrc").glob("selftest*.cpp"))
# More threads than cores: waiting ones must not spin.
ENVIRONMENT = os.environ | {"OMP_WAIT_POLICY": "passive"}


def built(folder: Path, *options: str) -> Path:
    """The self-test program, compiled with these CMake options."""
    assert shutil.which("cmake"), "the self-test needs cmake and a C++17 compiler"
    configure = ["cmake", "-S", ROOT, "-B", folder, "-DCMAKE_BUILD_TYPE=Release", *options]
    build = ["cmake", "--build", folder, "--target", "elegans_selftest", "--parallel", "2"]
    for command in (configure, build):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return folder / "elegans_selftest"


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, env=ENVIRONMENT)


def check(*command: str | Path) -> None:
    ran = run(*command)
    assert ran.returncode == 0, ran.stdout[-2000:] + ran.stderr[-4000:]
    assert " cases, 0 failures" in ran.stdout


def test_every_exported_function_is_tested() -> None:
    headers = "".join(path.read_text() for path in (ROOT / "csrc").glob("*.h") if path.stem != "selftest")
    exported = set(re.findall(r"^int (elegans_\w+)\(", headers, re.MULTILINE))
    tested = "".join(path.read_text() for path in SELFTEST)
    assert len(exported) >= 8
    assert {name for name in exported if not re.search(rf"\b{name}\(", tested)} == set()


def test_the_build_links_every_source_into_the_self_test() -> None:
    build = (ROOT / "CMakeLists.txt").read_text()
    sources = {path.name for path in (ROOT / "csrc").glob("*.cpp")} - {path.name for path in SELFTEST}
    library = re.findall(r"^set\(LIBRARY (.*)\)$", build, re.MULTILINE)[0]
    kernels = re.findall(r"^  add_library\(kernels_\$\{name\} OBJECT (.*)\)$", build, re.MULTILINE)[0]
    assert sources == set(re.findall(r"csrc/(\w+\.cpp)", f"{library} {kernels}"))
    assert "${KERNELS}" in library
    assert re.search(r"^add_executable\(elegans_selftest .*\$\{LIBRARY\}\)$", build, re.MULTILINE)


@pytest.mark.skipif(
    not (shutil.which("g++") and library_path().exists()), reason="needs g++ and the built native library"
)
def test_the_installed_library_gives_what_plain_loops_give(tmp_path: Path) -> None:
    program, library = tmp_path / "selftest", library_path()
    sources = [path for path in SELFTEST if path.stem != "selftest_openmp"]
    options = ("-std=c++17", "-O1", "-fopenmp", f"-Wl,-rpath,{library.parent}")
    compiled = run("g++", *sources, library, *options, "-o", program)
    assert compiled.returncode == 0, compiled.stderr[-4000:]
    check(program, "brief")


@pytest.mark.hard
def test_address_and_undefined_behaviour_sanitizers_find_nothing(tmp_path: Path) -> None:
    program = built(tmp_path, "-DELEGANS_SANITIZE=address")
    check(program)
    overrun = run(program, "overrun")
    assert overrun.returncode != 0
    assert "heap-buffer-overflow" in overrun.stderr


@pytest.mark.hard
def test_thread_sanitizer_finds_nothing(tmp_path: Path) -> None:
    program = built(tmp_path, "-DELEGANS_SANITIZE=thread")
    check(program)
    race = run(program, "race")
    assert race.returncode != 0
    assert "data race" in race.stderr


@pytest.mark.hard
@pytest.mark.skipif(
    not (shutil.which("aarch64-linux-gnu-g++") and shutil.which("qemu-aarch64")),
    reason="needs the Debian packages g++-aarch64-linux-gnu and qemu-user",
)
def test_the_kernels_run_on_aarch64(tmp_path: Path) -> None:
    target = ("-DCMAKE_SYSTEM_NAME=Linux", "-DCMAKE_SYSTEM_PROCESSOR=aarch64")
    compilers = ("-DCMAKE_C_COMPILER=aarch64-linux-gnu-gcc", "-DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++")
    check("qemu-aarch64", "-L", ARM_ROOT, built(tmp_path, *target, *compilers))
