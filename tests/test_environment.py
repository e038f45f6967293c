"""environment.yml, pyproject.toml, constraints.txt and the table of extras name the same packages."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from elegans_gnn.errors import EXTRA_OF_MODULE

ROOT = Path(__file__).resolve().parents[1]

# Where conda-forge's name is not PyPI's.
CONDA_NAME = {
    "build": "python-build",
    "igraph": "python-igraph",
    "matplotlib": "matplotlib-base",
    "ray": "ray-core",
    "torch": "pytorch",
    "torch-geometric": "pytorch_geometric",
    "torch-scatter": "pytorch_scatter",
}
# pip brings its own; a conda environment must list them.
CONDA_ONLY = {"pip", "cmake", "cxx-compiler", "ninja"}
# Where the module is not called like its distribution.
DISTRIBUTION = {"sklearn": "scikit-learn", "torch_scatter": "torch-scatter", "yaml": "pyyaml"}


def project_table() -> dict[str, Any]:
    with open(ROOT / "pyproject.toml", "rb") as file:
        project: dict[str, Any] = tomllib.load(file)["project"]
    return project


def conda_table() -> dict[str, Any]:
    table: dict[str, Any] = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    return table


def requirements(project: dict[str, Any]) -> list[Requirement]:
    """Core dependencies, then those of every extra."""
    extras = project["optional-dependencies"].values()
    return [Requirement(text) for text in [*project["dependencies"], *(line for extra in extras for line in extra)]]


def pins() -> list[Requirement]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line.strip() and not line.startswith("#")]


def differences(project: dict[str, Any], conda: dict[str, Any]) -> list[str]:
    """What one of the two files says and the other does not."""
    wanted = {"python": SpecifierSet(project["requires-python"])}
    for requirement in requirements(project):
        name = canonicalize_name(requirement.name)
        wanted[CONDA_NAME.get(name, name)] = requirement.specifier
    found = {}
    for text in conda["dependencies"]:
        requirement = Requirement(text)
        found[requirement.name] = requirement.specifier
    return [
        *(f"{name} is missing in environment.yml" for name in wanted.keys() - found.keys()),
        *(f"{name} is missing in pyproject.toml" for name in found.keys() - wanted.keys() - CONDA_ONLY),
        *(f"{name} is needed to build and missing in environment.yml" for name in CONDA_ONLY - found.keys()),
        *(
            f"{name}: {found[name]} in environment.yml, {wanted[name]} in pyproject.toml"
            for name in wanted.keys() & found.keys()
            if wanted[name] != found[name]
        ),
    ]


def test_environment_and_project_are_in_step() -> None:
    assert differences(project_table(), conda_table()) == []
    assert conda_table()["name"] == project_table()["name"]
    assert conda_table()["channels"] == ["conda-forge", "nodefaults"]


def test_names_are_unique_in_both() -> None:
    names = [requirement.name for requirement in requirements(project_table())]
    assert len(names) == len(set(names))
    names = [Requirement(text).name for text in conda_table()["dependencies"]]
    assert len(names) == len(set(names))


def test_every_dropped_package_is_noticed() -> None:
    project, conda = project_table(), conda_table()
    for position, text in enumerate(conda["dependencies"]):
        poorer = copy.deepcopy(conda)
        del poorer["dependencies"][position]
        (problem,) = differences(project, poorer)
        assert problem.startswith(Requirement(text).name)
        assert "missing in environment.yml" in problem
    for group in [project["dependencies"], *project["optional-dependencies"].values()]:
        dropped = group.pop()
        (problem,) = differences(project, conda)
        assert "missing in pyproject.toml" in problem
        group.append(dropped)
    assert differences(project, conda) == []


@pytest.mark.parametrize("changed", ["python>=3.12", "pytorch>=2.8", "ruff"])
def test_another_bound_is_noticed(changed: str) -> None:
    conda = conda_table()
    name = Requirement(changed).name
    conda["dependencies"] = [changed if Requirement(text).name == name else text for text in conda["dependencies"]]
    (problem,) = differences(project_table(), conda)
    assert problem.startswith(f"{name}: ")


def test_the_versions_that_make_installs_are_allowed() -> None:
    allowed = {canonicalize_name(item.name): item.specifier for item in requirements(project_table())}
    assert pins()
    for pin in pins():
        (version,) = pin.specifier
        assert version.operator == "=="
        assert version.version in allowed[canonicalize_name(pin.name)], pin


def test_every_core_dependency_is_pinned_for_make() -> None:
    core = {canonicalize_name(Requirement(text).name) for text in project_table()["dependencies"]}
    assert core <= {canonicalize_name(pin.name) for pin in pins()}


def test_errors_send_to_the_extra_that_brings_the_module() -> None:
    extras = project_table()["optional-dependencies"]
    brought = {extra: {Requirement(text).name for text in lines} for extra, lines in extras.items()}
    for module, extra in EXTRA_OF_MODULE.items():
        assert DISTRIBUTION.get(module, module) in brought[extra]
