"""What a user gets from sdist, wheel and an editable install, with a compiler and without one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Unoptimised kernels: what is tested is where files go, and optimising takes a minute.
QUICK_BUILD = (
    "--config-setting=cmake.build-type=Debug",
    "--config-setting=cmake.define.CMAKE_C_FLAGS_DEBUG=-O0",
    "--config-setting=cmake.define.CMAKE_CXX_FLAGS_DEBUG=-O0",
)
LIBRARY = {"win32": "elegans_gnn.dll", "darwin": "libelegans_gnn.dylib"}.get(sys.platform, "libelegans_gnn.so")

REPORT = """
import json, warnings
from pathlib import Path
import elegans_gnn
from elegans_gnn.connectome import list_connectomes, list_layers, load_connectome
from elegans_gnn._paths import data_folder

graphs = {name: load_connectome(name, layers=list_layers()).num_neurons for name in list_connectomes()}
print(json.dumps({
    "package": elegans_gnn.__file__,
    "data": str(data_folder()),
    "split": (data_folder() / "splits" / "mnist5k.npz").is_file(),
    "graphs": graphs,
}))
"""

BACKENDS = """
import json, warnings
import torch
from elegans_gnn import SparseAdjacency, ops
from elegans_gnn.ops._backends import library_path

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    adjacency = SparseAdjacency(torch.tensor([[0, 1, 1], [1, 0, 2]]), 3)
    for _ in range(2):
        y = ops.aggregate(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([1.0, 10.0, 100.0]), adjacency)
print(json.dumps({
    "backends": ops.available_backends(),
    "library": str(library_path()),
    "y": y.flatten().tolist(),
    "warnings": [str(item.message) for item in caught if "elegans" in str(item.message)],
}))
"""


def run(*command: object, cwd: Path, **environment: str) -> str:
    """Run a command in an environment that knows nothing of the source tree; its output, which an error shows."""
    hidden = ("PYTHONPATH", "CC", "CXX", "CFLAGS", "CXXFLAGS", "PIP_REQUIRE_VIRTUALENV", "VIRTUAL_ENV")
    clean = {key: value for key, value in os.environ.items() if key not in hidden}
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd, env={**clean, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packaging")


@pytest.fixture(scope="module")
def sdist(workshop: Path) -> Path:
    """Built from a copy of what git has or would take, so that nothing is left in the source tree."""
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT)
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (workshop / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, workshop / "copy" / name)
    run(
        sys.executable, "-m", "build", "--no-isolation", "--sdist", "--outdir", workshop / "dist",
        cwd=workshop / "copy",
    )  # fmt: skip
    (archive,) = (workshop / "dist").glob("*.tar.gz")
    return archive


@pytest.fixture(scope="module")
def source(sdist: Path, workshop: Path) -> Path:
    """The sdist unpacked: everything below is built from this, so it must be complete."""
    with tarfile.open(sdist) as archive:
        archive.extractall(workshop / "source", filter="data")
    (folder,) = (workshop / "source").iterdir()
    return folder


@pytest.fixture(scope="module")
def wheel(source: Path, workshop: Path) -> Path:
    run(
        sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", workshop / "dist", *QUICK_BUILD,
        cwd=source,
    )  # fmt: skip
    (archive,) = (workshop / "dist").glob("*.whl")
    return archive


def bare_environment(folder: Path) -> Path:
    """The interpreter of a new virtual environment that sees the packages installed here, and nothing of pytest's."""
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    scheme = {"base": str(folder), "platbase": str(folder)}
    site = Path(sysconfig.get_path("purelib", "venv", vars=scheme))
    outer = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (site / "outer.pth").write_text("".join(f"{path}\n" for path in sorted(outer)))
    return Path(sysconfig.get_path("scripts", "venv", vars=scheme)) / "python"


def install(python: Path, *what: object, **environment: str) -> None:
    """`pip install` without dependencies, index or build isolation; what the outer environment has is ignored."""
    run(
        sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index",
        "--ignore-installed", "--no-build-isolation", "--disable-pip-version-check", *what,
        cwd=python.parent, **environment,
    )  # fmt: skip


def report(python: Path, code: str, foreign: Path) -> dict[str, Any]:
    """What a script says that runs in a folder that has nothing to do with the package."""
    foreign.mkdir(exist_ok=True)
    answer: dict[str, Any] = json.loads(run(python, "-c", code, cwd=foreign).splitlines()[-1])
    return answer


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_sdist_holds_what_building_and_testing_need(source: Path) -> None:
    inside = files_of(source)
    needed = {"pyproject.toml", "CMakeLists.txt", "LICENSE", "README.md", "environment.yml", "data/make_tables.py"}
    assert needed <= inside
    for folder in ("csrc", "data", "elegans_gnn", "tests", "examples"):
        there = {name for name in files_of(source.parents[1] / "copy") if name.startswith(f"{folder}/")}
        assert there
        assert there <= inside
    assert not {name for name in inside if name.startswith(("runs/", ".ci/", "build/", ".git/"))}
    assert not {name for name in inside if name.endswith((".so", ".pyc"))}


