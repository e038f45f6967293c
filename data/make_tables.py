"""Rebuild every table of this folder from the `cect` wheel, byte for byte.

    pip download --no-deps cect==0.3.5
    python data/make_tables.py cect-0.3.5-py3-none-any.whl [--out data]

Only the standard library is used, and nothing of the wheel is executed: adjacency matrices are read from its JSON
caches, cell types from the list literals of `cect/Cells.py`, neuron classes and transmitters from the supplementary
tables of Wang et al. 2024 that it carries. `sources.json` says which cache becomes which table, and cites it.
"""

from __future__ import annotations

import argparse
import ast
import csv
import hashlib
import io
import json
import re
import sys
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

WHEEL_SHA256 = "ea47f7a6b0d69a8d0bd3b0ade4037b7cc32d31ad0449f823d7ec153d6fd25057"
HERE = Path(__file__).resolve().parent
KINDS = {"Generic_CS": "chemical", "Generic_GJ": "gap"}
ROLES = ("sensory", "inter", "motor", "polymodal", "unknown")
ROLE_LISTS = {
    "sensory": ("SENSORY_NEURONS_COOK", "MALE_HEAD_SENSORY_NEURONS", "MALE_NON_HEAD_SENSORY_NEURONS"),
    "inter": ("INTERNEURONS_COOK", "MALE_HEAD_INTERNEURONS", "MALE_NON_HEAD_INTERNEURONS"),
    "motor": ("MOTORNEURONS_COOK",),
    "polymodal": ("PHARYNGEAL_POLYMODAL_NEURONS",),
    "unknown": ("UNKNOWN_FUNCTION_NEURONS",),
}
SEX_LISTS = {"hermaphrodite": "HERM_SPECIFIC_MOTORNEURONS", "male": "MALE_SPECIFIC_NEURONS"}
NEURON_HEADER = ["name", "class", "role", "side", "transmitter", "sex"]
SYNAPSE_HEADER = ["pre", "post", "kind", "count"]
LAYER_HEADER = ["pre", "post", "count"]  # the kind is the name of the file
SIDES = frozenset({"L", "R", "D", "V", "DL", "DR", "VL", "VR"})
TRANSMITTERS = {
    "ACh": "acetylcholine",
    "Glu": "glutamate",
    "GABA": "GABA",
    "DA": "dopamine",
    "5-HT": "serotonin",
    "tyramine": "tyramine",
    "octopamine": "octopamine",
}
# Wang et al. print hermaphrodite identities for shared neurons and note this one change in the comment of the row.
MALE_TRANSMITTERS = {"AIML": "acetylcholine", "AIMR": "acetylcholine"}
SHEET = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"


class Neuron(NamedTuple):
    """One row of neurons.csv."""

    name: str
    neuron_class: str
    role: str
    side: str
    transmitter: str
    sex: str


class Synapse(NamedTuple):
    """One row of synapses.csv or of a layer."""

    pre: str
    post: str
    kind: str
    number: int


def natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    """Sort key that counts digits as numbers: DA1, DA2, ..., DA9, DA10."""
    parts = re.findall(r"\d+|\D+", name)
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts)


def plain_name(name: str) -> str:
    """Name without leading zeros: VB01 -> VB1."""
    return re.sub(r"(?<=\D)0+(?=\d)", "", name)


def literal_lists(source: str) -> dict[str, list[str]]:
    """Module-level lists of strings, and their sums, of a Python source that is parsed but not run."""
    lists: dict[str, list[str]] = {}

    def value(node: ast.expr) -> list[str]:
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            return value(node.left) + value(node.right)
        if isinstance(node, ast.Name):
            return lists[node.id]
        return list(ast.literal_eval(node))

    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            try:
                lists[statement.targets[0].id] = value(statement.value)
            except (KeyError, TypeError, ValueError):
                continue  # not a list of strings, so not a cell list
    return lists


def sheet_rows(workbook: bytes) -> list[dict[str, str]]:
    """Rows of the first sheet of an .xlsx file as {column letter: text}."""
    with zipfile.ZipFile(io.BytesIO(workbook)) as archive:
        shared = ElementTree.fromstring(archive.read("xl/sharedStrings.xml"))
        sheet = ElementTree.fromstring(archive.read("xl/worksheets/sheet1.xml"))
    strings = ["".join(text.text or "" for text in item.iter(f"{SHEET}t")) for item in shared]
    rows = []
    for row in sheet.iter(f"{SHEET}row"):
        cells = {}
        for cell in row.iter(f"{SHEET}c"):
            text = cell.findtext(f"{SHEET}v")
            if text is not None:
                column = cell.attrib["r"].rstrip("0123456789")
                cells[column] = (strings[int(text)] if cell.get("t") == "s" else text).strip()
        rows.append(cells)
    return rows


