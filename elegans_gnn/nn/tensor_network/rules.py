"""The rules of a tensor network: phases, relations, the letters of the roles, and the checks of its options."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from elegans_gnn.errors import Range, invalid, unknown_name
from elegans_gnn.nn._activations import ACTIVATIONS as OF_LAYERS
from elegans_gnn.ops.visits import ACTIVATIONS as FUSED

LETTERS = "SIM"
RELATIONS = tuple(source + target for source in LETTERS for target in LETTERS)
FUSES = ("add", "mul", "normalized-mul")
DEFAULT_ORDER = "S->O, I->O, M->O, S->S, I->I, M->M"
SIZES = {name: Range(least=1, whole=True, remedy="use 8, for example") for name in ("dim", "num_heads", "head_dim")}
# Without rrelu, which is random: a unit may be applied twice, and must give the same.
ACTIVATIONS = (*(name for name in OF_LAYERS if name != "rrelu"), "linear")
_LETTER_OF_ROLE = {"sensory": "S", "motor": "M"}
_PHASE = re.compile(r"([SIM])->([SIMO])")


@dataclass(frozen=True)
class Phase:
    """One sweep over the synapses of some relations, e.g. "S->O" over SI and SM."""

    name: str
    relations: tuple[str, ...]


def parse_order(order: str | Sequence[str]) -> tuple[Phase, ...]:
    """Read "S->O, I->O" or ["S->O", "I->O"]; O means the two roles that the source does not have.

    Raises:
        ValueError: no phase, or a phase that is not of the form A->B with A in S, I, M and B in S, I, M, O.
    """
    names = [part.strip().replace(" ", "") for part in (order.split(",") if isinstance(order, str) else order)]
    phases = []
    for name in names:
        match = _PHASE.fullmatch(name)
        if match is None:
            raise invalid("order", "phases like S->O or M->M", repr(name), f"write it like {DEFAULT_ORDER!r}")
        source, target = match.groups()
        targets = [letter for letter in LETTERS if letter != source] if target == "O" else [target]
        phases.append(Phase(name, tuple(source + letter for letter in targets)))
    return tuple(phases)


def parse_relations(argument: str, relations: Iterable[str]) -> frozenset[str]:
    """Check relations such as "SI" (from a sensory neuron to an interneuron)."""
    if isinstance(relations, str):
        raise invalid(argument, "a collection of relations", repr(relations), f"write {argument}=({relations!r},)")
    wanted = frozenset(relations)
    for relation in sorted(wanted):
        if relation not in RELATIONS:
            raise unknown_name(argument, relation, RELATIONS)
    return wanted


def role_letters(roles: NDArray[Any]) -> NDArray[Any]:
    """[N] S, I or M: polymodal and unknown neurons count as interneurons."""
    return np.array([_LETTER_OF_ROLE.get(str(role), "I") for role in roles], dtype="<U1")


def check_rank(visit_rank: object, neurons: int) -> NDArray[np.int64]:
    """[N] the place of each neuron in the visiting order; must be a permutation of 0..N-1."""
    rank = np.asarray(visit_rank)
    if rank.shape != (neurons,) or not np.array_equal(np.sort(rank), np.arange(neurons)):
        remedy = "pass connectome.visit_rank, or numpy.argsort of the order you want turned into ranks"
        raise invalid("visit_rank", f"a permutation of 0..{neurons - 1}", f"shape {list(rank.shape)}", remedy)
    return rank.astype(np.int64)


def activation_of(activation: str | Callable[[Tensor], Tensor]) -> str | Callable[[Tensor], Tensor]:
    """The name if the kernels have a gradient for it, else the function; refuses unknown names."""
    if not isinstance(activation, str) or activation in FUSED:
        return activation
    if activation not in ACTIVATIONS:
        raise unknown_name("activation", activation, ACTIVATIONS)
    function: Callable[[Tensor], Tensor] = getattr(F, activation)
    return function


def check_fuse(fuse: str, unit_norm: bool, allow_overflow: bool) -> None:
    """Refuse unknown names, and products that overflow."""
    if fuse not in FUSES:
        raise unknown_name("fuse", fuse, FUSES)
    if fuse == "normalized-mul" and unit_norm:
        raise invalid("fuse", "'mul' with unit_norm=True", repr(fuse), "unit_norm normalises the product already")
    if fuse == "mul" and not unit_norm and not allow_overflow:
        remedy = (
            "products of hundreds of states overflow to NaN: set unit_norm=True, or fuse='normalized-mul', "
            "or allow_overflow=True to have it anyway"
        )
        raise invalid("unit_norm", "True when fuse='mul'", False, remedy)


def check_sizes(dim: int, num_heads: int, head_dim: int | None, kernel_size: int | None) -> None:
    """Refuse sizes that are not positive, and even kernels."""
    for argument, value in (("dim", dim), ("num_heads", num_heads), ("head_dim", head_dim)):
        SIZES[argument].check(argument, value)
    if kernel_size is not None and (kernel_size < 1 or kernel_size % 2 == 0):
        raise invalid("kernel_size", "odd and positive, or None", kernel_size, "use kernel_size=3")
