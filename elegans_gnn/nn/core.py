"""The recurrent core: a signal enters at the input neurons and crosses up to K synapses to the output neurons."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elegans_gnn._shapes import Float
from elegans_gnn.connectome import Neurons, select_neurons
from elegans_gnn.errors import Range, invalid
from elegans_gnn.graphs import hops_from
from elegans_gnn.nn._edge_weights import check_connectome
from elegans_gnn.nn.connectome_conv import ConnectomeConv
from elegans_gnn.sparse import GraphLike

if TYPE_CHECKING:
    from elegans_gnn.connectome import Connectome

_CALIBRATION_ROUNDS = 8
_CALIBRATION_STEPS = 6
_CALIBRATION_SAMPLES = 16


class RecurrentCore(nn.Module):
    r"""K recurrent steps on a connectome, the only path from the input neurons to the output neurons.

    .. math::
        x^{(0)} = \mathrm{scatter}(s), \qquad
        x_v^{(t+1)} = \lambda_v \, x_v^{(t)} + \mathrm{conv}(x^{(t)})_v + [v \in \text{inputs}, t + 1 < K] \, s_v

    The input s enters again at the input neurons after each step but the last. The leak :math:`\lambda_v`, learnable
    and one per neuron, is the share of its own state that neuron v carries into the next step.

    Args:
        connectome: the graph.
        channels: F of a vector state, or C of feature maps; the same before and after each step.
        steps: K, the largest number of synapses that a signal can cross.
        inputs: the neurons that receive the signal: a role, names such as A,B, indices, a mask, or ``"all"``,
            ``"sources"`` or ``"sinks"``; see :func:`elegans_gnn.connectome.select_neurons`.
        outputs: the neurons that are read, given in the same way.
        leak: the share of its own state that a neuron carries into the next step, at the start of training; in [0, 1).
        calibrate: scale the initial weights so that each step multiplies the root mean square of the state by about 1
            (see :meth:`gain_per_step`). Without it, K steps amplify the signal or make it vanish.
        conv: further arguments of :class:`ConnectomeConv` (kernel_size, unit, activation, signs, norm, ...).

    Shapes:
        s: [B, inputs, F], [inputs, F] or [B, inputs, C, H, W]; output: the same with outputs in the place of inputs.

    Raises:
        ValueError: steps < 1, a leak outside [0, 1), no inputs or outputs, or an output neuron that no input reaches
            in K steps.
    """

    ranges: ClassVar = {
        "steps": Range(least=1, whole=True, remedy="use 4; the worm's motor neurons are at most 3 synapses away"),
        "leak": Range(least=0, below=1, remedy="use 0.5; with 1 a state would never decay"),
    }
    input_index: Tensor
    output_index: Tensor

    def __init__(
        self,
        connectome: Connectome,
        channels: int,
        *,
        steps: int = 4,
        inputs: Neurons = "sensory",
        outputs: Neurons = "motor",
        leak: float = 0.5,
        calibrate: bool = True,
        **conv: Any,
    ) -> None:
        super().__init__()
        check_connectome(connectome)
        if "keep" in conv:
            _warn_renamed("RecurrentCore(keep=)")
            leak = conv.pop("keep")
        RecurrentCore.ranges["steps"].check("steps", steps)
        RecurrentCore.ranges["leak"].check("leak", leak)
        sources = select_neurons(connectome, inputs, "inputs")
        targets = select_neurons(connectome, outputs, "outputs")
        check_reach(connectome, sources, targets, steps)
        self.connectome, self.steps, self.leak_init, self.calibrate = connectome, steps, leak, calibrate
        self.register_buffer("input_index", torch.from_numpy(sources), persistent=False)
        self.register_buffer("output_index", torch.from_numpy(targets), persistent=False)
        self.conv = ConnectomeConv(connectome, channels, channels, **conv)
        self.leak = nn.Parameter(torch.empty(connectome.num_neurons))
        self.reset_parameters()

    @property
    def num_inputs(self) -> int:
        """Number of input neurons."""
        return len(self.input_index)

    @property
    def num_outputs(self) -> int:
        """Number of output neurons."""
        return len(self.output_index)

    @property
    def keep(self) -> nn.Parameter:
        """The former name of `leak` (deprecated)."""
        _warn_renamed("RecurrentCore.keep")
        return self.leak

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        old, new = f"{prefix}keep", f"{prefix}leak"
        if old in state_dict and new not in state_dict:  # saved before `keep` was renamed
            state_dict[new] = state_dict.pop(old)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def reset_parameters(self) -> None:
        """Draw all parameters again; with `calibrate`, then bring the gain per step near 1.

        Calibration stops at a gain of 0 (a graph without edges, leak 0), which no scale of the weights would change.
        """
        self.conv.reset_parameters()
        nn.init.constant_(self.leak, self.leak_init)
        for _ in range(_CALIBRATION_ROUNDS if self.calibrate else 0):
            gain = self.gain_per_step()
            if gain == 0:
                break
            # Damped: the leak's share of the gain does not scale with the weights.
            self.conv.weights.rescale(gain**-1.5)

    @torch.no_grad()
    def gain_per_step(self, samples: int = _CALIBRATION_SAMPLES) -> float:
        """By how much one step multiplies the root mean square of a random state, without new input.

        Args:
            samples: the number of random states.

        Returns:
            The geometric mean over up to 6 steps that start from white noise at all neurons. The noise comes from its
            own fixed generator, so that measuring changes no other random number. On a graph without cycles and with
            leak 0 the state dies out: the mean is then over the steps before, and 0 if not even the first step leaves
            anything.
        """
        generator = torch.Generator().manual_seed(0)
        window = () if self.conv.kernel_size is None else (4, 4)
        shape = (samples, self.connectome.num_neurons, self.conv.in_channels, *window)
        state = torch.randn(shape, generator=generator).to(self.leak)
        size = state.square().mean().sqrt()
        gains = []
        for _ in range(_CALIBRATION_STEPS):
            state = self.step(state / size)
            size = state.square().mean().sqrt()
            if size == 0:
                break
            gains.append(size)
        return float(torch.stack(gains).log().mean().exp()) if gains else 0.0

    def step(
        self, state: Float[Tensor, "batch neuron *feature"], edge_index: GraphLike | None = None
    ) -> Float[Tensor, "batch neuron *feature"]:
        """One step without input: the leak's share of each neuron's state plus what arrives."""
        mask = self.conv.neuron_mask
        leak = self.leak if mask is None else self.leak * mask
        # Under autocast single operations may change the type; the state keeps its own.
        arrived = self.conv(state, edge_index).to(state.dtype)
        return torch.addcmul(arrived, state, leak.to(state.dtype).reshape(-1, *[1] * (state.dim() - 2)))

    def forward(self, signal: Float[Tensor, "..."], edge_index: GraphLike | None = None) -> Float[Tensor, "..."]:
        """Carry the signal from the input neurons to the output neurons.

        Args:
            signal: s, see Shapes above.
            edge_index: None or the own edges in any order, which PyG's explainers need; see :class:`ConnectomeConv`.

        Raises:
            ValueError: the signal has another number of input neurons, or the edges are others.
        """
        batched = signal[None] if signal.dim() == 2 and self.conv.kernel_size is None else signal
        out = self.states(batched, edge_index).index_select(1, self.output_index)
        return out if batched is signal else out[0]

    def states(
        self, signal: Float[Tensor, "batch input *feature"], edge_index: GraphLike | None = None
    ) -> Float[Tensor, "batch neuron *feature"]:
        """The state of all neurons after K steps."""
        if signal.dim() < 3 or signal.shape[1] != self.num_inputs:
            expected = f"of shape [B, {self.num_inputs}, ...] (one entry per input neuron)"
            raise invalid("signal", expected, list(signal.shape), "see core.input_index for the order")
        if self.conv.neuron_mask is not None:
            silent = self.conv.neuron_mask[self.input_index].to(signal.dtype)
            signal = signal * silent.reshape(-1, *[1] * (signal.dim() - 2))
        empty = signal.new_zeros(signal.shape[0], len(self.leak), *signal.shape[2:])
        state = empty.index_copy(1, self.input_index, signal)
        for step in range(self.steps):
            state = self.step(state, edge_index)
            if step + 1 < self.steps:
                state = state.index_add(1, self.input_index, signal)
        return state

    def lesion(self, *, neurons: Iterable[str] = (), edges: Iterable[int] = ()) -> None:
        """Silence neurons or edges; see :meth:`ConnectomeConv.lesion`."""
        self.conv.lesion(neurons=neurons, edges=edges)

    def heal(self) -> None:
        """Undo all lesions."""
        self.conv.heal()

    def extra_repr(self) -> str:
        return f"steps={self.steps}, inputs={self.num_inputs}, outputs={self.num_outputs}"


def _warn_renamed(old: str) -> None:
    """Warn whoever called the caller of this function."""
    warnings.warn(f"{old} is now called leak; the next release removes the old name", DeprecationWarning, stacklevel=3)


def check_reach(connectome: Connectome, sources: NDArray[np.int64], targets: NDArray[np.int64], steps: int) -> None:
    hops = hops_from(connectome, sources)[targets]
    missed = (hops < 0) | (hops > steps)
    if not missed.any():
        return
    names = ", ".join(connectome.names[targets[missed]][:5].tolist()) + (", ..." if missed.sum() > 5 else "")
    reachable = not (hops < 0).any()
    remedy = f"use steps >= {hops.max()}" if reachable else "name in outputs= only neurons with a path from the inputs"
    got = f"{int(missed.sum())} of {len(targets)} out of reach ({names})"
    raise invalid("outputs", f"reachable from the inputs in {steps} steps", got, remedy)
