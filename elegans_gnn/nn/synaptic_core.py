"""The synaptic core: steps of convolutions along the synapses, on feature maps at two sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from elegans_gnn import ops
from elegans_gnn._shapes import Float
from elegans_gnn.connectome import Neurons, select_neurons
from elegans_gnn.errors import Range, invalid, unknown_name
from elegans_gnn.nn._edge_weights import check_connectome
from elegans_gnn.nn._lesions import Lesioned
from elegans_gnn.nn.core import check_reach
from elegans_gnn.nn.synaptic_filters import CHANNEL_FILTERS, SynapticFilters
from elegans_gnn.ops.synaptic.step import ACTIVATIONS
from elegans_gnn.sparse import SparseAdjacency

if TYPE_CHECKING:
    from elegans_gnn.connectome import Connectome

SHARED = (None, "size", "all")
GAPS = ("parallel", "merged")
SYNAPSES = ("trained", "frozen", "silent")


class StepNeurons(nn.Module):
    """What each neuron owns in a step: scale and shift of its norm, the size of its step, and its leak.

    Args:
        neurons: N.
        channels: C.
        step_size: initial value of the step size.
        leak: initial share of its own state that a neuron keeps; None: all of it, not learned.
    """

    def __init__(self, neurons: int, channels: int, step_size: float, leak: float | None) -> None:
        super().__init__()
        self.initial = {"scale": 1.0, "shift": 0.0, "step_size": step_size, "leak": leak}
        # Flat: optimisers spare vectors the weight decay.
        self.scale, self.shift = (nn.Parameter(torch.empty(neurons * channels)) for _ in range(2))
        self.step_size = nn.Parameter(torch.empty(neurons))
        self.leak = None if leak is None else nn.Parameter(torch.empty(neurons))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set all parameters to their initial values."""
        for name, parameter in self.named_parameters():
            nn.init.constant_(parameter, self.initial[name] or 0.0)