def transmitter_text(entries: list[str]) -> str:
    """Released transmitters in the order of the source, joined by '+'.

    Uptake without synthesis, precursors, unidentified monoamines, orphans and entries with a question mark are left
    out; a leading '*' (dim, variable expression) is not a reason to leave one out.
    """
    found = []
    for entry in entries:
        text = entry.lstrip("*")
        short = next((key for key in TRANSMITTERS if re.match(rf"{re.escape(key)}(?![\w-])", text)), None)
        uptake_only = "uptake" in text and "synthesis" not in text
        if short and not uptake_only and "?" not in text:
            found.append(TRANSMITTERS[short])
    return "+".join(found)


def atlas(rows: list[dict[str, str]], columns: str) -> dict[str, tuple[str, str]]:
    """{neuron: (class, transmitter)} from a supplementary table of Wang et al. 2024; class names head their group."""
    header = next(index for index, row in enumerate(rows) if row.get("C") == "Neuron")
    table, current = {}, ""
    for row in rows[header + 1 :]:
        current = row.get("B", current)
        if " " in row.get("C", " "):  # a heading or a footnote
            continue
        neuron_class = re.sub(r"\*+$|\d/\d$", "", current)
        transmitter = transmitter_text([row.get(column, "") for column in columns])
        pair = re.fullmatch(r"(\D+)(\d)/(\d)", row["C"])  # DB1/3 is DB1 in some animals and DB3 in others
        for name in (pair[1] + pair[2], pair[1] + pair[3]) if pair else (row["C"],):
            # RnA stands for the ray classes R1A ... R9A
            table[name] = (neuron_class.replace("n", name[1]), transmitter)
    return table


class Wheel:
    """The parts of the `cect` wheel that the tables are made from."""

    def __init__(self, path: Path) -> None:
        self.archive = zipfile.ZipFile(path)
        lists = literal_lists(self.archive.read("cect/Cells.py").decode())
        self.known = frozenset(lists["ALL_PREFERRED_NEURON_NAMES"])
        self.roles = {cell: role for role, keys in ROLE_LISTS.items() for key in keys for cell in lists[key]}
        self.sexes = {cell: sex for sex, key in SEX_LISTS.items() for cell in lists[key]}
        self.atlas = atlas(sheet_rows(self.archive.read("cect/data/elife-95402-supp2-v1.xlsx")), "UVW")
        self.atlas |= atlas(sheet_rows(self.archive.read("cect/data/elife-95402-supp3-v1.xlsx")), "VWX")

    def neuron(self, cell: str, animal: str) -> Neuron:
        """Annotations of one neuron of one animal."""
        name = plain_name(cell)
        neuron_class, transmitter = self.atlas[name]
        if animal == "male":
            transmitter = MALE_TRANSMITTERS.get(name, transmitter)
        side = name.removeprefix(neuron_class)
        return Neuron(
            name=name,
            neuron_class=neuron_class,
            role=self.roles[cell],
            side=side if side in SIDES else "",
            transmitter=transmitter,
            sex=self.sexes.get(cell, ""),
        )

    def matrices(self, cache: str) -> tuple[list[str], dict[str, list[list[float]]]]:
        """All cells of a cached dataset, and {synapse class: dense matrix}, rows presynaptic."""
        content = json.loads(self.archive.read(f"cect/cache/{cache}.json"))
        return content["nodes"], content["connections"]


def padded_names(cells: frozenset[str]) -> dict[str, str]:
    """{alias: name} for the numbered motor neurons that many tables write with a leading zero: VB01 is VB1."""
    names = sorted({plain_name(cell) for cell in cells}, key=natural_key)
    return {f"{n[:2]}0{n[2]}": n for n in names if re.fullmatch(r"(AS|[DV][ABCD]|C[AP])[1-9]", n)}


def described(sources: dict[str, Any], group: str) -> list[tuple[str, dict[str, Any]]]:
    """(name, description) of each table of a group, completed with what its series shares."""
    series = sources["shared"]
    return [(name, about | series.get(name.rpartition("-")[0], {})) for name, about in sources[group].items()]


