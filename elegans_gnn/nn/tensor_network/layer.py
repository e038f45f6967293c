"""The tensor network: neurons as tensor units, synapses as ordered arrivals, run in a few parallel stages."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from elegans_gnn._shapes import Float
from elegans_gnn.connectome import Connectome
from elegans_gnn.errors import invalid, unknown_name
from elegans_gnn.nn._edge_weights import wiring_hash
from elegans_gnn.nn.tensor_network.plan import make_plan
from elegans_gnn.nn.tensor_network.readout import Readout
from elegans_gnn.nn.tensor_network.reference import reference_outputs
from elegans_gnn.nn.tensor_network.rules import DEFAULT_ORDER, SIZES, activation_of, check_fuse, check_sizes
from elegans_gnn.nn.tensor_network.runner import MERGES, PlanRunner, merge_outputs, recurrent_plans, scatter_states
from elegans_gnn.nn.tensor_network.schedule import Schedule
from elegans_gnn.nn.tensor_network.units import NeuronUnits, first_use, unit_groups
from elegans_gnn.ops import resolve_backend
from elegans_gnn.ops.visits import EPS, VISITS, Arithmetic, Plan

# Number of items seen, and the states by neuron.
SequenceState = tuple[int, Tensor]

_log = logging.getLogger(__name__)


class TensorNetwork(nn.Module):
    r"""The tensor network of ElegansNet on any connectome.

    Every sensory neuron starts with the input as its state, the others with none. Synapses u -> v are visited phase by
    phase (``order``), in a phase by the rank of u, then of v. If u has no state the synapse does nothing. Otherwise:

    .. math::
        s_v &\leftarrow \phi(\operatorname{LN}(W_v s_u + b_v)) && \text{first arrival at } v \\
        s_v &\leftarrow \operatorname{LN}(\phi(W_v s_u + b_v) + s_v) && \text{later, relation in } \texttt{reapply} \\
        s_v &\leftarrow \operatorname{LN}(w_{uv} s_u + s_v) \;\text{or}\;
            \operatorname{LN}(s_u \odot s_v) && \text{later}

    with LN only if ``unit_norm``. The states of the motor neurons go to the readout. The order is part of the model;
    that many arrivals run at the same time does not change the result (see :class:`Schedule`, and
    :func:`reference_forward` for the loop itself).

    Args:
        connectome: the graph. Several kinds of synapse between two neurons count as one; polymodal and unknown neurons
            count as interneurons.
        dim: F, the size of a state (channels for maps).
        fuse: ``"add"``, ``"mul"``, or ``"normalized-mul"``, a product divided by its root mean square, which neither
            overflows nor vanishes without ``unit_norm``.
        unit_norm: layer normalisation (without scale and shift) after each unit and each later arrival.
        activation: the function after each unit: a name that :class:`ConnectomeConv` takes, but not rrelu, or
            linear for none; in Python also any elementwise callable.
        order: the phases, such as S->I for the synapses from sensory to interneurons; O means the other two roles.
        reapply: relations such as ``"SI"`` whose later arrivals go through the unit again.
        ignored_relations: relations, such as ``"MI"``, whose synapses have no effect.
        readout: see :class:`Readout`.
        num_heads: heads of the readout's attention.
        head_dim: features of a head of the readout's attention; by default dim / num_heads.
        residual: whether the readout's attentions add their query to their result.
        output_norm: whether the output is layer-normalised.
        units: ``"dense"`` or ``"diagonal"`` with one unit per neuron, ``"shared-by-role"`` or ``"shared-by-class"``
            dense.
        kernel_size: odd, makes the units convolutions over maps [B, C, H, W] with C = dim; the norm is then over C at
            each pixel, and so is the attention.
        edge_weights: whether fused arrivals have a trainable strength w, 1 at the start. A sum adds w s_u, a product
            multiplies by 1 + w (s_u - 1), so that in both cases w = 0 switches the synapse off.
        recurrence: None, or how the outputs for the items of a sequence become one: ``"last"``, ``"mean"``,
            ``"max"`` or ``"concat"``. States are then carried along the sequence: sensory neurons take each item as it
            comes, the others start with the state they had, and the first arrival at them re-applies their unit.
        visit_rank: [N] overrides ``connectome.visit_rank``.
        recompute: apply units again in the backward pass instead of keeping their intermediate results; saves memory.
        allow_overflow: accept ``fuse="mul"`` without ``unit_norm``.

    Shapes:
        input and output: [B, dim], [B, T, dim] (tokens fold into the batch), or [B, dim, H, W] with ``kernel_size``.
        with ``recurrence``: [B, T, dim] -> [B, dim] ("concat": [B, T dim]), or [B, T, dim, H, W] -> [B, dim, H, W]
        ("concat": [B, T dim, H, W]).

    Raises:
        ValueError: an option is malformed; multiplication would overflow; the graph has no sensory neuron, or no motor
            neuron that a signal reaches.

    Source: Bardozzo et al., ElegansNet (2023), arXiv:2304.13538.
    """

    ranges: ClassVar = SIZES

    def __init__(
        self,
        connectome: Connectome,
        dim: int,
        *,
        fuse: str = "add",
        unit_norm: bool = True,
        activation: str | Callable[[Tensor], Tensor] = "gelu",
        order: str | Sequence[str] = DEFAULT_ORDER,
        reapply: Iterable[str] = (),
        ignored_relations: Iterable[str] = (),
        readout: str = "cross",
        num_heads: int = 4,
        head_dim: int | None = None,
        residual: bool = False,
        output_norm: bool = True,
        units: str = "dense",
        kernel_size: int | None = None,
        edge_weights: bool = False,
        recurrence: str | None = None,
        visit_rank: ArrayLike | None = None,
        recompute: bool = False,
        allow_overflow: bool = False,
    ) -> None:
        super().__init__()
        check_sizes(dim, num_heads, head_dim, kernel_size)
        check_fuse(fuse, unit_norm, allow_overflow)
        activation = activation_of(activation)
        if recurrence is not None and recurrence not in MERGES:
            raise unknown_name("recurrence", recurrence, MERGES)
        self.connectome = connectome if len(connectome.kind_names) < 2 else connectome.merged()
        self.dim, self.fuse, self.unit_norm, self.kernel_size = dim, fuse, unit_norm, kernel_size
        self.recompute, self.recurrence, self.activation = recompute, recurrence, activation
        self.rules: dict[str, Any] = {
            "order": order,
            "reapply": tuple(reapply),
            "ignored_relations": tuple(ignored_relations),
            "visit_rank": self.connectome.visit_rank if visit_rank is None else visit_rank,
        }
        norm = "layer" if unit_norm else "rms" if fuse == "normalized-mul" else "none"
        self.arithmetic = Arithmetic("add" if fuse == "add" else "mul", norm)
        self.schedule = self._compile()
        plans = self._add_units(units)
        self.edge_weight = nn.Parameter(torch.ones(self.connectome.num_edges)) if edge_weights else None
        self.readout = Readout(
            readout,
            dim,
            len(self.schedule.outputs),
            num_heads=num_heads,
            head_dim=max(dim // num_heads, 1) if head_dim is None else head_dim,
            residual=residual,
            output_norm=output_norm,
            eps=EPS,
        )
        self._runners = nn.ModuleList(
            PlanRunner(
                plan, self.units, self.arithmetic, unit_norm=unit_norm, activation=activation, recompute=recompute
            )
            for plan in plans
        )
        self.outputs = plans[0].outputs[np.isin(plans[0].outputs, self.schedule.outputs)]
        _report_silent(self.connectome, self.schedule)

    def _add_units(self, units: str) -> list[Plan]:
        """Plans for the items of a sequence (or the one for single inputs), and the units that they apply."""
        groups = unit_groups(self.connectome, units)
        if self.recurrence is None:
            plans = [make_plan(self.schedule, groups)]
        else:
            plans = recurrent_plans(lambda carried: self._compile(outputs="all", carried=carried), groups)
        self.units = NeuronUnits(
            first_use(groups, [stage.neurons for plan in plans for stage in plan.stages]),
            self.dim,
            diagonal=units == "diagonal",
            shared=units.startswith("shared"),
            kernel_size=self.kernel_size,
        )
        return plans

    def _compile(self, *, outputs: str = "motor", carried: ArrayLike | None = None) -> Schedule:
        return Schedule.compile(
            self.connectome, commuting=self.arithmetic.linear, outputs=outputs, carried=carried, **self.rules
        )

    def reset_parameters(self) -> None:
        """Draw new values for all parameters."""
        for module in self.modules():
            reset = getattr(module, "reset_parameters", None)
            if module is not self and callable(reset):
                reset()
        if self.edge_weight is not None:
            nn.init.ones_(self.edge_weight)

    def forward(self, x: Float[Tensor, "batch *_"]) -> Float[Tensor, "batch *_"]:
        """Output of the readout: shaped like x, or one for the whole sequence with ``recurrence``."""
        if self.recurrence is not None:
            return self._forward_sequence(x)
        rows, size = self.fold(x)
        return self.unfold(self.readout(rows, self.run(self._first_runner, rows, size)), x)

    def motor_states(self, x: Float[Tensor, "batch *_"]) -> Float[Tensor, "row neuron feature"]:
        """States of the motor neurons ``self.outputs``, one row per sample, token or pixel (of the first item)."""
        rows, size = self.fold(x)
        states = self.run(self._first_runner, rows, size)
        return states if self.recurrence is None else self._of_motors(self._by_neuron(states, self._first_runner))

    @property
    def _first_runner(self) -> PlanRunner:
        return cast(PlanRunner, self._runners[0])

    def _forward_sequence(self, x: Tensor) -> Tensor:
        wanted = 3 if self.kernel_size is None else 5
        if x.dim() != wanted or x.shape[1] == 0:
            expected = f"[B, T, {self.dim}]" if wanted == 3 else f"[B, T, {self.dim}, H, W]"
            raise invalid("x", f"{expected} with T > 0 (recurrence is set)", list(x.shape), "add the sequence axis")
        state, outputs = None, []
        for item in x.unbind(1):
            output, state = self.step(item, state)
            outputs.append(output)
        return merge_outputs(outputs, str(self.recurrence))

    def step(self, x: Tensor, state: SequenceState | None = None) -> tuple[Tensor, SequenceState]:
        """One item of a sequence, for a network with ``recurrence``.

        Args:
            x: [B, dim] or [B, dim, H, W].
            state: what the step before gave, or None at the start.

        Returns:
            The item's output, shaped like x, and the state to go on with.
        """
        if self.recurrence is None:
            raise invalid("recurrence", "set for step-by-step use", None, "build the network with recurrence='last'")
        number, carried = (0, None) if state is None else state
        runner = cast(PlanRunner, self._runners[min(number, len(self._runners) - 1)])
        rows, size = self.fold(x)
        states = self.run(runner, rows, size, carried)
        by_neuron = self._by_neuron(states, runner)
        return self.unfold(self.readout(rows, self._of_motors(by_neuron)), x), (number + 1, by_neuron)

    def _by_neuron(self, states: Tensor, runner: PlanRunner) -> Tensor:
        outputs = torch.from_numpy(runner.plan.outputs).to(states.device)
        return scatter_states(states, outputs, self.connectome.num_neurons)

    def _of_motors(self, by_neuron: Tensor) -> Tensor:
        return by_neuron.index_select(1, torch.from_numpy(self.outputs).to(by_neuron.device))

    def run(
        self, runner: PlanRunner, rows: Tensor, size: tuple[int, int] | None, carried: Tensor | None = None
    ) -> Float[Tensor, "row neuron feature"]:
        """Run a plan on folded input."""
        autocast = torch.is_autocast_enabled(rows.device.type)
        wide = rows.to(torch.promote_types(rows.dtype, torch.float32)) if autocast else rows
        backend = resolve_backend(wide, VISITS)
        if backend == "reference":
            return reference_outputs(self, runner.plan, rows, size, carried)
        return runner(wide, carried, self.edge_weight, size, backend)

    def fold(self, x: Tensor) -> tuple[Float[Tensor, "row feature"], tuple[int, int] | None]:
        """Rows [R, F] of samples, tokens or pixels, and (H, W) for maps."""
        if self.kernel_size is not None:
            if x.dim() != 4 or x.shape[1] != self.dim:
                remedy = "pass feature maps, or omit kernel_size for vectors"
                raise invalid("x", f"[B, {self.dim}, H, W] (kernel_size is set)", list(x.shape), remedy)
            return x.permute(0, 2, 3, 1).reshape(-1, self.dim), (x.shape[2], x.shape[3])
        if x.dim() not in (2, 3) or x.shape[-1] != self.dim:
            remedy = "project the input to dim, or set kernel_size for feature maps [B, C, H, W]"
            raise invalid("x", f"[B, {self.dim}] or [B, T, {self.dim}]", list(x.shape), remedy)
        return x.reshape(-1, self.dim), None

    def unfold(self, rows: Tensor, x: Tensor) -> Tensor:
        """The inverse of :meth:`fold`, for a result with one row per row of x."""
        if self.kernel_size is None:
            return rows.reshape(*x.shape[:-1], rows.shape[-1])
        return rows.unflatten(0, (x.shape[0], x.shape[2], x.shape[3])).permute(0, 3, 1, 2)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, fuse={self.fuse}, unit_norm={self.unit_norm}, {self.schedule!r}"


_reported: set[tuple[bytes, str]] = set()  # wirings and what was said about them


def _report_silent(connectome: Connectome, schedule: Schedule) -> None:
    """Name the synapses without effect, by relation, once per graph and process."""
    counts = ", ".join(f"{relation} {count}" for relation, count in schedule.silent)
    report = (wiring_hash(connectome).numpy().tobytes(), counts)
    if counts and report not in _reported:
        _reported.add(report)
        _log.warning(
            "%d synapses never fire, because their source has no state when they are visited: %s (see order= and "
            "schedule.summary(); logging.getLogger('elegans_gnn').setLevel('ERROR') hides this)",
            schedule.num_silent,
            counts,
        )
