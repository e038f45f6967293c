"""Two finished runs, and what a command says of them."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from elegans_gnn import cli
from elegans_gnn.training import AutoencoderConfig, ClassifierConfig, train_autoencoder, train_classifier


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Two finished runs of a few steps, and the figures they ended with."""
    folder = tmp_path_factory.mktemp("runs")
    threads = torch.get_num_threads()
    classifier = train_classifier(
        ClassifierConfig(data="digits", fold=2, steps=30, validate_every=15, warmup=2, width=16, threads=1),
        folder / "classifier",
        progress=False,
    )
    autoencoder = train_autoencoder(
        AutoencoderConfig(steps=2, validate_every=2, warmup=1, batch_size=16, encoder_width=8, decoder_width=8, code=8),
        folder / "autoencoder",
        progress=False,
    )
    torch.set_num_threads(threads)
    return SimpleNamespace(
        classifier=classifier.folder,
        autoencoder=autoencoder.folder,
        test=classifier.test,
        validation=classifier.validation,
        test_8bit=autoencoder.test_8bit,
        reconstruction=autoencoder.test,
    )


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must go well; what it printed."""

    def run(*arguments: object) -> str:
        capsys.readouterr()
        assert cli.main([str(argument) for argument in arguments]) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def refused_line(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must be refused in one line; the line without the program's name."""

    def run(*arguments: object) -> str:
        capsys.readouterr()
        assert cli.main([str(argument) for argument in arguments]) == 2
        printed = capsys.readouterr()
        assert printed.out == ""
        assert printed.err.count("\n") == 1
        return printed.err.removeprefix("elegans-gnn: ").rstrip("\n")

    return run
