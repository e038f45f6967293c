"""One function for names and paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from elegans_gnn.connectome import Connectome, load_connectome, open_connectome, write_connectome
from elegans_gnn.errors import ConnectomeFormatError


@pytest.fixture
def mine() -> Connectome:
    return Connectome.from_edges("mine", ["a", "b", "idle"], [0], [1])


def test_names_come_with_their_options() -> None:
    assert open_connectome("varshney2011") == load_connectome("varshney2011")
    options = {"include_unwired": True, "layers": ["monoamine"]}
    assert open_connectome("varshney2011", **options) == load_connectome("varshney2011", **options)


@pytest.mark.parametrize("place", ["mine.graphml", "folder", "varshney2011.xml"])
def test_paths_are_read(place: str, mine: Connectome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_connectome(mine, tmp_path / place)
    assert open_connectome(str(tmp_path / place)).fingerprint == mine.fingerprint
    monkeypatch.chdir(tmp_path)
    assert open_connectome(place).names.tolist() == ["a", "b", "idle"]


def test_a_name_goes_before_a_folder_that_is_called_the_same(
    mine: Connectome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_connectome(mine, tmp_path / "varshney2011")
    monkeypatch.chdir(tmp_path)
    assert open_connectome("varshney2011") == load_connectome("varshney2011")
    assert open_connectome("./varshney2011").num_neurons == 3


def test_what_is_neither_is_refused(mine: Connectome, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"--from must be one of varshney2011, .*; did you mean 'varshney2011'\?"):
        open_connectome("varshny2011", argument="--from")
    with pytest.raises(ConnectomeFormatError, match="No such file or directory"):
        open_connectome("varshny2011.graphml")
    write_connectome(mine, tmp_path / "a.graphml")
    with pytest.raises(ValueError, match=r"layers must be used with a bundled connectome, got .*a\.graphml; add"):
        open_connectome(str(tmp_path / "a.graphml"), layers="monoamine")
    with pytest.raises(ConnectomeFormatError, match="max_bytes=10"):
        open_connectome(str(tmp_path / "a.graphml"), max_bytes=10)
