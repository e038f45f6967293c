"""Graphs and images the tests of the models share."""

from __future__ import annotations

import pytest
import torch

from elegans_gnn import Connectome, load_connectome


@pytest.fixture(scope="session")
def worm() -> Connectome:
    return load_connectome("varshney2011")


@pytest.fixture(scope="session")
def tiny() -> Connectome:
    """Two sensory neurons, three interneurons, two motor neurons; every motor neuron two or three synapses away."""
    return Connectome.from_edges(
        "tiny",
        ["A", "B", "C", "D", "E", "F", "G"],
        ["A", "A", "B", "C", "C", "D", "E", "D"],
        ["C", "D", "D", "F", "E", "G", "G", "C"],
        roles=["sensory", "sensory", "inter", "inter", "inter", "motor", "motor"],
    )


@pytest.fixture(scope="session")
def images() -> torch.Tensor:
    return (torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(0)) > 0.8).float()
