"""The shipped tables, read with nothing but csv: published counts, conventions, checksums, reproducibility."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from functools import cache
from itertools import pairwise
from pathlib import Path

import networkx as nx
import pytest

from elegans_gnn.connectome import natural_key

DATA = Path(__file__).resolve().parents[2] / "data"
INDEX = json.loads((DATA / "datasets.json").read_text(encoding="utf-8"))
DATASETS, LAYERS = INDEX["datasets"], INDEX["layers"]
NEUROPEPTIDE = ("neuropeptide-short", "neuropeptide-mid", "neuropeptide-long")
TRANSMITTERS = {"acetylcholine", "glutamate", "GABA", "dopamine", "serotonin", "tyramine", "octopamine"}
WHEEL = os.environ.get("ELEGANS_GNN_CECT_WHEEL")

# listed, wired, chemical entries, gap entries, wired neurons by role (sensory, inter, motor, polymodal, unknown)
PUBLISHED = {
    "varshney2011": (280, 279, 2194, 1031, (83, 81, 115, 0, 0)),
    "white1986": (300, 299, 2266, 1132, (83, 89, 122, 5, 0)),
    "cook2019-hermaphrodite": (302, 302, 3709, 2196, (83, 89, 123, 5, 2)),
    "cook2019-male": (381, 380, 4048, 2584, (137, 121, 115, 5, 2)),
    "cook2020-pharynx": (22, 22, 149, 58, (0, 10, 7, 5, 0)),
    "witvliet2020-1": (161, 161, 675, 164, (61, 68, 32, 0, 0)),
    "witvliet2020-2": (162, 162, 865, 240, (61, 69, 32, 0, 0)),
    "witvliet2020-3": (162, 162, 887, 186, (61, 69, 32, 0, 0)),
    "witvliet2020-4": (168, 168, 1011, 407, (65, 69, 34, 0, 0)),
    "witvliet2020-5": (174, 174, 1324, 572, (67, 72, 35, 0, 0)),
    "witvliet2020-6": (175, 175, 1315, 422, (67, 73, 34, 0, 1)),
    "witvliet2020-7": (181, 180, 1944, 528, (69, 75, 36, 0, 0)),
    "witvliet2020-8": (180, 180, 1933, 600, (69, 75, 36, 0, 0)),
}

each_dataset = pytest.mark.parametrize("name", PUBLISHED)
each_layer = pytest.mark.parametrize("name", LAYERS)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@cache
def neurons(name: str) -> dict[str, dict[str, str]]:
    return {row["name"]: row for row in rows(DATA / name / "neurons.csv")}


@cache
def counts(name: str, kind: str) -> dict[tuple[str, str], int]:
    """{(pre, post): count} of one kind of a data set, or of a layer."""
    if name in LAYERS:
        return {(row["pre"], row["post"]): int(row["count"]) for row in rows(DATA / "layers" / f"{name}.csv")}
    table = rows(DATA / name / "synapses.csv")
    return {(row["pre"], row["post"]): int(row["count"]) for row in table if row["kind"] == kind}


def wired(name: str) -> set[str]:
    return {neuron for kind in ("chemical", "gap") for pair in counts(name, kind) for neuron in pair}


def test_every_dataset_is_there_and_none_besides() -> None:
    assert list(DATASETS) == list(PUBLISHED)
    assert list(LAYERS) == ["monoamine", *NEUROPEPTIDE]
    folders = {path.name for path in DATA.iterdir() if path.is_dir() and path.name[0] not in "._"}
    assert folders == {*PUBLISHED, "layers", "splits"}


@each_dataset
def test_published_counts(name: str) -> None:
    listed, wired_count, chemical, gap, by_role = PUBLISHED[name]
    assert len(neurons(name)) == listed
    assert len(wired(name)) == wired_count
    assert len(counts(name, "chemical")) == chemical
    assert len(counts(name, "gap")) == gap
    roles = Counter(neurons(name)[neuron]["role"] for neuron in wired(name))
    assert tuple(roles[role] for role in ("sensory", "inter", "motor", "polymodal", "unknown")) == by_role
    stated = DATASETS[name]["counts"]
    assert (stated["listed"], stated["wired"], stated["chemical"], stated["gap"]) == PUBLISHED[name][:4]
    assert tuple(stated["roles"].values()) == by_role


@each_dataset
def test_columns_and_canonical_order(name: str) -> None:
    assert list(next(iter(neurons(name).values()))) == ["name", "class", "role", "side", "transmitter", "sex"]
    names = list(neurons(name))
    assert len(rows(DATA / name / "neurons.csv")) == len(names), "a neuron stands twice"
    assert names == sorted(names, key=natural_key)
    table = rows(DATA / name / "synapses.csv")
    assert list(table[0]) == ["pre", "post", "kind", "count"]
    position = {neuron: index for index, neuron in enumerate(names)}
    order = [(position[row["pre"]], position[row["post"]], row["kind"]) for row in table]
    assert all(before < after for before, after in pairwise(order))
    assert {row["kind"] for row in table} == {"chemical", "gap"}
    assert min(int(row["count"]) for row in table) >= 1


@each_dataset
def test_gap_junctions_are_mutual_and_of_equal_count(name: str) -> None:
    gap = counts(name, "gap")
    assert {pair: count for pair, count in gap.items() if gap.get(pair[::-1]) != count} == {}


@each_dataset
def test_annotations_are_consistent(name: str) -> None:
    for row in neurons(name).values():
        suffix = row["name"].removeprefix(row["class"])
        assert suffix != row["name"], row
        assert suffix == row["side"] or (suffix.isdigit() and row["side"] == ""), row
        assert row["side"] in {"", "L", "R", "D", "V", "DL", "DR", "VL", "VR"}
        assert set(filter(None, row["transmitter"].split("+"))) <= TRANSMITTERS
        assert row["sex"] in {"", DATASETS[name]["sex"]}
        assert row["name"] not in INDEX["aliases"]
    reference = neurons("cook2019-hermaphrodite") | {
        neuron: row for neuron, row in neurons("cook2019-male").items() if row["sex"] == "male"
    }
    male = {"AIML", "AIMR"} if name == "cook2019-male" else set()
    assert all(row == reference[neuron] for neuron, row in neurons(name).items() if neuron not in male)


def test_varshney_sums() -> None:
    chemical, gap = counts("varshney2011", "chemical"), counts("varshney2011", "gap")
    assert set(neurons("varshney2011")) - wired("varshney2011") == {"VC6"}
    assert sum(chemical.values()) == 6394  # the paper's text: 6,393
    junctions = {frozenset(pair): count for pair, count in gap.items()}
    assert Counter(map(len, junctions)) == {2: 514, 1: 3}
    assert sum(junctions.values()) == 890
    assert len(chemical.keys() & gap.keys()) == 232
    merged = chemical.keys() | gap.keys()
    assert len(merged) == 2993
    assert sum(pre == post for pre, post in merged) == 3


def test_varshney_gap_network() -> None:
    graph = nx.Graph(list(counts("varshney2011", "gap")))
    graph.remove_edges_from(list(nx.selfloop_edges(graph)))
    giant = graph.subgraph(max(nx.connected_components(graph), key=len))
    assert len(giant) == 248
    assert round(nx.average_shortest_path_length(giant), 2) == 4.52
    assert round(nx.average_clustering(giant), 2) == 0.21


@pytest.mark.parametrize(("kinds", "size", "length"), [(("chemical",), 237, 3.48), (("chemical", "gap"), 274, 2.87)])
def test_varshney_strong_components(kinds: tuple[str, ...], size: int, length: float) -> None:
    graph = nx.DiGraph([pair for kind in kinds for pair in counts("varshney2011", kind)])
    core = graph.subgraph(max(nx.strongly_connected_components(graph), key=len))
    assert len(core) == size
    assert round(nx.average_shortest_path_length(core), 2) == length


def test_neuron_classes_and_sexes_of_the_whole_animals() -> None:
    hermaphrodite, male = neurons("cook2019-hermaphrodite"), neurons("cook2019-male")
    assert len({row["class"] for row in hermaphrodite.values()}) == 118
    only = [neuron for neuron, row in hermaphrodite.items() if row["sex"]]
    assert only == ["HSNL", "HSNR", "VC1", "VC2", "VC3", "VC4", "VC5", "VC6"]
    assert male.keys() - hermaphrodite.keys() == {neuron for neuron, row in male.items() if row["sex"]}
    assert hermaphrodite.keys() - male.keys() == {*only, "ADAR", "BAGR"}
    assert male.keys() - wired("cook2019-male") == {"URYDL"}


@pytest.mark.parametrize(
    ("neuron", "expected"),
    [
        ("AVAL", ("AVA", "inter", "L", "acetylcholine")),
        ("AVL", ("AVL", "inter", "", "GABA")),
        ("DD1", ("DD", "motor", "", "GABA")),
        ("RMED", ("RME", "motor", "D", "GABA")),
        ("CEPDL", ("CEP", "sensory", "DL", "dopamine")),
        ("IL1L", ("IL1", "sensory", "L", "glutamate")),
        ("ADFL", ("ADF", "sensory", "L", "acetylcholine+serotonin")),
        ("RIML", ("RIM", "inter", "L", "glutamate+tyramine")),
        ("MI", ("MI", "polymodal", "", "glutamate")),  # 5-HTP is a precursor
        ("AVFL", ("AVF", "inter", "L", "")),  # takes GABA up, does not make it
        ("CANL", ("CAN", "unknown", "L", "")),
    ],
)
def test_known_neurons(neuron: str, expected: tuple[str, ...]) -> None:
    row = neurons("cook2019-hermaphrodite")[neuron]
    assert (row["class"], row["role"], row["side"], row["transmitter"]) == expected


def test_aim_changes_transmitter_with_the_sex() -> None:
    assert neurons("cook2019-hermaphrodite")["AIML"]["transmitter"] == "glutamate"
    assert neurons("cook2019-male")["AIML"]["transmitter"] == "acetylcholine"


def test_pharynx_counts_are_exact_half_sections() -> None:
    assert DATASETS["cook2020-pharynx"]["counts_per_unit"] == 2
    assert counts("cook2020-pharynx", "chemical")["I5", "M4"] == 53  # 8 + 18.5 sections
    assert counts("cook2020-pharynx", "gap")["M2R", "MCR"] == 18  # 9 sections


def test_aliases_lead_to_names() -> None:
    everyone = neurons("cook2019-hermaphrodite").keys() | neurons("cook2019-male").keys() | {"CA1"}
    assert INDEX["aliases"]["VB01"] == "VB1"
    assert set(INDEX["aliases"].values()) <= everyone


@each_layer
def test_layers(name: str) -> None:
    entries = {"monoamine": 1952, "neuropeptide-short": 31417, "neuropeptide-mid": 40425, "neuropeptide-long": 53558}
    layer = counts(name, name)
    known = list(neurons("cook2019-hermaphrodite"))
    position = {neuron: index for index, neuron in enumerate(known)}
    assert len(layer) == entries[name] == LAYERS[name]["counts"][name]
    assert len({neuron for pair in layer for neuron in pair}) == LAYERS[name]["counts"]["wired"]
    order = [(position[pre], position[post]) for pre, post in layer]
    assert all(before < after for before, after in pairwise(order))
    assert min(layer.values()) >= 1


def test_monoamines_come_from_neurons_that_make_them() -> None:
    sources = {neurons("cook2019-hermaphrodite")[pre]["class"] for pre, _ in counts("monoamine", "monoamine")}
    assert sources == {"ADE", "ADF", "CEP", "HSN", "NSM", "PDE", "RIC", "RIM"}
    monoamines = {"dopamine", "serotonin", "tyramine", "octopamine"}
    for pre, _ in counts("monoamine", "monoamine"):
        assert monoamines & set(neurons("cook2019-hermaphrodite")[pre]["transmitter"].split("+"))


def test_neuropeptide_ranges_contain_each_other() -> None:
    short, middle, long = (counts(name, name) for name in NEUROPEPTIDE)
    assert all(middle[pair] >= count for pair, count in short.items())
    assert all(long[pair] >= count for pair, count in middle.items())


def files_of(index: dict[str, dict[str, dict[str, dict[str, str]]]]) -> dict[str, str]:
    """{path below data/: sha256} of all tables."""
    named = {f"{name}/{file}": sha for name, about in index["datasets"].items() for file, sha in about["files"].items()}
    layers = {f"layers/{file}": sha for about in index["layers"].values() for file, sha in about["files"].items()}
    return named | layers


def test_checksums_sources_and_size() -> None:
    found = {
        path.relative_to(DATA).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in DATA.rglob("*.csv")
    }
    assert found == files_of(INDEX)
    assert sum((DATA / path).stat().st_size for path in found) < 3e6
    for about in [*DATASETS.values(), *LAYERS.values()]:
        assert about["doi"].startswith("10.")
        assert all(about[key] for key in ("title", "paper", "licence", "description", "count_unit"))


def make_tables(wheel: Path, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DATA / "make_tables.py"), str(wheel), "--out", str(out)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_another_wheel_is_refused(tmp_path: Path) -> None:
    wheel = tmp_path / "cect-0.3.5-py3-none-any.whl"
    wheel.write_bytes(b"something else")
    result = make_tables(wheel, tmp_path / "out")
    assert result.returncode != 0
    assert "is another wheel" in result.stderr
    assert "pip download --no-deps cect==0.3.5" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(not WHEEL, reason="ELEGANS_GNN_CECT_WHEEL does not name the cect 0.3.5 wheel")
def test_the_script_makes_the_same_bytes(tmp_path: Path) -> None:
    result = make_tables(Path(str(WHEEL)), tmp_path)
    assert result.returncode == 0, result.stderr
    for path in [*files_of(INDEX), "datasets.json"]:
        assert (tmp_path / path).read_bytes() == (DATA / path).read_bytes(), path
