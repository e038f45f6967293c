"""The middle of every model here as one argument: the connectome, a frozen one, or what stands in for it."""

from __future__ import annotations

import inspect
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor, nn

from elegans_gnn._shapes import Float
from elegans_gnn.connectome import Neurons, select_neurons
from elegans_gnn.errors import invalid, unknown_name
from elegans_gnn.models._blocks import MAP_SIZE
from elegans_gnn.nn import ConnectomeConv, RecurrentCore, Reservoir, TensorNetwork

if TYPE_CHECKING:
    from elegans_gnn.connectome import Connectome


class MessagePassingCore(RecurrentCore):
    """:class:`RecurrentCore` on vectors, without a neuron that is input and output at once.

    Such a neuron would carry a signal from the encoder to the readout without any synapse.
    """

    def __init__(self, connectome: Connectome, features: int, **options: Any) -> None:
        super().__init__(connectome, features, **options)
        both = np.intersect1d(self.input_index.numpy(), self.output_index.numpy())
        if len(both):
            got = ", ".join(connectome.names[both][:5].tolist())
            raise invalid("inputs and outputs", "without a neuron in common", got, "drop it from one of the two")
        self.features_in = self.features_out = features


class FrozenCore(MessagePassingCore):
    """The same as it was drawn: nothing in it trains, and gradients pass through it to what comes before."""

    def __init__(self, connectome: Connectome, features: int, **options: Any) -> None:
        super().__init__(connectome, features, **options)
        self.requires_grad_(False)


class SilentCore(MessagePassingCore):
    """The same with every synapse cut for good, so that no signal reaches an output: the floor of a comparison."""

    def __init__(self, connectome: Connectome, features: int, **options: Any) -> None:
        super().__init__(connectome, features, **options)
        self.heal()

    def heal(self) -> None:
        """Undo all other lesions; the synapses stay cut."""
        super().heal()
        self.lesion(edges=range(self.connectome.num_edges))


class TensorNetworkCore(TensorNetwork):
    """:class:`TensorNetwork` as a core: one vector that all sensory neurons take, one vector out."""

    def __init__(self, connectome: Connectome, features: int, **options: Any) -> None:
        super().__init__(connectome, features, **options)
        self.num_inputs = self.num_outputs = 1
        self.features_in = self.features_out = features


class ReservoirCore(Reservoir):
    """:class:`Reservoir` as a core; only what its readout takes from the input carries a gradient backwards."""

    def __init__(self, connectome: Connectome, features: int, **options: Any) -> None:
        super().__init__(connectome, features, **options)
        self.num_inputs = self.num_outputs = 1
        self.features_in = self.features_out = features


class DirectCore(nn.Module):
    """No core: what the input neurons hold is read as it is."""

    def __init__(self, connectome: Connectome, features: int, *, inputs: Neurons = "sensory") -> None:
        super().__init__()
        self.connectome = connectome
        self.num_inputs = self.num_outputs = len(select_neurons(connectome, inputs, "inputs"))
        self.features_in = self.features_out = features

    def forward(self, signal: Float[Tensor, "batch input feature"]) -> Float[Tensor, "batch input feature"]:
        """The signal itself."""
        return signal


