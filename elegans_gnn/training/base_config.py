"""What every run depends on, whatever its task: the settings, their presets and their checks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar, Self

from elegans_gnn.errors import invalid, unknown_name
from elegans_gnn.training.effects import without_effect

_SEEDS = 2**32  # NumPy's generators, which Lightning seeds too, take 32 bits
# Types of settings by their annotation.
TYPES: dict[str, type] = {"int": int, "float": float, "str": str, "bool": bool}
# What settings with a short list take.
CHOICES = {
    "augment": ("none", "shift", "strong", "crop-flip"),
    "precision": ("32", "bf16", "16"),
    "accelerator": ("cpu", "gpu", "auto"),
}
_LEAST = {
    "channels": 1, "core_steps": 1, "graph_seed": 0, "width": 0, "depth": 0, "steps": 1, "batch_size": 1, "warmup": 0,
    "shift": 0, "cutout": 0, "validate_every": 1, "patience": 0, "seed": 0, "threads": 0, "devices": 1, "nodes": 1,
}  # fmt: skip


@dataclass(frozen=True)
class TrainingConfig:
    """What every training run depends on, whatever its task.

    Args:
        data: name of a data set, see the task's own configuration, or a folder with its files.
        data_dir: where torchvision keeps downloads.
        model: ``"elegans"``, or a baseline of :data:`elegans_gnn.models.MODELS`.
        width, depth: size of a baseline or of the classifier's stem, 0 for its own default.
        connectome: name of a shipped connectome.
        graph: ``"original"``, or a model of :func:`elegans_gnn.random_connectome` drawn like the connectome.
        graph_seed: of that random graph, or of a randomly wired baseline.
        core: what carries the signal, see :func:`elegans_gnn.models.build_core`.
        channels, inputs, outputs: see :class:`elegans_gnn.models.ElegansAutoencoder`.
        core_steps, keep: of :class:`elegans_gnn.nn.RecurrentCore`.
        unit, activation, norm, signs, gap, init: of :class:`elegans_gnn.nn.ConnectomeConv`; ``"none"`` for nothing.
        steps: optimiser steps; the budget is never in seconds, so that the same seed gives the same result.
        batch_size: images a step, all processes together.
        learning_rate: peak rate of AdamW (synapses, units, biases, norms).
        muon_learning_rate: peak rate of Muon (dense and convolution matrices); 0 leaves these to AdamW too.
        weight_decay: of all matrices.
        warmup: steps of linear rise before the cosine.
        ema: decay of the averaged weights that are evaluated and saved.
        clip: largest norm of the gradient, 0 for no limit.
        augment: ``"none"``, ``"shift"``, ``"strong"`` (turned, scaled, sheared, moved and bent) or ``"crop-flip"``.
        augment_share: share of the images that ``"strong"`` takes; the others are shifted.
        shift: training images are moved by up to this many pixels each way.
        cutout: side of the square that ``"crop-flip"`` blanks, 0 for none.
        validate_every: steps between two validations, about: see `validation_interval`.
        patience: validations without a better one after which training ends, 0 for never.
        precision: ``"32"``, or mixed: ``"bf16"``, ``"16"``.
        seed: of the initial weights, the order of the images and their augmentation.
        threads: CPU threads, 0 for torch's default.
        accelerator: ``"cpu"``, ``"gpu"`` or ``"auto"``.
        devices, nodes: processes on each machine, and machines.
    """

    task: ClassVar[str] = ""
    presets: ClassVar[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {}

    data: str = "mnist5k"
    data_dir: str = "downloads"
    model: str = "elegans"
    width: int = 0
    depth: int = 0
    connectome: str = "varshney2011"
    graph: str = "original"
    graph_seed: int = 0
    core: str = "message-passing"
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
    steps: int = 1400
    batch_size: int = 128
    learning_rate: float = 2e-3
    muon_learning_rate: float = 0.05
    weight_decay: float = 0.02
    warmup: int = 100
    ema: float = 0.998
    clip: float = 0.0
    augment: str = "shift"
    augment_share: float = 0.5
    shift: int = 1
    cutout: int = 0
    validate_every: int = 100
    patience: int = 0
    precision: str = "32"
    seed: int = 0
    threads: int = 0
    accelerator: str = "cpu"
    devices: int = 1
    nodes: int = 1

    def __post_init__(self) -> None:
        for item in fields(self):
            value, wanted = getattr(self, item.name), TYPES[str(item.type)]
            fits = isinstance(value, int | float if wanted is float else wanted)
            if not fits or (isinstance(value, bool) and wanted is not bool):
                remedy = f"use {item.name}={getattr(type(self), item.name)!r}"
                raise invalid(item.name, f"of type {item.type}", repr(value), remedy)
        for name, least in _LEAST.items():
            if (value := getattr(self, name)) < least:
                raise invalid(name, f">= {least}", value, f"use {name}={max(least, getattr(type(self), name))}")
        if not 0 < self.learning_rate < math.inf:
            remedy = f"use learning_rate={type(self).learning_rate}"
            raise invalid("learning_rate", "positive", self.learning_rate, remedy)
        for name in ("muon_learning_rate", "weight_decay", "clip"):
            if not 0 <= (value := getattr(self, name)) < math.inf:
                raise invalid(name, ">= 0", value, f"use {name}={getattr(type(self), name)}, or 0 for none")
        if not 0 <= self.ema < 1:
            raise invalid("ema", "in [0, 1)", self.ema, "use ema=0.998, or 0 for no averaging")
        if not 0 <= self.augment_share <= 1:
            raise invalid("augment_share", "in [0, 1]", self.augment_share, "use augment_share=0.5")
        if self.seed >= _SEEDS:
            raise invalid("seed", f"below {_SEEDS}", self.seed, "use a smaller one")
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise unknown_name(name, getattr(self, name), known)
        self._check_machines()
        _ = self.validation_interval  # refuses what it cannot divide

    def _check_machines(self) -> None:
        if self.precision == "16" and self.accelerator == "cpu":
            raise invalid("precision", "32 or bf16 on the CPU", "16", "use precision=bf16, or accelerator=gpu")
        processes = self.devices * self.nodes
        if self.batch_size % processes:
            remedy = f"use batch_size={-(-self.batch_size // processes) * processes}"
            raise invalid("batch_size", f"a multiple of the {processes} processes", self.batch_size, remedy)

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
        """Keywords of the model after the connectome, as the task's own configuration knows them."""
        raise NotImplementedError

    def core_arguments(self) -> dict[str, Any]:
        """Keywords of the core. Other cores than message passing are given only what differs from the defaults."""
        optional = ("activation", "norm", "signs")
        plain = {name: getattr(self, name) for name in ("inputs", "outputs", "unit", "keep", "gap", "init")}
        absent = {name: None if getattr(self, name) == "none" else getattr(self, name) for name in optional}
        every = {"steps": self.core_steps, **plain, **absent}
        if self.core == "message-passing":
            return {"channels": self.channels, **every}
        if self.core in ("frozen", "silent"):
            return {"channels": self.channels, "core": self.core, **every}
        named = {"steps": "core_steps"}
        chosen = {
            name: value
            for name, value in every.items()
            if getattr(self, named.get(name, name)) != getattr(type(self), named.get(name, name))
        }
        return {"channels": self.channels, "core": self.core, **chosen}

    def size_arguments(self) -> dict[str, int]:
        """Keywords for the size of a baseline: what was given."""
        return {name: getattr(self, name) for name in ("width", "depth") if getattr(self, name)}

    def smoke(self) -> Self:
        """The same run cut to seconds: every part is used, the figures mean nothing."""
        return replace(self, **self.smoke_cut(self.to_dict()))

    @classmethod
    def smoke_cut(cls, chosen: Mapping[str, Any]) -> dict[str, Any]:
        """What a run of seconds has instead of the demo's settings, beside what was chosen."""
        known, idle = cls._presets_of(chosen.get("data", cls.data)), without_effect(cls.task, chosen)
        smoke, demo = known["smoke"].items(), known["demo"]
        return {name: value for name, value in smoke if value != demo.get(name) and name not in idle}

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """A named recipe for the data set, changed by what is given.

        Args:
            name: ``"smoke"`` (seconds, the figures mean nothing), ``"demo"`` (minutes) or ``"headline"`` (the best).
            changes: settings that differ from the recipe; `data` also chooses which recipe is meant.
        """
        known = cls._presets_of(changes.get("data", cls.data))
        if name not in known:
            raise unknown_name("preset", name, known)
        idle = without_effect(cls.task, changes)
        return cls(**{**{key: value for key, value in known[name].items() if key not in idle}, **changes})

    @classmethod
    def _presets_of(cls, data: object) -> Mapping[str, Mapping[str, Any]]:
        return cls.presets.get(data if isinstance(data, str) else "", cls.presets[""])

    def to_dict(self) -> dict[str, Any]:
        """Plain values by name, as JSON and checkpoints hold them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Rebuild (and check) what :meth:`to_dict` wrote."""
        if not isinstance(plain, Mapping):
            raise invalid("configuration", "settings by name", type(plain).__name__, "such as {'steps': 2000}")
        known = [item.name for item in fields(cls)]
        for name in plain:
            if name not in known:
                raise unknown_name("configuration key", name, known)
        return cls(**plain)
