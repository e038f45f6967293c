"""Models that come with the package: found by name, stored with 16 bits, and a name that is none."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from elegans_gnn import _paths
from elegans_gnn.models import ElegansHead, LogisticRegression, from_pretrained


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with no models yet; the current folder is another one."""
    (tmp_path / "data").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(_paths, "data_folder", lambda: tmp_path / "data")
    return tmp_path / "data" / "models"


def model() -> LogisticRegression:
    torch.manual_seed(0)
    return LogisticRegression(10, in_channels=1, image_size=8).eval()


def test_a_bundled_model_is_found_by_its_name_and_its_class(folder: Path) -> None:
    assert _paths.bundled_models() == {}
    saved = model()
    saved.save_pretrained(folder / "tiny-worm")
    (folder / "unfinished").mkdir()
    assert _paths.bundled_models() == {"tiny-worm": folder / "tiny-worm"}
    images = torch.rand(2, 1, 8, 8)
    assert torch.equal(from_pretrained("tiny-worm")(images), saved(images))
    assert torch.equal(LogisticRegression.from_pretrained("tiny-worm")(images), saved(images))
    with pytest.raises(ValueError, match="of class ElegansHead, got .*tiny-worm, of class LogisticRegression"):
        ElegansHead.from_pretrained("tiny-worm")


def test_a_folder_that_exists_comes_first(folder: Path) -> None:
    model().save_pretrained(folder / "tiny-worm")
    mine = LogisticRegression(3, in_channels=1, image_size=8)
    mine.save_pretrained(Path("tiny-worm"))
    assert from_pretrained("tiny-worm").num_classes == 3


def test_an_unknown_name_lists_the_bundled_ones(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"the folder of a saved model, got tiny-wrm, which is none; see save"):
        from_pretrained("tiny-wrm")
    for name in ("tiny-worm", "a-fly"):
        model().save_pretrained(folder / name)
    with pytest.raises(
        ValueError, match=r"saved model, or the name of a bundled model \(a-fly, tiny-worm\), got tiny-wrm"
    ):
        from_pretrained("tiny-wrm")


def test_sixteen_bits_halve_the_file_and_are_read_as_thirty_two(worm, folder: Path) -> None:
    torch.manual_seed(0)
    saved = ElegansHead(worm, 7, 5).eval()
    whole, half = saved.save_pretrained(folder / "whole"), saved.save_pretrained(folder / "half", half=True)
    sizes = [(path / "model.safetensors").stat().st_size for path in (whole, half)]
    assert sizes[1] < 0.6 * sizes[0]
    back = from_pretrained("half")
    assert {value.dtype for value in back.parameters()} == {torch.float32}
    for name, value in saved.state_dict().items():
        stored = back.state_dict()[name]
        assert stored.dtype == value.dtype
        assert torch.equal(stored, value.half().float() if value.dtype == torch.float32 else value), name
    # Rounded weights do not change any more.
    again = back.save_pretrained(folder / "again", half=True)
    assert (again / "model.safetensors").read_bytes() == (half / "model.safetensors").read_bytes()


def test_numbers_too_large_for_sixteen_bits_are_refused(folder: Path) -> None:
    saved = model()
    with torch.no_grad():
        next(saved.parameters()).fill_(1e5)
    with pytest.raises(ValueError, match=r"half must be False for numbers above 65,504, got one in .*weight"):
        saved.save_pretrained(folder / "large", half=True)
    assert not (folder / "large").exists()
    saved.save_pretrained(folder / "large")


def test_every_bundled_model_of_the_package_loads_has_a_card_and_is_small() -> None:
    for path in _paths.bundled_models().values():
        from_pretrained(path.name)
        card = (path / "README.md").read_text(encoding="utf-8")
        assert all(f"**{part}**" in card for part in ("Data", "Wiring", "Training", "Limits")), path
        assert "commit" in card
        assert sum(file.stat().st_size for file in path.iterdir()) <= 1_000_000
