"""The worm, a batch of samples on it, and a target that its neurons can learn."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from elegans_gnn import Connectome, load_connectome


@pytest.fixture(scope="session")
def worm() -> Connectome:
    return load_connectome("varshney2011")


@pytest.fixture
def x() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(279, 4)


@pytest.fixture(autouse=True)
def _no_shape_checks(unchecked_shapes: None) -> None:
    """Users run without them; tracers cannot see through them."""
