"""One frozen object that says everything a run depends on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from elegans_gnn.errors import invalid, unknown_name

# NumPy's generators, which Lightning seeds too, take 32 bits.
_SEEDS = 2**32
_TYPES: dict[str, tuple[type, ...]] = {"int": (int,), "float": (int, float), "str": (str,)}


@dataclass(frozen=True)
class AutoencoderConfig:
    """Everything a reconstruction run depends on; together with the data it determines the result.

    Args:
        data: ``"mnist5k"``, ``"mnist"`` or a folder with MNIST's files.
        data_dir: where torchvision keeps downloads.
        connectome: name of a shipped connectome.
        code, channels, inputs, outputs: see :class:`elegans_gnn.models.ElegansAutoencoder`.
        core_steps, keep: of :class:`elegans_gnn.nn.RecurrentCore`.
        unit, activation, norm, signs, gap, init: of :class:`elegans_gnn.nn.ConnectomeConv`; ``"none"`` for nothing.
        encoder_width, encoder_blocks, decoder_width, decoder_blocks: see there too.
        steps: optimiser steps; the budget is never in seconds, so that the same seed gives the same result.
        batch_size: images a step.
        learning_rate: peak rate of AdamW (synapses, units, biases, norms).
        muon_learning_rate: peak rate of Muon (dense and convolution matrices).
        weight_decay: of all matrices.
        warmup: steps of linear rise before the cosine.
        ema: decay of the averaged weights that are evaluated and saved.
        shift: training images are moved by up to this many pixels each way.
        validate_every: steps between two validations, about: see `validation_interval`.
        seed: of the initial weights, the order of the images and their shifts.
        threads: CPU threads, 0 for torch's default.
        accelerator: ``"cpu"``, ``"gpu"`` or ``"auto"``.
    """

    data: str = "mnist5k"
    data_dir: str = "downloads"
    connectome: str = "varshney2011"
    code: int = 128
    channels: int = 1
    core_steps: int = 4
    unit: str = "shared"
    keep: float = 0.5
    activation: str = "none"
    norm: str = "none"
    signs: str = "none"
    gap: str = "coupled"
    init: str = "fan-in"
    inputs: str = "sensory"
    outputs: str = "motor"
    encoder_width: int = 64
    encoder_blocks: int = 1
    decoder_width: int = 64
    decoder_blocks: int = 2
    steps: int = 1400
    batch_size: int = 128
    learning_rate: float = 2e-3
    muon_learning_rate: float = 0.05
    weight_decay: float = 0.02
    warmup: int = 100
    ema: float = 0.998
    shift: int = 1
    validate_every: int = 100
    seed: int = 0
    threads: int = 0
    accelerator: str = "cpu"

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            wanted = _TYPES[str(item.type)]
            if not isinstance(value, wanted) or isinstance(value, bool):
                raise invalid(item.name, f"of type {item.type}", repr(value), "see AutoencoderConfig")
        for name, least in (
            ("steps", 1),
            ("batch_size", 1),
            ("validate_every", 1),
            ("core_steps", 1),
            ("warmup", 0),
            ("shift", 0),
            ("seed", 0),
            ("threads", 0),
        ):
            if getattr(self, name) < least:
                remedy = f"use {name}={max(least, getattr(type(self), name))}"
                raise invalid(name, f">= {least}", getattr(self, name), remedy)
        for name in ("learning_rate", "muon_learning_rate"):
            if not 0 < getattr(self, name) < math.inf:
                raise invalid(name, "positive", getattr(self, name), f"use {name}={getattr(type(self), name)}")
        if not 0 <= self.weight_decay < math.inf:
            raise invalid("weight_decay", ">= 0", self.weight_decay, "use weight_decay=0.02, or 0 for none")
        if not 0 <= self.ema < 1:
            raise invalid("ema", "in [0, 1)", self.ema, "use ema=0.998, or 0 for no averaging")
        if self.seed >= _SEEDS:
            raise invalid("seed", f"below {_SEEDS}", self.seed, "use a smaller one")
        if self.accelerator not in ("cpu", "gpu", "auto"):
            raise unknown_name("accelerator", self.accelerator, ("cpu", "gpu", "auto"))
        _ = self.validation_interval  # refuses what it cannot divide

    @property
    def validation_interval(self) -> int:
        """Steps between validations: the divisor of `steps` nearest to `validate_every`, so that the last step counts.

        Raises:
            ValueError: no divisor lies between half and twice `validate_every`.
        """
        steps, wanted = self.steps, min(self.validate_every, self.steps)
        near = [n for n in range(max(1, wanted // 2), min(2 * wanted, steps) + 1) if steps % n == 0]
        if not near:
            remedy = f"use steps={-(-steps // wanted) * wanted}"
            raise invalid("steps", f"a multiple of a number near validate_every={wanted}", steps, remedy)
        return min(near, key=lambda interval: (abs(interval - wanted), interval))

    def model_arguments(self) -> dict[str, Any]:
        """Keywords of :class:`elegans_gnn.models.ElegansAutoencoder` after the connectome."""
        same = (
            "code", "channels", "inputs", "outputs", "unit", "keep", "gap", "init",
            "encoder_width", "encoder_blocks", "decoder_width", "decoder_blocks",
        )  # fmt: skip
        optional = ("activation", "norm", "signs")
        absent = {name: None if getattr(self, name) == "none" else getattr(self, name) for name in optional}
        return {"steps": self.core_steps, **{name: getattr(self, name) for name in same}, **absent}

    def smoke(self) -> AutoencoderConfig:
        """The same run cut to seconds: every part is used, the figures mean nothing."""
        return replace(self, steps=6, validate_every=3, warmup=2, batch_size=32, encoder_width=16, decoder_width=16)

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name, as JSON and checkpoints hold them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> AutoencoderConfig:
        """Rebuild (and check) what :meth:`to_dict` wrote."""
        known = [item.name for item in fields(cls)]
        for name in plain:
            if name not in known:
                raise unknown_name("configuration key", name, known)
        return cls(**plain)
