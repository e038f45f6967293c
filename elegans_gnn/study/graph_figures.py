"""Statistics of every graph of a study, for the regression of scores on them; kept in the folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from elegans_gnn._text import read_json
from elegans_gnn.connectome import Connectome
from elegans_gnn.graphs import statistics
from elegans_gnn.study.ledger import replace_file


def graph_figures(folder: Path, graphs: Mapping[str, Connectome]) -> dict[str, dict[str, float | None]]:
    """Figures by fingerprint; those in ``graphs.json`` are not computed again."""
    path = folder / "graphs.json"
    known: dict[str, dict[str, float | None]] = read_json(path, "graphs.json") if path.exists() else {}
    missing = {fingerprint: graph for fingerprint, graph in graphs.items() if fingerprint not in known}
    if missing:
        known |= {fingerprint: dict(figures(graph)) for fingerprint, graph in missing.items()}
        replace_file(path, known)
    return known


def figures(graph: Connectome) -> dict[str, float]:
    """Path length, clustering, small-worldness, spectral radius, and two shares of links by role.

    Small-worldness is (C / C_r) / (L / L_r) with the closed forms of a random graph, C_r = k / N and
    L_r = ln N / ln k, k the mean number of neighbours. The spectral radius is that of the unweighted merged graph.
    """
    plain = statistics.simple_digraph(graph)
    path, clustering = statistics.path_length(graph), statistics.clustering(graph)
    size = graph.num_neurons
    degree = 2 * plain.to_undirected().number_of_edges() / size if size else 0.0
    random_clustering = degree / size if size else 0.0
    random_path = math.log(size) / math.log(degree) if degree > 1 else math.nan
    flow = statistics.role_flow(graph)
    total = int(flow.matrix.sum())
    ends = [flow.roles.index(role) for role in ("sensory", "motor") if role in flow.roles]
    direct = float(flow.matrix[ends[0], ends[1]]) / total if total and len(ends) == 2 else math.nan
    matrix = np.zeros((size, size))
    matrix[graph.post, graph.pre] = 1.0
    return {
        "path length": path,
        "clustering": clustering,
        "small-worldness": (clustering / random_clustering) / (path / random_path) if random_clustering else math.nan,
        "spectral radius": float(np.abs(np.linalg.eigvals(matrix)).max()) if size else math.nan,
        "sensory to motor": direct,
        "within a role": flow.homophilic,
    }
