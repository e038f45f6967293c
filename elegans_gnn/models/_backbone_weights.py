"""Weights of a backbone from a file: safetensors, or what torch.save wrote."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from elegans_gnn.errors import invalid, require

WEIGHT_ENDINGS = (".bin", ".pt", ".pth", ".safetensors")
# Where training scripts put the weights among other things.
_INSIDE = ("state_dict", "model")
# Steps that batch norms have counted; evaluation ignores them, and old files lack them.
_COUNTERS = "num_batches_tracked"
# This format keeps no order.
_SORTED = ".safetensors"


def is_file_name(weights: str | None) -> bool:
    """Whether `weights` means a file and not a name."""
    return weights is not None and (weights.endswith(WEIGHT_ENDINGS) or "/" in weights)


def load_weights_file(body: nn.Module, path: str) -> None:
    """Put the weights of a file into a backbone: by name, or else one after the other.

    Without the backbone's own names, a file of torch.save must hold as many tensors, each of the shape of its
    counterpart in order: other libraries give the same network other names.

    Raises:
        ValueError: no such file, a damaged one, or weights of another network; the message says where they differ.
    """
    found, own = _read(Path(path)), body.state_dict()
    if not any(name.endswith(_COUNTERS) for name in found):
        own = {name: value for name, value in own.items() if not name.endswith(_COUNTERS)}
    expected, remedy = f"a file with the weights of a {type(body).__name__}", "choose the backbone they belong to"
    if found.keys() != own.keys():
        if len(found) != len(own):
            got = f"{path} with {len(found)} tensors instead of {len(own)}"
            raise invalid("weights", expected, got, remedy)
        if path.endswith(_SORTED):
            other = next(name for name in found if name not in own)
            got = f"{path} with {other}, in a format that keeps no order"
            raise invalid("weights", f"{expected}, under its names", got, "rename them, or save them with torch.save")
        found = dict(zip(own, found.values(), strict=True))
    for name, value in own.items():
        if found[name].shape != value.shape:
            got = f"{path} with shape {list(found[name].shape)} instead of {list(value.shape)} for {name}"
            raise invalid("weights", expected, got, remedy)
    body.load_state_dict(found, strict=False)


def _read(path: Path) -> dict[str, Tensor]:
    remedy = f"give the path of a file ({', '.join(WEIGHT_ENDINGS)}), or a name"
    if not path.is_file():
        raise invalid("weights", "a file with weights", f"{path}, which does not exist", remedy)
    read: Callable[[Path], Any] = partial(torch.load, map_location="cpu", weights_only=True)
    if path.suffix == _SORTED:
        read = require("safetensors.torch").load_file
    try:
        plain = read(path)
    except Exception as error:  # the readers of either format raise whatever a damaged file leads them to
        said = " ".join(str(error).split())[:120] or type(error).__name__
        raise invalid("weights", "a file with tensors alone", f"{path} ({said})", "download it again") from error
    for name in _INSIDE:
        if isinstance(plain, Mapping) and isinstance(plain.get(name), Mapping):
            plain = plain[name]
    if not isinstance(plain, Mapping) or not plain or not all(isinstance(value, Tensor) for value in plain.values()):
        got = f"{path} with a {type(plain).__name__} of other things"
        raise invalid("weights", "a file with tensors by name", got, "save model.state_dict()")
    return {str(name): value for name, value in plain.items()}
