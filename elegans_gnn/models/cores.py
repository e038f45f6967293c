"""The core of every model as one argument: the connectome, a frozen connectome, or a substitute to compare with.

A new core is one class here: its name in the class statement, its options as keyword-only arguments.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from elegans_gnn._shapes import Float
from elegans_gnn.connectome import Connectome, Neurons, select_neurons
from elegans_gnn.errors import Range, invalid, unknown_name
from elegans_gnn.models._base import Configurable, enter
from elegans_gnn.models._blocks import MAP_SIZE
from elegans_gnn.nn import ConnectomeConv, EdgeWeights, RecurrentCore, Reservoir, TensorNetwork
from elegans_gnn.nn.tensor_network.readout import READOUTS
from elegans_gnn.nn.tensor_network.rules import ACTIVATIONS

CHANNELS = Range(least=1, whole=True, remedy="use channels=1, one 4 x 4 map per neuron")
# Name -> class; classes enter it where they are defined.
CORES: dict[str, type[Core]] = {}


class Core(Configurable, nn.Module):
    """What connects a model's input neurons with its output neurons: ``class DenseCore(Core, name="dense")``.

    Args:
        connectome: the graph.
        features: of a neuron's state vector, or of the one vector that all sensory neurons take.

    Shapes:
        input: [B, num_inputs, features_in]; output: [B, num_outputs, features_out].
    """

    features_in: int
    features_out: int

    def __init_subclass__(cls, *, name: str | None = None, **others: Any) -> None:
        """Enter a core into :data:`CORES` under its name, if it has one; a name of another core is refused."""
        super().__init_subclass__(**others)
        if name is not None:
            enter(cls, (CORES, name))


class MessagePassingCore(Core, RecurrentCore, name="message-passing"):
    """K recurrent steps along the synapses (:class:`RecurrentCore`), with one vector per neuron.

    No neuron may be input and output at once: it would carry a signal from encoder to readout without any synapse.
    """

    forwards_to = (ConnectomeConv,)
    fixed = ("kernel_size", "filters")
    ranges = EdgeWeights.ranges

    def __init__(self, connectome: Connectome, features: int, **options: Any) -> None:
        super().__init__(connectome, features, **options)
        both = np.intersect1d(self.input_index.numpy(), self.output_index.numpy())
        if len(both):
            got = ", ".join(connectome.names[both][:5].tolist())
            raise invalid("inputs and outputs", "without a neuron in common", got, "drop it from one of the two")
        self.features_in = self.features_out = features


class FrozenCore(MessagePassingCore, name="frozen"):
    """Message passing with its initial weights, an echo state network; gradients pass through to the encoder."""

    def __init__(self, connectome: Connectome, features: int, **options: Any) -> None:
        super().__init__(connectome, features, **options)
        self.requires_grad_(False)


class OneVectorCore(Core):
    """A tensor network on one vector that all sensory neurons take; its output is one vector."""

    fixed = ("kernel_size", "recurrence")
    python_only = ("visit_rank",)
    choices: ClassVar = {"readout": READOUTS, "activation": ACTIVATIONS}

    def __init__(self, connectome: Connectome, features: int, **options: Any) -> None:
        super().__init__(connectome, features, **options)
        self.num_inputs = self.num_outputs = 1
        self.features_in = self.features_out = features


class TensorNetworkCore(OneVectorCore, TensorNetwork, name="tensor-network"):
    """:class:`TensorNetwork` as a core."""


class ReservoirCore(OneVectorCore, Reservoir, name="reservoir"):
    """:class:`Reservoir`, the tensor network with its initial weights.

    No gradient passes through it. An encoder in front of it learns through the readout's query alone
    (``readout="cross"``, the default), and not at all with a readout without such a query.
    """


class DirectCore(Core, name="none"):
    """No core: the output is the input.

    Args:
        inputs: neurons that take the encoder's output: a role, or names.
    """

    def __init__(self, connectome: Connectome, features: int, *, inputs: Neurons = "sensory") -> None:
        super().__init__()
        self.connectome = connectome
        self.num_inputs = self.num_outputs = len(select_neurons(connectome, inputs, "inputs"))
        self.features_in = self.features_out = features

    def forward(self, signal: Float[Tensor, "batch input feature"]) -> Float[Tensor, "batch input feature"]:
        """The signal itself."""
        return signal


class SilentCore(MessagePassingCore, name="silent"):
    """Message passing with every synapse cut: no signal reaches an output. The lower bound of a comparison."""

    def __init__(self, connectome: Connectome, features: int, **options: Any) -> None:
        super().__init__(connectome, features, **options)
        self.heal()

    def heal(self) -> None:
        """Undo all other lesions; the synapses stay cut."""
        super().heal()
        self.lesion(edges=range(self.connectome.num_edges))


class DenseCore(Core, name="dense"):
    """One learned linear map, with bias, from all features of the inputs to all features of the outputs.

    Args:
        inputs: neurons that take the encoder's output: a role, or names. Only their number counts.
        outputs: neurons that are read: a role, or names. Only their number counts.
    """

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
        """Draw the map so that white input of unit variance gives output of unit variance; the bias starts at 0."""
        nn.init.normal_(self.map.weight, std=1 / math.sqrt(self.map.in_features))
        nn.init.zeros_(self.map.bias)

    def forward(self, signal: Float[Tensor, "batch input feature"]) -> Float[Tensor, "batch output feature"]:
        """Map the signal."""
        return self.map(signal.flatten(1)).unflatten(1, (self.num_outputs, self.features_out))


class RandomCore(DenseCore, name="random"):
    """The linear map of ``dense`` with its initial weights, which never train."""

    def __init__(self, connectome: Connectome, features: int, **options: Any) -> None:
        super().__init__(connectome, features, **options)
        self.requires_grad_(False)


def core_class(core: str) -> type[Core]:
    """The class of a core; refuses unknown names."""
    if core not in CORES:
        raise unknown_name("core", core, CORES)
    return CORES[core]


def core_options(core: str) -> tuple[str, ...]:
    """Names of the keywords that :func:`build_core` takes for a core, sorted.

    Raises:
        ValueError: no core of this name.
    """
    return tuple(sorted(core_class(core).options()))


def build_core(connectome: Connectome, channels: int, core: str = "message-passing", **options: Any) -> nn.Module:
    """The core of a model, by name, on vectors of 16 C features: a 4 x 4 map of C channels per neuron.

    Args:
        connectome: the graph; of ``none``, ``dense`` and ``random`` only the numbers of neurons count.
        channels: C >= 1.
        core: a key of :data:`CORES`, whose classes say what each core does.
        options: for the core, see :func:`core_options`.

    Returns:
        A module [B, num_inputs, features_in] -> [B, num_outputs, features_out] with these four as attributes.

    Raises:
        ValueError: an unknown core or option, or inputs and outputs that overlap or that the core cannot use.
    """
    build = core_class(core)
    known = core_options(core)
    for name in options:
        if name not in known:
            raise unknown_name("option", name, known)
    CHANNELS.check("channels", channels)
    return build(connectome, channels * MAP_SIZE**2, **options)