def synapses(cells: list[str], known: frozenset[str], matrix: list[list[float]], kind: str, unit: int) -> list[Synapse]:
    """Non-zero entries between neurons; counts times `unit` must be integers."""
    neurons = [(index, plain_name(cell)) for index, cell in enumerate(cells) if cell in known]
    entries = []
    for row, pre in neurons:
        for column, post in neurons:
            count = matrix[row][column] * unit
            if count != int(count):
                raise SystemExit(f"{kind} {pre} -> {post}: {count} is not an integer; choose another count_unit")
            if count:
                entries.append(Synapse(pre, post, kind, int(count)))
    return entries


def ordered(entries: list[Synapse]) -> list[Synapse]:
    """Entries in canonical order: presynaptic, postsynaptic neuron, kind."""
    return sorted(entries, key=lambda entry: (natural_key(entry.pre), natural_key(entry.post), entry.kind))


def endpoints(entries: list[Synapse]) -> set[str]:
    """Names of the neurons with at least one entry."""
    return {entry.pre for entry in entries} | {entry.post for entry in entries}


def write_csv(path: Path, header: list[str], rows: list[Any]) -> str:
    """Write a table with '\\n' line ends; returns its sha256."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    content = text.getvalue().encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def make_dataset(wheel: Wheel, name: str, about: dict[str, Any], out: Path) -> dict[str, Any]:
    """Write neurons.csv and synapses.csv of one dataset; returns its entry of datasets.json."""
    about = dict(about)
    cells, matrices = wheel.matrices(about.pop("cache"))
    animal, unit = about["sex"], about["counts_per_unit"]
    neurons = sorted((wheel.neuron(c, animal) for c in cells if c in wheel.known), key=lambda n: natural_key(n.name))
    entries = [e for key, kind in KINDS.items() for e in synapses(cells, wheel.known, matrices[key], kind, unit)]
    wired = endpoints(entries)
    roles = Counter(neuron.role for neuron in neurons if neuron.name in wired)
    kinds = Counter(entry.kind for entry in entries)
    files = {
        "neurons.csv": write_csv(out / name / "neurons.csv", NEURON_HEADER, neurons),
        "synapses.csv": write_csv(out / name / "synapses.csv", SYNAPSE_HEADER, ordered(entries)),
    }
    counts = {"listed": len(neurons), "wired": len(wired), **{kind: kinds[kind] for kind in KINDS.values()}}
    return about | {"counts": counts | {"roles": {role: roles[role] for role in ROLES}}, "files": files}


def make_layer(wheel: Wheel, name: str, about: dict[str, Any], out: Path) -> dict[str, Any]:
    """Write one extrasynaptic layer; the count of a pair is summed over the classes of its cache."""
    about = dict(about)
    cells, matrices = wheel.matrices(about.pop("cache"))
    total: Counter[tuple[str, str]] = Counter()
    for matrix in matrices.values():
        for entry in synapses(cells, wheel.known, matrix, name, 1):
            total[entry.pre, entry.post] += entry.number
    entries = ordered([Synapse(pre, post, name, count) for (pre, post), count in total.items()])
    rows = [(entry.pre, entry.post, entry.number) for entry in entries]
    files = {f"{name}.csv": write_csv(out / "layers" / f"{name}.csv", LAYER_HEADER, rows)}
    return about | {"counts": {"wired": len(endpoints(entries)), name: len(entries)}, "files": files}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wheel", type=Path, help="cect-0.3.5-py3-none-any.whl")
    parser.add_argument("--out", type=Path, default=HERE, help="folder to write to (default: the script's own)")
    parser.add_argument("--any-wheel", action="store_true", help="go on when the wheel is not the one recorded")
    arguments = parser.parse_args()
    if not arguments.wheel.is_file():
        parser.error(f"{arguments.wheel} is not a file; get it with `pip download --no-deps cect==0.3.5`")
    digest = hashlib.sha256(arguments.wheel.read_bytes()).hexdigest()
    if digest != WHEEL_SHA256:
        print(f"{arguments.wheel} is another wheel: sha256 {digest}, expected {WHEEL_SHA256}", file=sys.stderr)
        if not arguments.any_wheel:
            raise SystemExit("get it with `pip download --no-deps cect==0.3.5`, or pass --any-wheel")
    sources = json.loads((HERE / "sources.json").read_text(encoding="utf-8"))
    wheel, out = Wheel(arguments.wheel), arguments.out
    index = {
        "made_from": sources["made_from"] | {"sha256": digest},
        "annotations": sources["annotations"],
        "aliases": padded_names(wheel.known),
        "datasets": {name: make_dataset(wheel, name, about, out) for name, about in described(sources, "datasets")},
        "layers": {name: make_layer(wheel, name, about, out) for name, about in described(sources, "layers")},
    }
    text = json.dumps(index, indent=2, ensure_ascii=False) + "\n"
    (out / "datasets.json").write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
