"""Three graphs of one's own, from a file through the command line to a trained model and a picture."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import networkx as nx
import numpy as np
import pytest

from elegans_gnn import cli, load_connectome
from elegans_gnn.connectome import write_connectome
from elegans_gnn.models import from_pretrained

SMALL = ["--smoke", "--no-progress", "--threads", "1", "--encoder-width", "4", "--decoder-width", "4", "--code", "4"]


def table(folder: Path) -> list[str]:
    rows = ["A,X,2", "B,Y,1", "X,C,3", "Y,D,1", "X,Y,1", "Y,C,2"]
    (folder / "edges.csv").write_text("pre,post,synapses\n" + "\n".join(rows))
    return ["--connectome", "edges.csv", "--inputs", "A,B", "--outputs", "C,D"]


def small_world(folder: Path) -> list[str]:
    graph = nx.DiGraph(nx.watts_strogatz_graph(20, 4, 0.2, seed=0))
    (folder / "world.json").write_text(json.dumps(nx.node_link_data(graph)))
    return ["--connectome", "world.json", "--inputs", "0,1,2", "--outputs", "9,10"]


def larva(folder: Path) -> list[str]:
    """Where signals enter and leave by their place in the wiring, as roles."""
    graph = load_connectome("witvliet2020-1")
    out, into = (
        np.bincount(graph.pre, minlength=graph.num_neurons),
        np.bincount(graph.post, minlength=graph.num_neurons),
    )
    share = out / (out + into)
    roles = np.where(share > 0.6, "sensory", np.where(share < 0.4, "motor", "inter"))
    write_connectome(replace(graph, roles=roles.astype(np.str_)), folder / "larva")
    return ["--connectome", "larva", "--core-steps", "6"]


@pytest.mark.parametrize("make", [table, small_world, larva])
def test_from_a_file_to_a_picture(
    make: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert callable(make)
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "mnist-autoencoder", *make(tmp_path), *SMALL, "--name", "mine"]) == 0
    assert "written to runs/mine" in capsys.readouterr().out
    run = tmp_path / "runs" / "mine"
    assert (run / "edge_weights.png").read_bytes().startswith(b"\x89PNG")
    model = from_pretrained(run / "model")
    assert model.connectome == load_connectome(json.loads((run / "config.json").read_text())["connectome"])


def test_without_roles_the_ways_that_are_open_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "mnist-autoencoder", *table(tmp_path)[:2], *SMALL]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    for way in ("inputs must be", "names", "all", "sources"):
        assert way in line
    assert not (tmp_path / "runs").exists()
