"""`elegans-gnn train` with a backbone's weights: that they are not there is said before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from elegans_gnn import cli

TRAIN = ["train", "digits-classifier", "--smoke", "--backbone", "resnet18", "--weights"]


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ("IMAGENET1K_V1", "the weights 'IMAGENET1K_V1' of resnet18 are not on disk and cannot be fetched ("),
        ("DEFAULT", "the weights 'DEFAULT' of resnet18 are not on disk and cannot be fetched ("),
        (
            "resnet18",
            "weights must be DEFAULT or one of IMAGENET1K_V1, or a file (.bin, .pt, .pth, .safetensors), got "
            "'resnet18'; choose one of these",
        ),
    ],
)
def test_weights_without_network(
    weights: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    assert cli.main([*TRAIN, weights]) == 2
    *notice, line = capsys.readouterr().err.splitlines()
    assert all(words.startswith("Downloading: ") for words in notice)
    assert line.startswith(f"elegans-gnn: {message}")
    assert (line == f"elegans-gnn: {message}") or line.endswith("or omit weights")
    assert not (tmp_path / "runs").exists()
