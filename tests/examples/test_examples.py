"""The examples: each runs as a user runs it, says what it promises, and does what the library's own command does."""

from __future__ import annotations

import argparse
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from elegans_gnn import load_connectome
from elegans_gnn.training import AutoencoderConfig, train_autoencoder
from tests.examples.cases import EXAMPLES, load, ran

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
    assert module.configuration(module.arguments().parse_args([])).resolved() == AutoencoderConfig().resolved()
    given = module.arguments().parse_args(
        ["--steps=7", "--seed=3", "--core-steps=5", "--code=9", "--learning-rate=0.1"]
    )
    changed = AutoencoderConfig(steps=7, seed=3, core_steps=5, code=9, learning_rate=0.1)
    assert module.configuration(given) == changed
    options = {action.dest for action in module.arguments()._actions}
    taken = AutoencoderConfig().resolved().to_dict().keys() & options
    changed_one_by_one = {"data", "connectome", "batch_size", "muon_learning_rate", "validate_every"}
    assert taken == changed_one_by_one | {"steps", "seed", "core_steps", "code", "learning_rate"}


def test_mnist_autoencoder_trains_as_the_command_does(folder, tmp_path, one_thread):
    printed = ran("mnist_autoencoder.py", "--smoke", cwd=str(folder)).stdout
    config = AutoencoderConfig().smoke().changed(threads=1)
    result = train_autoencoder(config, tmp_path / "run", progress=False)
    expected = (
        f"varshney2011, code {result.model.code_length}: pixel accuracy {100 * result.test['accuracy']:.3f} %  "
        f"F1 {result.test['f1']:.4f}  BCE {result.test['bce']:.5f}  SSIM {result.test['ssim']:.4f}"
    )
    assert expected in printed
    pictures = folder / "runs" / "example-mnist-autoencoder"
    for name in ("reconstructions.png", "edge_weights.png"):
        assert (pictures / name).read_bytes() == (tmp_path / "run" / name).read_bytes()


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