class SynapticCore(Lesioned, nn.Module):
    r"""Residual steps along the synapses: every neuron holds maps, every synapse is a convolution.

    .. math::
        x_v \leftarrow \lambda_v \, x_v + \gamma_v \sum_{u \to v} F_{(u, v)} * \mathrm{act}(a_u \, \mathrm{norm}(x_u)
        + b_u)

    The signal enters at the input neurons; all others start at zero. After `steps` steps the maps are averaged over
    2 x 2 places, and `late_steps` steps follow. The norm takes each map to mean 0 and variance 1 over its places; scale
    a, shift b, step size :math:`\gamma` and leak :math:`\lambda` belong to the neuron. Filters start so that they pass
    on the variance that arrives, divided by the fan-in.

    Args:
        connectome: the graph.
        channels: maps C per neuron.
        steps: steps before the maps are pooled, at least 0.
        late_steps: steps after it, at least 0; with 0 nothing is pooled.
        shared_steps: None (each step has its own filters and neuron parameters), ``"size"`` (all steps on maps of one
            size share them) or ``"all"`` (a recurrent network).
        filters: ``"synapse"`` (a filter per synapse), ``"neuron"``, ``"role"`` or ``"shared"`` (a weight per synapse in
            front of one filter per target neuron, per role of the target, or for all).
        channel_filters: ``"own"`` (a filter per channel), ``"shared"`` (one for all channels) or ``"mixed"`` (one for
            each pair of channels, so that channels mix).
        kernel_size: side k of the filters, odd.
        inputs: the neurons that receive the signal: a role, names such as A,B, or ``"all"``; see
            :func:`elegans_gnn.connectome.select_neurons`.
        outputs: the neurons that are read, given in the same way.
        gap: ``"parallel"`` (gap junctions have filters of their own, one for both directions) or ``"merged"`` (one
            filter per ordered pair of neurons, whatever links them).
        signs: None (every tap's sign is learned) or ``"transmitter"`` (all taps of a synapse have the sign of its
            transmitter); in Python also one of -1, 0 and +1 for each edge [E], where 0 means a learned sign.
        leak: initial share of its state that a neuron keeps, in (0, 1], then learned; None: all of it, not learned.
        step_size: initial value of the learned step size of each neuron.
        activation: ``"relu"``, ``"gelu"`` or ``"silu"``.
        drop_path: share of samples for which the last step is left out in training; earlier ones in proportion.
        synapses: ``"trained"``, ``"frozen"`` (weights and filters keep their random start) or ``"silent"`` (all are
            zero: no signal leaves the input neurons).

    Shapes:
        signal: [B, inputs, C, H, W]; output: [B, outputs, C, H', W'] with H' = H / 2 rounded up if late_steps > 0.

    Raises:
        ValueError: an unknown option or one out of range, no inputs or outputs, or an output neuron that no input
            reaches in all steps.
    """

    ranges: ClassVar = {
        "channels": Range(least=1, whole=True, remedy="use 1, one map per neuron"),
        "steps": Range(least=0, whole=True, remedy="use 3"),
        "late_steps": Range(least=0, whole=True, remedy="use 5"),
        "leak": Range(above=0, most=1, remedy="use None, which keeps the whole state"),
        "step_size": Range(above=0, remedy="use 1.0"),
        "drop_path": Range(least=0, below=1, remedy="use 0 for none"),
    }
    input_index: Tensor
    output_index: Tensor
    _edges: Tensor

    def __init__(
        self,
        connectome: Connectome,
        channels: int,
        *,
        steps: int = 3,
        late_steps: int = 5,
        shared_steps: str | None = None,
        filters: str = "synapse",
        channel_filters: str = "own",
        kernel_size: int = 3,
        inputs: Neurons = "sensory",
        outputs: Neurons = "motor",
        gap: str = "parallel",
        signs: str | NDArray[np.int64] | None = None,
        leak: float | None = None,
        step_size: float = 1.0,
        activation: str = "relu",
        drop_path: float = 0.0,
        synapses: str = "trained",
    ) -> None:
        super().__init__()
        check_connectome(connectome)
        for argument, value, known in (
            ("shared_steps", shared_steps, SHARED),
            ("channel_filters", channel_filters, CHANNEL_FILTERS),
            ("gap", gap, GAPS),
            ("activation", activation, tuple(ACTIVATIONS)),
            ("synapses", synapses, SYNAPSES),
        ):
            if value not in known:
                raise unknown_name(argument, str(value), map(str, known))
        numbers = {"channels": channels, "steps": steps, "late_steps": late_steps, "leak": leak}
        for argument, number in {**numbers, "step_size": step_size, "drop_path": drop_path}.items():
            SynapticCore.ranges[argument].check(argument, number)
        if steps + late_steps < 1:
            raise invalid("steps and late_steps", "at least 1 together", 0, "use steps=3 and late_steps=5")
        self.connectome = connectome.merged() if gap == "merged" else connectome
        sources = select_neurons(connectome, inputs, "inputs")
        targets = select_neurons(connectome, outputs, "outputs")
        check_reach(connectome, sources, targets, steps + late_steps)
        self.register_buffer("input_index", torch.from_numpy(sources), persistent=False)
        self.register_buffer("output_index", torch.from_numpy(targets), persistent=False)
        self.register_buffer("_edges", torch.tensor(self.connectome.edge_index), persistent=False)
        self.channels, self.steps, self.late_steps, self.shared_steps = channels, steps, late_steps, shared_steps
        self.mixed = channel_filters == "mixed" and channels > 1
        self.activation, self.drop_path, self.fate = activation, drop_path, synapses
        sets = 1 + max(self._set_of_step(step) for step in range(steps + late_steps))
        options: dict[str, Any] = {"filters": filters, "kernel_size": kernel_size, "signs": signs}
        options["channel_filters"] = "shared" if channels == 1 else channel_filters
        self.synapses = nn.ModuleList(SynapticFilters(self.connectome, channels, **options) for _ in range(sets))
        self.num_neurons = size = connectome.num_neurons
        self.neurons = nn.ModuleList(StepNeurons(size, channels, step_size, leak) for _ in range(sets))
        wires = self._wires(self.parts_of_step(0)[0].pairs)
        self.adjacency = SparseAdjacency(wires, size * (channels if self.mixed else 1))
        self.register_buffer("edge_mask", None, persistent=False)
        self.register_buffer("neuron_mask", None, persistent=False)
        if synapses != "trained":
            self.synapses.requires_grad_(False)
        self.heal()

    def parts_of_step(self, step: int) -> tuple[SynapticFilters, StepNeurons]:
        """The filters and the neuron parameters that a step uses."""
        number = self._set_of_step(step)
        return cast(SynapticFilters, self.synapses[number]), cast(StepNeurons, self.neurons[number])

    def _set_of_step(self, step: int) -> int:
        return {None: step, "size": int(step >= self.steps > 0), "all": 0}[self.shared_steps]

    def reset_parameters(self) -> None:
        """Draw all parameters again from torch's generator."""
        for step in range(len(self.neurons)):
            for part in (self.synapses[step], self.neurons[step]):
                cast(SynapticFilters | StepNeurons, part).reset_parameters()

    def _wires(self, pairs: Tensor) -> Tensor:
        """The ordered pairs; where channels mix, each channel counts as a neuron of its own."""
        if not self.mixed:
            return pairs
        channel = torch.arange(self.channels)
        source = (pairs[0, :, None, None] * self.channels + channel[None, None, :]).expand(-1, self.channels, -1)
        target = (pairs[1, :, None, None] * self.channels + channel[None, :, None]).expand(-1, -1, self.channels)
        return torch.stack([source.flatten(), target.flatten()])

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> SynapticCore:
        super()._apply(fn, recurse)
        self.adjacency = self.adjacency.to(self.input_index.device)
        return self

    @property
    def num_inputs(self) -> int:
        """Number of input neurons."""
        return len(self.input_index)

    @property
    def num_outputs(self) -> int:
        """Number of output neurons."""
        return len(self.output_index)

    @property
    def edge_index(self) -> Tensor:
        """[2, E]: the edges, in the order that lesions and :meth:`edge_weight` use."""
        return self._edges

    def heal(self) -> None:
        """Undo all lesions; silent synapses stay silent."""
        super().heal()
        if self.fate == "silent":
            self.lesion(edges=range(self.connectome.num_edges))

    def edge_weight(self) -> Float[Tensor, "edge set *channel_and_tap"]:
        """The filters in edge order, of all sets of steps: tied, signed and lesioned, without the step sizes."""
        mask = self._edge_mask()
        return torch.stack([cast(SynapticFilters, part).of_edges(mask) for part in self.synapses], 1)

    def _edge_mask(self) -> Tensor | None:
        mask = self.edge_mask
        if self.neuron_mask is not None:
            ends = self.neuron_mask[self.edge_index].prod(0)
            mask = ends if mask is None else mask * ends
        return mask

    def forward(
        self, signal: Float[Tensor, "batch input channel height width"]
    ) -> Float[Tensor, "batch output channel height2 width2"]:
        """Carry the signal from the input neurons to the output neurons.

        Args:
            signal: see Shapes above.

        Raises:
            ValueError: a signal of another number of input neurons or channels.
        """
        return self.states(signal).index_select(1, self.output_index)

    def states(
        self, signal: Float[Tensor, "batch input channel height width"]
    ) -> Float[Tensor, "batch neuron channel height2 width2"]:
        """The maps of all neurons after the last step."""
        if signal.dim() != 5 or signal.shape[1:3] != (self.num_inputs, self.channels):
            expected = f"of shape [B, {self.num_inputs}, {self.channels}, H, W] (maps for each input neuron)"
            raise invalid("signal", expected, list(signal.shape), "see core.input_index for the order")
        if self.neuron_mask is not None:
            signal = signal * self.neuron_mask[self.input_index].to(signal.dtype).view(-1, 1, 1, 1)
        empty = signal.new_zeros(signal.shape[0], self.num_neurons, *signal.shape[2:])
        state = empty.index_copy(1, self.input_index, signal)
        mask = self._edge_mask()
        for step in range(self.steps + self.late_steps):
            if step == self.steps:
                state = F.avg_pool2d(state.flatten(1, 2), 2, ceil_mode=True)
                state = state.unflatten(1, (self.num_neurons, self.channels))
            state = self._step(state, step, mask)
        return state

    def _step(self, state: Tensor, step: int, mask: Tensor | None) -> Tensor:
        filters, neurons = self.parts_of_step(step)
        weight = filters(mask)
        leak: Tensor | None = neurons.leak
        step_size = neurons.step_size.index_select(0, filters.pairs[1])
        weight = weight * step_size.reshape(-1, *[1] * (weight.dim() - 1))
        shape, maps = state.shape, (self.num_neurons, self.channels)
        if self.mixed:
            weight, maps = weight.flatten(0, 2), (maps[0] * self.channels, 1)
            state = state.reshape(shape[0], *maps, *shape[3:])
            leak = None if leak is None else leak.repeat_interleave(self.channels)
        scale, shift = neurons.scale.view(maps), neurons.shift.view(maps)
        activation = self.activation
        after = ops.synaptic_step(state, weight, self.adjacency, scale, shift, leak, activation=activation)
        dropped = self.drop_path * (step + 1) / (self.steps + self.late_steps)
        if self.training and dropped:
            before = state if leak is None else state * leak.to(state.dtype).view(-1, 1, 1, 1)
            kept = torch.rand(shape[0], 1, 1, 1, 1, device=state.device) >= dropped
            after = torch.lerp(before, after, kept.to(after.dtype) / (1 - dropped))
        return after.reshape(shape)

    def extra_repr(self) -> str:
        steps = f"steps={self.steps}+{self.late_steps}, shared_steps={self.shared_steps}"
        return f"{self.connectome.name!r}, inputs={self.num_inputs}, outputs={self.num_outputs}, {steps}"
