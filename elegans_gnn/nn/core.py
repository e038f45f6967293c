"""The recurrent core: signals enter at some neurons, travel K synapses far, and are read at others."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elegans_gnn._shapes import Float
from elegans_gnn.connectome import Neurons, select_neurons
from elegans_gnn.errors import invalid
from elegans_gnn.nn.connectome_conv import ConnectomeConv

if TYPE_CHECKING:
    from elegans_gnn.connectome import Connectome

_CALIBRATION_ROUNDS = 8
_CALIBRATION_STEPS = 6
_CALIBRATION_SAMPLES = 16


def hops_from(connectome: Connectome, sources: NDArray[np.int64]) -> NDArray[np.int64]:
    """[N] the least number of synapses from any of the sources to each neuron; -1 where there is no way."""
    hops = np.full(connectome.num_neurons, -1)
    hops[sources] = 0
    front = np.zeros(connectome.num_neurons, dtype=bool)
    front[sources] = True
    distance = 0
    while front.any():
        distance += 1
        arrived = np.zeros_like(front)
        arrived[connectome.post[front[connectome.pre]]] = True
        front = arrived & (hops < 0)
        hops[front] = distance
    return hops


class RecurrentCore(nn.Module):
    r"""K recurrent steps on a connectome, the only way from the input neurons to the output neurons.

    .. math::
        x^{(0)} = \mathrm{scatter}(s), \qquad
        x_v^{(t+1)} = \lambda_v \, x_v^{(t)} + \mathrm{conv}(x^{(t)})_v + [v \in \text{inputs}, t + 1 < K] \, s_v

    with the input s re-injected at the input neurons after each step but the last, and a learnable leak factor
    :math:`\lambda_v` per neuron: what a neuron keeps of its own state.

    Args:
        connectome: the graph.
        channels: F of a vector state, or C of maps; equal before and after each step.
        steps: K >= 1, how many synapses far a signal can travel.
        inputs, outputs: a role, or names of neurons.
        keep: initial :math:`\lambda_v`.
        calibrate: scale the initial weights so that the state's root mean square is multiplied by about 1 a step
            (see :meth:`gain_per_step`), without which K steps amplify or silence the signal.
        conv: further arguments of :class:`ConnectomeConv` (kernel_size, unit, activation, signs, norm, ...).

    Shapes:
        s: [B, inputs, F] or [B, inputs, C, H, W]; output: [B, outputs, ...] with the same features.

    Raises:
        ValueError: no inputs or outputs, or an output neuron that no input reaches in K steps.
    """

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
        keep: float = 0.5,
        calibrate: bool = True,
        **conv: Any,
    ) -> None:
        super().__init__()
        if not isinstance(steps, int) or steps < 1:
            raise invalid(
                "steps", "a whole number >= 1", steps, "use steps=4, which reaches every motor neuron of the worm"
            )
        if not 0 <= keep < 1:
            raise invalid("keep", "in [0, 1)", keep, "use 0.5; 1 would never forget")
        sources = select_neurons(connectome, inputs, "inputs")
        targets = select_neurons(connectome, outputs, "outputs")
        _check_reach(connectome, sources, targets, steps)
        self.connectome, self.steps, self.keep_init, self.calibrate = connectome, steps, keep, calibrate
        self.register_buffer("input_index", torch.from_numpy(sources), persistent=False)
        self.register_buffer("output_index", torch.from_numpy(targets), persistent=False)
        self.conv = ConnectomeConv(connectome, channels, channels, **conv)
        self.keep = nn.Parameter(torch.empty(connectome.num_neurons))
        self.reset_parameters()

    @property
    def num_inputs(self) -> int:
        """Number of input neurons."""
        return len(self.input_index)

    @property
    def num_outputs(self) -> int:
        """Number of output neurons."""
        return len(self.output_index)

    def reset_parameters(self) -> None:
        """Draw all parameters anew; with `calibrate`, then bring the gain per step near 1."""
        self.conv.reset_parameters()
        nn.init.constant_(self.keep, self.keep_init)
        if self.calibrate:
            for _ in range(_CALIBRATION_ROUNDS):
                # Damped: the kept share of the state does not scale with the weights.
                self.conv.weights.rescale(self.gain_per_step() ** -1.5)

    @torch.no_grad()
    def gain_per_step(self, samples: int = _CALIBRATION_SAMPLES) -> float:
        """By how much one step multiplies the root mean square of a random state, without new input.

        Returns:
            The geometric mean over a few steps, started from white noise at all neurons (its own fixed generator, so
            that measuring changes no other random number).
        """
        generator = torch.Generator().manual_seed(0)
        window = () if self.conv.kernel_size is None else (4, 4)
        shape = (samples, self.connectome.num_neurons, self.conv.in_channels, *window)
        state = torch.randn(shape, generator=generator).to(self.keep)
        gains = []
        for _ in range(_CALIBRATION_STEPS):
            state = state / state.square().mean().sqrt()
            state = self.step(state)
            gains.append(state.square().mean().sqrt())
        return float(torch.stack(gains).log().mean().exp())

    def step(self, state: Float[Tensor, "batch neuron *feature"]) -> Float[Tensor, "batch neuron *feature"]:
        """One step without input: what each neuron keeps plus what arrives."""
        mask = self.conv.neuron_mask
        keep = self.keep if mask is None else self.keep * mask
        # Under autocast single operations may change the type; the state keeps its own.
        arrived = self.conv(state).to(state.dtype)
        return torch.addcmul(arrived, state, keep.to(state.dtype).reshape(-1, *[1] * (state.dim() - 2)))

    def forward(self, signal: Float[Tensor, "batch input *feature"]) -> Float[Tensor, "batch output *feature"]:
        """Carry the signal from the input neurons to the output neurons."""
        return self.states(signal).index_select(1, self.output_index)

    def states(self, signal: Float[Tensor, "batch input *feature"]) -> Float[Tensor, "batch neuron *feature"]:
        """The state of all neurons after K steps."""
        if signal.dim() < 3 or signal.shape[1] != self.num_inputs:
            expected = f"of shape [B, {self.num_inputs}, ...] (one entry per input neuron)"
            raise invalid("signal", expected, list(signal.shape), "see core.input_index for the order")
        if self.conv.neuron_mask is not None:
            silent = self.conv.neuron_mask[self.input_index].to(signal.dtype)
            signal = signal * silent.reshape(-1, *[1] * (signal.dim() - 2))
        empty = signal.new_zeros(signal.shape[0], len(self.keep), *signal.shape[2:])
        state = empty.index_copy(1, self.input_index, signal)
        for step in range(self.steps):
            state = self.step(state)
            if step + 1 < self.steps:
                state = state.index_add(1, self.input_index, signal)
        return state

    def lesion(self, *, neurons: Iterable[str] = (), edges: Iterable[int] = ()) -> None:
        """Silence neurons or edges, see :meth:`ConnectomeConv.lesion`."""
        self.conv.lesion(neurons=neurons, edges=edges)

    def heal(self) -> None:
        """Undo all lesions."""
        self.conv.heal()

    def extra_repr(self) -> str:
        return f"steps={self.steps}, inputs={self.num_inputs}, outputs={self.num_outputs}"


def _check_reach(connectome: Connectome, sources: NDArray[np.int64], targets: NDArray[np.int64], steps: int) -> None:
    hops = hops_from(connectome, sources)[targets]
    missed = (hops < 0) | (hops > steps)
    if not missed.any():
        return
    names = ", ".join(connectome.names[targets[missed]][:5].tolist()) + (", ..." if missed.sum() > 5 else "")
    reachable = not (hops < 0).any()
    remedy = f"use steps >= {hops.max()}" if reachable else "name in outputs= only neurons with a path from the inputs"
    got = f"{int(missed.sum())} of {len(targets)} out of reach ({names})"
    raise invalid("outputs", f"reachable from the inputs in {steps} steps", got, remedy)