class DenseCore(nn.Module):
    """One learned linear map, with bias, from all features of the inputs to all features of the outputs."""

    def __init__(
        self, connectome: Connectome, features: int, *, inputs: Neurons = "sensory", outputs: Neurons = "motor"
    ) -> None:
        super().__init__()
        self.connectome = connectome
        self.num_inputs = len(select_neurons(connectome, inputs, "inputs"))
        self.num_outputs = len(select_neurons(connectome, outputs, "outputs"))
        self.features_in = self.features_out = features
        self.map = nn.Linear(self.num_inputs * features, self.num_outputs * features)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the map so that white input of unit variance gives output of unit variance; no bias at first."""
        nn.init.normal_(self.map.weight, std=1 / math.sqrt(self.map.in_features))
        nn.init.zeros_(self.map.bias)

    def forward(self, signal: Float[Tensor, "batch input feature"]) -> Float[Tensor, "batch output feature"]:
        """Map the signal."""
        return self.map(signal.flatten(1)).unflatten(1, (self.num_outputs, self.features_out))


class RandomCore(DenseCore):
    """The same map as it was drawn, never trained."""

    def __init__(self, connectome: Connectome, features: int, **options: Any) -> None:
        super().__init__(connectome, features, **options)
        self.requires_grad_(False)


CORES: dict[str, type[nn.Module]] = {
    "message-passing": MessagePassingCore,
    "frozen": FrozenCore,
    "tensor-network": TensorNetworkCore,
    "reservoir": ReservoirCore,
    "none": DirectCore,
    "silent": SilentCore,
    "dense": DenseCore,
    "random": RandomCore,
}
# Set by the models, or of no use on one vector per neuron.
_FIXED = {"self", "connectome", "features", "options", "channels", "in_channels", "out_channels", "conv", "dim"}
_FIXED |= {"kernel_size", "recurrence"}
_OPTIONS_OF: tuple[tuple[type[nn.Module], tuple[type[nn.Module], ...]], ...] = (
    (RecurrentCore, (RecurrentCore, ConnectomeConv)),
    (Reservoir, (Reservoir, TensorNetwork)),
    (TensorNetwork, (TensorNetwork,)),
    (DenseCore, (DenseCore,)),
    (DirectCore, (DirectCore,)),
)


def core_options(core: str) -> tuple[str, ...]:
    """Names of the keywords that :func:`build_core` takes for a core, sorted.

    Raises:
        ValueError: no core of this name.
    """
    if core not in CORES:
        raise unknown_name("core", core, CORES)
    layers = next(layers for base, layers in _OPTIONS_OF if issubclass(CORES[core], base))
    return tuple(sorted({name for layer in layers for name in inspect.signature(layer).parameters} - _FIXED))


def build_core(connectome: Connectome, channels: int, core: str = "message-passing", **options: Any) -> nn.Module:
    """The core of a model, by name, on vectors of 16 C features: a 4 x 4 map of C channels per neuron.

    =================== ==========================================================================================
    ``message-passing`` K recurrent steps along the synapses (:class:`RecurrentCore`); its options and those of
                        :class:`ConnectomeConv`
    ``frozen``          the same as it was drawn, an echo state network; gradients pass through to the encoder
    ``tensor-network``  :class:`TensorNetwork` with dim = 16 C, its options; all sensory neurons take one vector
    ``reservoir``       :class:`Reservoir`, the same frozen. No gradient passes through it: an encoder in front of it
                        learns through the readout's query alone (``readout="cross"``, the default), and not at all
                        with a readout that has no such query
    ``none``            the inputs' maps are read directly; option ``inputs``
    ``silent``          message passing with every synapse cut: nothing arrives
    ``dense``           one learned linear map from all inputs to all outputs; options ``inputs``, ``outputs``
    ``random``          the same as it was drawn, scaled to a gain of about 1
    =================== ==========================================================================================

    Args:
        connectome: the graph; of ``none``, ``dense`` and ``random`` only the numbers of neurons count.
        channels: C >= 1.
        core: see above.
        options: for the core, see :func:`core_options`.

    Returns:
        A module [B, num_inputs, features_in] -> [B, num_outputs, features_out] with these four as attributes.

    Raises:
        ValueError: an unknown core or option, or inputs and outputs that overlap or that the core cannot use.
    """
    known = core_options(core)
    for name in options:
        if name not in known:
            raise unknown_name("option", name, known)
    if channels < 1:
        raise invalid("channels", ">= 1", channels, "use channels=1, one 4 x 4 map per neuron")
    return CORES[core](connectome, channels * MAP_SIZE**2, **options)
