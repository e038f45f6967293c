"""Which settings say something about a model, and which have no effect beside the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from elegans_gnn.errors import invalid

if TYPE_CHECKING:
    from elegans_gnn.training.base_config import TrainingConfig

_CORE = (
    "core", "channels", "core_steps", "unit", "keep", "activation", "norm", "signs", "gap", "init", "inputs", "outputs",
)  # fmt: skip
_GRAPH = ("connectome", "graph")
_SIZE = ("width", "depth")
_CODERS = ("encoder_width", "encoder_blocks", "decoder_width", "decoder_blocks")


def without_effect(task: str, chosen: Mapping[str, Any]) -> dict[str, str]:
    """Settings that change nothing.

    Args:
        task: ``"autoencoder"`` or ``"classifier"``.
        chosen: settings by name; those left out have their defaults.

    Returns:
        name of each such setting -> the setting beside which it is idle.
    """
    model, backbone = chosen.get("model", "elegans"), chosen.get("backbone", "")
    idle: dict[str, str] = {}
    if backbone:
        idle |= dict.fromkeys(("model", *_SIZE, "wiring"), f"backbone={backbone}")
    elif model != "elegans":
        idle |= dict.fromkeys((*_CORE, *_GRAPH, "graph_seed", "wiring", *_CODERS), f"model={model}")
    else:
        idle |= dict.fromkeys(("wiring",) if task == "classifier" else _SIZE, "model=elegans")
    if model == "randomly-wired" and not backbone:
        del idle["wiring"], idle["graph_seed"]
    if model == "logistic":
        idle |= dict.fromkeys(_SIZE, "model=logistic")
    if chosen.get("graph", "original") == "original" and model != "randomly-wired":
        idle.setdefault("graph_seed", "graph=original")
    return idle


def check_effects(config: TrainingConfig) -> None:
    """Refuse a setting that differs from its default and changes nothing.

    Raises:
        ValueError: the first of them, and the setting beside which it is idle.
    """
    for name, beside in without_effect(config.task, config.to_dict()).items():
        usual, chosen = getattr(type(config), name, None), getattr(config, name, None)
        if chosen != usual:
            raise invalid(name, f"{usual!r} beside {beside}, which makes no use of it", repr(chosen), "leave it away")
