"""`elegans-gnn connectome`: what it prints, what --json holds, and exit code 2 with one line for every mistake."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from elegans_gnn.cli import main
from elegans_gnn.connectome import (
    Connectome,
    list_connectomes,
    load_connectome,
    read_connectome,
    write_connectome,
)
from elegans_gnn.graphs import random_connectome

ROOT = Path(__file__).resolve().parents[2]
EXCERPT = ROOT / "tests" / "data" / "slipped_excerpt.graphml"


def said(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert main(["connectome", *map(str, arguments)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    return printed.out


def said_json(capsys: pytest.CaptureFixture[str], *arguments: object) -> Any:
    return json.loads(said(capsys, *arguments, "--json"))


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "list")
    for name in (*list_connectomes(), "monoamine", "neuropeptide-long", "10.1371/journal.pcbi.1001066"):
        assert name in text
    listed = said_json(capsys, "list")
    assert tuple(listed["connectomes"]) == list_connectomes()
    assert listed["connectomes"]["varshney2011"]["counts"]["chemical"] == 2194


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "show", "varshney2011")
    assert "2,194" in text
    assert "source: Varshney LR" in text
    shown = said_json(capsys, "show", "varshney2011", "--include-unwired", "--layers", "monoamine")
    assert shown["values"]["neurons"] == 280
    assert shown["values"]["monoamine edges"] > 0
    graph = load_connectome("varshney2011", include_unwired=True, layers=["monoamine"])
    assert shown["fingerprint"] == graph.fingerprint


def test_show_a_graph_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_connectome(Connectome.from_edges("[bold]mine", ["a", "b"], [0], [1]), tmp_path / "mine.graphml")
    shown = said_json(capsys, "show", tmp_path / "mine.graphml")
    assert (shown["name"], shown["values"]["neurons"]) == ("[bold]mine", 2)
    # Brackets are text, not markup.
    assert "[bold]mine" in said(capsys, "show", tmp_path / "mine.graphml")


def test_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "compare", "varshney2011", "varshney2011") == "varshney2011 | varshney2011: identical\n"
    text = said(capsys, "compare", EXCERPT, "varshney2011")
    assert "LABEL SLIP: 33 names from DD6 to PHAL are shifted" in text
    found = said_json(capsys, "compare", EXCERPT, "varshney2011")
    assert found["label_slip"]["neurons"] == 33
    assert not found["identical"]
    write_connectome(load_connectome("cook2020-pharynx"), tmp_path / "csv")
    assert said_json(capsys, "compare", tmp_path / "csv", "cook2020-pharynx")["identical"]


def test_compare_by_statistics(capsys: pytest.CaptureFixture[str]) -> None:
    assert "merged" in said(capsys, "compare", "varshney2011", "white1986", "--match")
    rows = said_json(capsys, "compare", "varshney2011", "varshney2011", "--match")["rows"]
    assert rows
    assert all(row["same"] for row in rows)


@pytest.mark.parametrize("target", ["worm.graphml", "worm.xml", "worm"])
def test_export(tmp_path: Path, capsys: pytest.CaptureFixture[str], target: str) -> None:
    assert "varshney2011" in said(capsys, "export", "varshney2011", tmp_path / target)
    worm = load_connectome("varshney2011")
    assert read_connectome(tmp_path / target) == worm
    told = said_json(capsys, "export", "varshney2011", tmp_path / target, "--force")
    assert told == {"file": str(tmp_path / target), "name": "varshney2011", "fingerprint": worm.fingerprint}


def test_export_in_the_published_style(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "worm.graphml"
    said(capsys, "export", "varshney2011", path, "--style", "elegans-ai")
    assert 'attr.name="synapse_type"' in path.read_text(encoding="utf-8")
    assert read_connectome(path) == load_connectome("varshney2011")


def test_random(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "random.graphml"
    wanted = random_connectome("watts-strogatz", like=load_connectome("cook2020-pharynx"), seed=3, p=0.5)
    options = ["random", "watts-strogatz", "--like", "cook2020-pharynx", "--seed", 3, "--p", 0.5]
    text = said(capsys, *options, "--out", path)
    assert "differs" in text
    assert read_connectome(path) == wanted
    assert said_json(capsys, *options)["fingerprint"] == wanted.fingerprint


def test_random_warns_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = Connectome.from_edges("g", list("abc"), [0, 1, 2, 0], [1, 2, 0, 1], kinds=["a", "a", "a", "b"])
    write_connectome(graph, tmp_path / "g.graphml")
    command = ["connectome", "random", "degree-preserving", "--like", str(tmp_path / "g.graphml"), "--seed", "0"]
    assert main(command) in (0, 2)
    printed = capsys.readouterr().err
    assert printed.startswith("elegans-gnn: ")
    assert "Traceback" not in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "varshny2011"], "NAME must be one of varshney2011, .*; did you mean 'varshney2011'"),
        (["show", "no/such/file.graphml"], "no/such/file.graphml: No such file or directory; check the path"),
        (["show", "worm.xlsx"], "worm.xlsx: No such file or directory; check the path"),
        (["compare", "varshney2011", "white"], "NAME must be one of"),
        (["show", "varshney2011", "--layers", "dopamine"], "layers must be one of monoamine"),
        (
            ["show", str(EXCERPT), "--layers", "monoamine"],
            "gnn: layers must be used with a bundled connectome, got the file .*; add",
        ),
        (["show", str(EXCERPT), "--max-bytes", "100"], "are more than max_bytes=100; pass a larger max_bytes"),
        (["export", "varshney2011", "worm.xlsx"], "path must be a .graphml or .xml file"),
        (
            ["export", "varshney2011", "no/such/folder.graphml"],
            "FILE must be writable, got no/such/folder.graphml: No such",
        ),
        (["export", "varshney2011", "new.graphml", "--style", "gephi"], "style must be one of plain, elegans-ai"),
        (["random", "watts", "--like", "varshney2011", "--seed", "0"], "model must be one of .*watts-strogatz"),
        (["random", "lattice", "--like", "varshney2011", "--seed", "-1"], "seed must be"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["connectome", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert printed.err.startswith("elegans-gnn: ")
    assert re.search(message, printed.err)
    assert not list(tmp_path.iterdir())


def test_files_are_not_overwritten_unless_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.graphml"
    path.write_text("precious")
    assert main(["connectome", "export", "cook2020-pharynx", str(path)]) == 2
    assert "which exists; choose another or pass --force" in capsys.readouterr().err
    assert path.read_text() == "precious"
    assert main(["connectome", "export", "cook2020-pharynx", str(path), "--force"]) == 0
    assert read_connectome(path) == load_connectome("cook2020-pharynx")


@pytest.mark.parametrize("arguments", [[], ["paint"], ["random", "lattice", "--like", "varshney2011"], ["show"]])
def test_usage_errors(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["connectome", *arguments])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("elegans-gnn connectome")
    assert line.endswith(" --help")


@pytest.mark.parametrize("arguments", [["--help"], ["connectome", "--help"], ["connectome", "list"]])
def test_answers_at_once(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "elegans_gnn.cli", *arguments]

    def cpu_seconds() -> float:
        before = os.times()
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        after = os.times()
        assert "connectome" in done.stdout
        return after.children_user + after.children_system - before.children_user - before.children_system

    # Time of the process itself: neighbours on the machine do not count. The first run fills the file cache.
    assert min(cpu_seconds() for _ in range(3)) < 0.5


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys\nfrom elegans_gnn.cli import build_parser\nbuild_parser().format_help()\n"
        "print([m for m in ('numpy', 'torch', 'scipy', 'networkx', 'rich', 'torch_geometric') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