def test_wheel_serves_every_python_3_of_the_platform(wheel: Path) -> None:
    name, version, python, abi, platform = wheel.name.removesuffix(".whl").split("-")
    with open(ROOT / "pyproject.toml", "rb") as file:
        assert version == tomllib.load(file)["project"]["version"]
    assert (name, python, abi) == ("elegans_gnn", "py3", "none")
    assert platform != "any"
    assert platform.startswith(sysconfig.get_platform().partition("-")[0])


def test_wheel_holds_code_tables_splits_and_library(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        inside = set(archive.namelist())
        assert "Tag: py3-none-" in archive.read("elegans_gnn-0.1.0.dist-info/WHEEL").decode()
    copied = wheel.parents[1] / "copy"
    scripts = {name for name in files_of(copied / "data") if name.endswith(".py")}
    assert "make_tables.py" in scripts
    tables = files_of(copied / "data") - scripts
    assert {"varshney2011/neurons.csv", "varshney2011/synapses.csv", "splits/mnist5k.npz", "datasets.json"} <= tables
    assert {f"elegans_gnn/data/{name}" for name in tables} <= inside
    assert not {name for name in inside if name.startswith("elegans_gnn/data/") and name.endswith(".py")}
    assert {f"elegans_gnn/{name}" for name in files_of(copied / "elegans_gnn") if name.endswith(".py")} <= inside
    assert f"elegans_gnn/{LIBRARY}" in inside
    assert {name.partition("/")[0] for name in inside} == {"elegans_gnn", "elegans_gnn-0.1.0.dist-info"}


def test_wheel_works_from_a_foreign_folder(wheel: Path, workshop: Path) -> None:
    python = bare_environment(workshop / "bare")
    install(python, wheel)
    answer = report(python, REPORT, workshop / "foreign")
    home = workshop / "bare"
    assert Path(answer["package"]).is_relative_to(home)
    assert Path(answer["data"]).is_relative_to(home)
    assert answer["split"]
    assert answer["graphs"]["varshney2011"] == 279
    numbers = report(python, BACKENDS, workshop / "foreign")
    assert Path(numbers["library"]) == Path(answer["package"]).parent / LIBRARY
    assert "native" in numbers["backends"]
    assert numbers["y"] == [20.0, 1.0, 200.0]
    assert numbers["warnings"] == []
    command = python.parent / "elegans-gnn"
    assert "varshney2011" in run(command, "connectome", "list", cwd=workshop / "foreign")


def test_editable_install_finds_tables_and_library(wheel: Path, source: Path, workshop: Path) -> None:
    """After the wheel, since the same build folder then has the kernels compiled."""
    python = bare_environment(workshop / "editable")
    install(python, *QUICK_BUILD, "--editable", source)
    answer = report(python, REPORT, workshop / "foreign")
    assert Path(answer["package"]) == source / "elegans_gnn" / "__init__.py"
    assert Path(answer["data"]) == source / "data"
    assert answer["graphs"]["varshney2011"] == 279
    numbers = report(python, BACKENDS, workshop / "foreign")
    assert Path(numbers["library"]).is_relative_to(workshop / "editable")
    assert "native" in numbers["backends"]
    assert numbers["warnings"] == []


def test_without_a_compiler_it_installs_and_says_once_what_that_costs(source: Path, workshop: Path) -> None:
    broken = shutil.which("false")
    assert broken is not None
    python = bare_environment(workshop / "no_compiler")
    # A build folder of its own: CMake remembers the compiler it found.
    tried = workshop / "broken_build"
    install(python, f"--config-setting=build-dir={tried}", source, CC=broken, CXX=broken)
    assert (tried / "CMakeCache.txt").is_file()
    answer = report(python, REPORT, workshop / "foreign")
    assert Path(answer["package"]).is_relative_to(workshop / "no_compiler")
    assert not (Path(answer["package"]).parent / LIBRARY).exists()
    assert answer["graphs"]["varshney2011"] == 279
    numbers = report(python, BACKENDS, workshop / "foreign")
    assert "native" not in numbers["backends"]
    assert numbers["y"] == [20.0, 1.0, 200.0]
    (warning,) = numbers["warnings"]
    for part in ("native kernels were not built", "slower", "install a C++17 compiler", "reinstall elegans_gnn"):
        assert part in warning
