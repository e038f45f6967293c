"""Learned weights between roles."""

from __future__ import annotations

import numpy as np

from elegans_gnn import Connectome
from elegans_gnn.viz import plot_role_blocks, role_blocks


def test_role_blocks_are_root_mean_squares():
    graph = Connectome.from_edges(
        "small",
        ["A", "B", "C"],
        ["A", "A", "B", "C"],
        ["B", "C", "A", "A"],
        roles=["sensory", "motor", "motor"],
    )
    roles, blocks = role_blocks(graph, np.array([3.0, -4.0, 2.0, 2.0]))
    assert roles == ["sensory", "motor"]
    np.testing.assert_allclose(blocks, [[np.nan, np.sqrt(12.5)], [2.0, np.nan]])


def test_role_picture_shows_the_ratio_and_the_empty_blocks(tmp_path):
    graph = Connectome.from_edges("small", ["A", "B"], ["A", "B"], ["B", "A"], roles=["sensory", "motor"])
    figure = plot_role_blocks(graph, np.array([0.5, 2.0]), np.array([1.0, -1.0]), tmp_path / "roles.png")
    texts = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert texts == [
        ["none", "1.000", "1.000", "none"],
        ["none", "0.500", "2.000", "none"],
        ["none", "0.500", "2.000", "none"],
    ]
    assert (tmp_path / "roles.png").stat().st_size > 1000
