"""What runs the visits, for tests that must hold for all of it."""

from __future__ import annotations

import pytest

from elegans_gnn.nn.tensor_network import _visits_native


@pytest.fixture(params=["native", "torch"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "torch":
        monkeypatch.setattr(_visits_native, "available", lambda dtype: False)
    return request.param
