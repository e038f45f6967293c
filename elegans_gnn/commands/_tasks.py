"""The tasks of `elegans-gnn train`, and their settings from a preset, a file and options."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from elegans_gnn.errors import invalid, require, unknown_name
from elegans_gnn.training.config import CHOICES, TYPES, AutoencoderConfig, ClassifierConfig, TrainingConfig

# Data sets that are no digits or clothes of 28 x 28 pixels: each has a classification task of its own.
_OTHER_DATA = ("digits", "cifar10", "cifar100")


@dataclass(frozen=True)
class Task:
    """One task of the command.

    Args:
        config: class of its configuration.
        data: the data set if none is given.
        help: one line.
        description: a sentence or two.
        choose_data: whether other data can be chosen.
    """

    config: type[TrainingConfig]
    data: str
    help: str
    description: str
    choose_data: bool = False

    def fixed(self) -> tuple[str, ...]:
        """Settings that make the task what it is and are no options."""
        # The digits come with a package and in folds, the others in folders and whole.
        idle = {"data_dir"} if self.data == "digits" else {"fold"}
        known = {item.name for item in fields(self.config)}
        return tuple(known & (idle if self.choose_data else {"data", *idle}))

    def options(self) -> list[str]:
        """Names of the settings that can be chosen, in the order of the help text."""
        known = {item.name for item in fields(self.config)} - set(self.fixed())
        return [name for name in HELP if name in known]

    def takes(self, config: Mapping[str, Any]) -> bool:
        """Whether these are settings of a run of this task: all of them known, and its data."""
        data = config.get("data")
        known = {item.name for item in fields(self.config)}
        return set(config) <= known and (data not in _OTHER_DATA if self.choose_data else data == self.data)

    def configuration(
        self,
        preset: str | None,
        in_file: Mapping[str, Any] | None = None,
        given: Mapping[str, Any] | None = None,
        *,
        smoke: bool = False,
    ) -> TrainingConfig:
        """The settings of a preset (the demo's, if none is named), cut by `smoke`, changed by a file, then by options.

        Raises:
            ValueError: a setting that cannot be used, or data of another task.
        """
        chosen: dict[str, Any] = {"data": self.data, **(in_file or {}), **(given or {})}
        cut = self.config.smoke_cut(chosen) if smoke else {}
        config = self.config.preset("demo" if preset is None else preset, **{**cut, **chosen})
        if self.config is ClassifierConfig and self.choose_data and config.data in _OTHER_DATA:
            expected = "mnist5k, mnist, fashion-mnist or a folder with MNIST's files"
            raise invalid("data", expected, repr(config.data), f"use the task {config.data}-classifier")
        return config


TASKS = {
    "mnist-autoencoder": Task(
        AutoencoderConfig,
        "mnist5k",
        "redraw handwritten digits from a short code",
        "Train an autoencoder whose only path from image to code is the connectome.",
        choose_data=True,
    ),
    "mnist-classifier": Task(
        ClassifierConfig,
        "mnist5k",
        "tell 28 x 28 handwritten digits apart",
        "Train a classifier whose features pass through the connectome on MNIST's digits.",
        choose_data=True,
    ),
    "digits-classifier": Task(
        ClassifierConfig,
        "digits",
        "tell 8 x 8 handwritten digits apart",
        "Train a classifier on scikit-learn's 1,797 digits; --fold says which fifth is the test part.",
    ),
    "fashion-mnist-classifier": Task(
        ClassifierConfig,
        "fashion-mnist",
        "tell pieces of clothing apart",
        "Train a classifier on Fashion-MNIST, which torchvision reads from --data-dir.",
    ),
    "cifar10-classifier": Task(
        ClassifierConfig,
        "cifar10",
        "tell ten kinds of small photographs apart",
        "Train a classifier on CIFAR-10 (torchvision's, from --data-dir); --backbone starts from another model.",
    ),
    "cifar100-classifier": Task(
        ClassifierConfig,
        "cifar100",
        "tell a hundred kinds of small photographs apart",
        "Train a classifier on CIFAR-100 (torchvision's, from --data-dir); --backbone starts from another model.",
    ),
}

# What the options mean, in the order of the help text.
HELP = {
    "data": "mnist5k (5,000 real digits, no download), mnist, fashion-mnist, or a folder with MNIST's idx files",
    "data_dir": "where torchvision keeps data sets",
    "fold": "which fifth of the digits is the test part, 0 to 4",
    "model": "elegans, or a baseline, see `elegans-gnn models`",
    "connectome": "which wiring diagram, see `elegans-gnn connectome list`, or a path to GraphML or CSV",
    "graph": "original, or a random graph drawn like it, such as watts-strogatz",
    "graph_seed": "of the random graph",
    "wiring": "of the randomly wired baseline: ws, er or ba",
    "core": "message-passing, frozen, tensor-network, reservoir, none, silent, dense or random",
    "backbone": "a model of torchvision, or timm/NAME, whose head becomes the connectome",
    "weights": "of the backbone, such as DEFAULT",
    "frozen": "keep the backbone as it is, train the head alone",
    "resize": "side to which images are resized for the backbone, such as 224",
    "steps": "optimiser steps",
    "seed": "of everything random",
    "batch_size": "images a step",
    "width": "size of a baseline, or of the classifier's stem; 0 for its own default",
    "depth": "size of a baseline, or of the classifier's stem; 0 for its own default",
    "code": "length of the code in floats",
    "channels": "4 x 4 maps per neuron",
    "core_steps": "how many synapses far a signal travels",
    "unit": "neuron units: shared, role or neuron",
    "keep": "share of its state a neuron keeps each step, at the start",
    "activation": "of the core: none, gelu, relu or tanh",
    "norm": "of the core: none or layer",
    "signs": "of the synapses: none (free) or transmitter",
    "gap": "gap junctions: coupled or diffusive",
    "init": "initial strengths: fan-in or counts",
    "inputs": "role of the neurons that see the image",
    "outputs": "role of the neurons that are read",
    "encoder_width": "channels of the encoder",
    "encoder_blocks": "residual blocks of the encoder",
    "decoder_width": "channels of the decoder",
    "decoder_blocks": "residual blocks of the decoder",
    "learning_rate": "peak rate of AdamW",
    "muon_learning_rate": "peak rate of Muon; 0 for AdamW alone",
    "weight_decay": "of all matrices",
    "label_smoothing": "share of the target spread over all classes",
    "warmup": "steps of rising learning rate",
    "ema": "decay of the averaged weights",
    "clip": "largest norm of the gradient, 0 for no limit",
    "augment": "training images: none, shift, strong (turned, scaled, bent) or crop-flip",
    "augment_share": "share of the images that strong takes",
    "shift": "training images move by up to this many pixels",
    "cutout": "side of the square that crop-flip blanks",
    "validate_every": "steps between validations",
    "patience": "validations without a better one after which training ends; 0 for never",
    "precision": "32, or mixed: bf16 or 16",
    "threads": "CPU threads, 0 for all",
    "accelerator": "cpu, gpu or auto",
    "devices": "processes on this machine",
    "nodes": "machines",
}


def add_settings(parser: argparse.ArgumentParser, task: Task) -> None:
    """An option for every setting, with the value it has if it is not given."""
    usual = task.configuration(None)
    kinds = {item.name: str(item.type) for item in fields(task.config)}
    for name in task.options():
        option, text = f"--{name.replace('_', '-')}", f"{HELP[name]} (default: {getattr(usual, name)})"
        if kinds[name] == "bool":
            parser.add_argument(option, action=argparse.BooleanOptionalAction, help=text)
        else:
            parser.add_argument(option, type=TYPES[kinds[name]], help=text)


def read_settings(path: Path, task: Task) -> dict[str, Any]:
    """The settings in a YAML (or JSON) file.

    Raises:
        ValueError: no such file, no list of settings, or a setting the task does not have.
    """
    yaml = require("yaml")
    remedy = "write lines such as steps: 2000"
    try:
        plain = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise invalid("--config", "a readable file", f"{path}: {error}", remedy) from error
    except yaml.YAMLError as error:
        where = " ".join(str(error).split())
        raise invalid("--config", "a YAML file", f"{path}: {where}", remedy) from error
    if not isinstance(plain, dict):
        raise invalid("--config", "a file with one setting a line", f"{path}: {type(plain).__name__}", remedy)
    kinds = {item.name: str(item.type) for item in fields(task.config)}
    usual = task.configuration(None)
    found = {}
    for name, value in plain.items():
        if name not in kinds:
            raise unknown_name(f"a setting in {path}", str(name), task.options())
        if name in task.fixed() and value != getattr(usual, name):
            raise invalid(f"{name} in {path}", repr(getattr(usual, name)), repr(value), "choose another task")
        found[name] = _as_number(value) if kinds[name] == "float" else value
        if name in CHOICES and type(value) is int:
            found[name] = str(value)  # precision: 32
    return found


def _as_number(value: Any) -> Any:
    """YAML reads 2e-3 as text, since it has no point."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value
