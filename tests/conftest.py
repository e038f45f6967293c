"""Shapes in annotations are executed: every call of a layer or model in these tests checks its tensors."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import jaxtyping
import pytest
from jaxtyping import install_import_hook

install_import_hook(["elegans_gnn.nn", "elegans_gnn.models", "elegans_gnn.sparse"], "beartype.beartype")


@pytest.fixture
def unchecked_shapes() -> Iterator[None]:
    """Switches the checks of annotations off: for torch.compile, and to reach the errors that users see."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """No network, at once, and no data sets of the system's; the addresses that were asked for."""
    monkeypatch.setattr("elegans_gnn.datasets._mnist.FASHION_FOLDER", tmp_path / "no" / "package")
    asked = []

    def refuse(request: urllib.request.Request, *_: object, **__: object) -> None:
        asked.append(request.full_url)
        raise urllib.error.URLError("no network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    return asked
