"""What runs the visits, for tests that must hold for all of it."""

from __future__ import annotations

import pytest

from elegans_gnn.nn.tensor_network import layer


@pytest.fixture(params=["native", "torch"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "torch":
        monkeypatch.setattr(layer, "VISITS", layer.VISITS._replace(native_dtypes=()))
    return request.param
