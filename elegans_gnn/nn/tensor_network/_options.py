"""The checks of a tensor network's options."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from elegans_gnn.errors import invalid, unknown_name
from elegans_gnn.nn.tensor_network._activations import ACTIVATIONS

FUSES = ("add", "mul", "normalized-mul")


def check_activation(activation: str | Callable[[Tensor], Tensor]) -> None:
    """Refuse unknown names."""
    if isinstance(activation, str) and activation not in ACTIVATIONS:
        raise unknown_name("activation", activation, ACTIVATIONS)


def check_fuse(fuse: str, unit_norm: bool, allow_overflow: bool) -> None:
    """Refuse unknown names, and products that overflow."""
    if fuse not in FUSES:
        raise unknown_name("fuse", fuse, FUSES)
    if fuse == "normalized-mul" and unit_norm:
        raise invalid("fuse", "'mul' beside unit_norm=True", repr(fuse), "unit_norm normalises the product already")
    if fuse == "mul" and not unit_norm and not allow_overflow:
        remedy = (
            "products of hundreds of states overflow to NaN: set unit_norm=True, or fuse='normalized-mul', "
            "or allow_overflow=True to have it anyway"
        )
        raise invalid("unit_norm", "True when fuse='mul'", False, remedy)


def check_sizes(dim: int, num_heads: int, head_dim: int | None, kernel_size: int | None) -> None:
    """Refuse sizes that are not positive, and even kernels."""
    for argument, value in (("dim", dim), ("num_heads", num_heads), ("head_dim", 1 if head_dim is None else head_dim)):
        if value < 1:
            raise invalid(argument, "a positive integer", value, f"use {argument}=8, for example")
    if kernel_size is not None and (kernel_size < 1 or kernel_size % 2 == 0):
        raise invalid("kernel_size", "odd and positive, or None", kernel_size, "use kernel_size=3")
