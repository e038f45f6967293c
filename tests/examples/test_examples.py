"""The examples: each runs as a user runs it, says what it promises, and does what the library's own command does."""

from __future__ import annotations

import argparse
import functools
import importlib.util
import os
import pickle
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from types import ModuleType
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision.datasets

from elegans_gnn import load_connectome
from elegans_gnn.training import AutoencoderConfig, train_autoencoder

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
# What the output of the smoke run must say; every example has its entry.
SAYS = {
    "mnist_autoencoder.py": ["neurons=279", "step     6", "PCA, 128 components: pixel accuracy 99.", "edges cut"],
    "cifar10.py": ["neurons=279", "images/s in training, peak memory", "100 % of 64 generated images learned by heart"],
    "pyg_layer.py": [
        "GCNConv",
        "SAGEConv",
        "GATConv",
        "ConnectomeConv, positive",
        "importance",
        "without these 5 edges",
    ],
}


@functools.cache
def ran(name: str, *options: str, cwd: str) -> subprocess.CompletedProcess[str]:
    """The example as a program of its own, on one thread, in a folder of its own."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(EXAMPLES / name), *options]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("examples")


def load(name: str) -> ModuleType:
    """The example as a module; nothing runs before `main`."""
    spec = importlib.util.spec_from_file_location(name.removesuffix(".py"), EXAMPLES / name)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_every_example_is_listed_here():
    assert {path.name for path in EXAMPLES.glob("*.py")} == set(SAYS)


@pytest.mark.parametrize("name", SAYS)
def test_smoke_run_says_what_it_should(name, folder):
    result = ran(name, "--smoke", cwd=str(folder))
    assert result.returncode == 0, result.stderr
    assert [words for words in SAYS[name] if words not in result.stdout] == []


@pytest.mark.parametrize("name", SAYS)
def test_help_shows_every_default(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "500")  # no text is broken
    parser = load(name).arguments()
    sections = re.split(r"\n  (?=-)", parser.format_help().partition("options:")[2])
    shown = {section.split()[0]: section.rstrip() for section in sections if section.strip()}
    actions = [action for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    assert actions
    for action in actions:
        assert shown[action.option_strings[0]].endswith(f"(default: {action.default})")


def test_mnist_autoencoder_stays_short_and_keeps_the_recipe():
    assert len((EXAMPLES / "mnist_autoencoder.py").read_text(encoding="utf-8").splitlines()) < 200
    module = load("mnist_autoencoder.py")
    assert module.configuration(module.arguments().parse_args([])) == AutoencoderConfig()
    given = module.arguments().parse_args(
        ["--steps=7", "--seed=3", "--core-steps=5", "--code=9", "--learning-rate=0.1"]
    )
    changed = replace(AutoencoderConfig(), steps=7, seed=3, core_steps=5, code=9, learning_rate=0.1)
    assert module.configuration(given) == changed
    options = {action.dest for action in module.arguments()._actions}
    taken = {item.name for item in fields(AutoencoderConfig)} & options
    changed_one_by_one = {"data", "connectome", "batch_size", "muon_learning_rate", "validate_every"}
    assert taken == changed_one_by_one | {"steps", "seed", "core_steps", "code", "learning_rate"}


def test_mnist_autoencoder_trains_as_the_command_does(folder, tmp_path, one_thread):
    printed = ran("mnist_autoencoder.py", "--smoke", cwd=str(folder)).stdout
    config = replace(AutoencoderConfig().smoke(), threads=1)
    result = train_autoencoder(config, tmp_path / "run", progress=False)
    expected = (
        f"varshney2011, code {config.code}: pixel accuracy {100 * result.test['accuracy']:.3f} %  "
        f"F1 {result.test['f1']:.4f}  BCE {result.test['bce']:.5f}  SSIM {result.test['ssim']:.4f}"
    )
    assert expected in printed
    pictures = folder / "runs" / "example-mnist-autoencoder"
    for name in ("reconstructions.png", "edge_weights.png"):
        assert (pictures / name).read_bytes() == (tmp_path / "run" / name).read_bytes()


def test_cifar10_counts_images_and_memory(folder):
    printed = ran("cifar10.py", "--smoke", cwd=str(folder)).stdout
    rate, peak = re.search(r"(\d+) images/s in training, peak memory (\d+) MiB", printed).groups()
    assert int(rate) > 0
    # PyTorch alone takes more than 100 MiB; a count in the wrong unit is off by 1,024.
    assert 100 < int(peak) < 20_000


def test_cifar10_without_data_says_what_to_do(folder):
    result = ran("cifar10.py", "--no-download", cwd=str(folder))
    assert result.returncode == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    for words in ("CIFAR-10 is not in downloads", "cifar-10-python.tar.gz", "cifar-10-batches-py", "--smoke"):
        assert words in result.stderr


def test_cifar10_without_network_says_the_same(tmp_path, monkeypatch, capsys):
    def no_route(self: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torchvision.datasets.CIFAR10, "download", no_route)
    assert load("cifar10.py").main(["--data-dir", str(tmp_path)]) == 2
    assert f"CIFAR-10 is not in {tmp_path} and could not be downloaded" in capsys.readouterr().err


def test_cifar10_reads_the_files_of_the_data_set(tmp_path, monkeypatch, capsys):
    """Files in CIFAR-10's own format with a few images; only their check sums are waved through."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    random = np.random.default_rng(0)
    for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        batch = {"data": random.integers(0, 256, (20, 3072), dtype=np.uint8), "labels": [*range(10)] * 2}
        (folder / name).write_bytes(pickle.dumps(batch))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": [*map(str, range(10))]}))
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    monkeypatch.chdir(tmp_path)
    options = ["--data-dir", str(tmp_path), "--steps", "3", "--batch-size", "30"]
    for more in (["--width", "8"], ["--backbone", "resnet18", "--frozen"]):
        assert load("cifar10.py").main([*options, *more]) == 0
        printed = capsys.readouterr().out
        assert re.search(r"step     3  loss [\d.]+  validation accuracy [\d.]+ %", printed)
        assert "(cifar10; chance is 10 %)" in printed


def test_pyg_split_keeps_neurons_of_a_class_together():
    module = load("pyg_layer.py")
    worm = load_connectome("varshney2011")
    data = module.to_pyg(worm)
    data.y = torch.tensor([module.CLASSES.index(role) for role in worm.roles.tolist()])
    folds = module.splits(data, module.arguments().parse_args([]))
    assert len(folds) == 15
    for _, train, test in folds:
        assert not set(worm.classes[train]) & set(worm.classes[test])
        assert sorted([*train, *test]) == list(range(279))


def test_pyg_features_hold_connectivity_alone():
    """Relabelled neurons carry their features with them; other roles, names or transmitters change nothing."""
    module = load("pyg_layer.py")
    worm = load_connectome("varshney2011")
    features = module.connectivity_features(module.to_pyg(worm))
    assert features.shape == (279, 8)
    order = np.random.default_rng(0).permutation(279)
    torch.testing.assert_close(module.connectivity_features(module.to_pyg(worm.relabel(order))), features[order])
    blank = replace(worm, roles=np.full(279, "unknown"), transmitters=None, classes=None, sides=None)
    assert torch.equal(module.connectivity_features(module.to_pyg(blank)), features)


def test_pyg_neuron_without_a_role_is_refused():
    module = load("pyg_layer.py")
    with pytest.raises(ValueError, match=r"--neuron must be of a role .* got MCL \(polymodal\); choose another"):
        module.main(["--smoke", "--connectome", "cook2020-pharynx", "--neuron", "MCL"])
