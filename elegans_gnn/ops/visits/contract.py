"""The contract of the tensor network's operators: schema, fake and FLOPs, side by side.

    elegans_gnn::visits_forward            input [R, 1, F], carry [R, c, F], units [R, n, F] -> the three exports
    elegans_gnn::visits_backward           their gradients -> gradients of the three sources and of the edge weights
    elegans_gnn::tensor_network_forward    input, parameters, plan -> final states, and a block of what backward needs
    elegans_gnn::tensor_network_backward   gradient of the final states -> gradients of input and parameters

The operators are opaque to torch.compile and torch.export, which therefore see a handful of nodes and not thousands of
synapses. Visits work element by element and count no FLOPs.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from elegans_gnn.ops._backends import OperatorFamily
from elegans_gnn.ops._contract import define
from elegans_gnn.ops.visits.program import (
    KEEP_ARGUMENTS,
    Settings,
    StageShapes,
    kept_parts,
    stage_shapes,
    stage_sizes,
)

# "reference" is the loop over synapses, which belongs to the layer.
VISITS = OperatorFamily("a tensor network", ("reference", "torch", "native"), (torch.float32, torch.float64))

_PROGRAM = "Tensor loads, Tensor code, int[] exports, str fuse, str norm, float eps, str backend"
_NETWORK = (
    "Tensor x, Tensor? carried, Tensor weight, Tensor bias, Tensor edge_weight, Tensor? rows, Tensor inputs, "
    "Tensor[] programs, int[] layout, str activation, bool unit_norm, str fuse, str norm, float eps, int keep, "
    "str backend"
)


class NetworkCall(NamedTuple):
    """The arguments of both passes through the dense stages."""

    x: Tensor  # [R, F]
    carried: Tensor | None  # [R, N, F]
    weight: Tensor  # [U, F, F]
    bias: Tensor  # [U, F]
    edge_weight: Tensor  # [E], or empty
    # Parameter rows of the unit applications, stage after stage; None if that is every row once, in order.
    rows: Tensor | None
    # [n_0] what stage 0 takes: 0 for x, v + 1 for neuron v's carried state; empty if everything takes x.
    inputs: Tensor
    programs: list[Tensor]  # loads and code of each stage, alternating
    settings: Settings

    @classmethod
    def read(cls, *arguments: Any) -> NetworkCall:
        """From the flat arguments of the schema."""
        return cls._make((*arguments[:8], Settings(*arguments[8:])))

    def flat(self) -> tuple[Any, ...]:
        """The arguments of the schema."""
        return (*self[:8], *self.settings)

    def shapes(self) -> tuple[list[StageShapes], tuple[bool, bool, bool, bool]]:
        """The tensors of every stage, and which of them stay for the backward pass."""
        first = 1 if self.carried is None or not len(self.inputs) else len(self.inputs)
        exact = self.x.dtype in (torch.float32, torch.float64)
        parts = kept_parts(self.settings, weighted=self.edge_weight.numel() > 0, exact=exact)
        samples, feature = self.x.shape
        return stage_shapes(samples, feature, first, self.settings.layout), parts

    def kept_shapes(self) -> list[tuple[int, int, int]]:
        """What the kept block holds, one after the other."""
        shapes, parts = self.shapes()
        return [shape for stage in shapes for shape, kept in zip(stage, parts, strict=True) if kept]

    def final_shape(self) -> tuple[int, int, int]:
        """[R, M, F], the final states."""
        finished = sum(size.finished for size in stage_sizes(self.settings.layout))
        return self.x.shape[0], finished, self.x.shape[1]


def empty_exports(
    sources: list[Tensor], edge_weight: Tensor, loads: Tensor, *rest: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """Memory for the unit inputs, the carry and the finished states of a program."""
    exports = rest[1]
    rows, _, feature = sources[0].shape
    unit_inputs, carry, finished = (sources[0].new_empty((rows, count, feature)) for count in exports)
    return unit_inputs, carry, finished


def visits_gradients(
    grads: list[Tensor], sources: list[Tensor], edge_weight: Tensor, neurons: list[int], *rest: Any
) -> list[Tensor]:
    """Memory for the gradients of the sources and the edge weights; empty where none is wanted."""
    need, need_weight = rest[:2]
    rows, _, feature = grads[0].shape
    shapes = [(rows, count, feature) if wanted else (0,) for count, wanted in zip(neurons, need, strict=True)]
    grad_weight = edge_weight.new_empty(edge_weight.shape if need_weight else (0,))
    return [*[grads[0].new_empty(shape) for shape in shapes], grad_weight]


def _network_results(*arguments: Any) -> tuple[Tensor, Tensor]:
    call = NetworkCall.read(*arguments)
    return call.x.new_empty(call.final_shape()), call.x.new_empty(sum(map(math.prod, call.kept_shapes())))


def _network_gradients(grad: Tensor, kept: Tensor, *arguments: Any) -> list[Tensor]:
    call = NetworkCall.read(*arguments)
    x = call.x
    states = x.new_empty((x.shape[0], 0, x.shape[1])) if call.carried is None else torch.empty_like(call.carried)
    return [torch.empty_like(x), states, *map(torch.empty_like, (call.weight, call.bias, call.edge_weight))]


def _network_flops(*arguments: Any, **_: Any) -> int:
    """One product [R, F] @ [F, F] for each application of a unit; the arguments are shapes."""
    call = NetworkCall.read(*arguments)
    samples, features = call.x
    return 2 * samples * features**2 * sum(size.units for size in stage_sizes(call.settings.layout))


def _network_backward_flops(grad: Any, kept: Any, *arguments: Any, **_: Any) -> int:
    """The products for the gradients of input and weight, and the forward ones again where they were not kept."""
    kept_arguments = NetworkCall.read(*arguments).settings.keep == KEEP_ARGUMENTS
    return (2 if kept_arguments else 3) * _network_flops(*arguments)


visits_forward = define(
    f"visits_forward(Tensor[] sources, Tensor edge_weight, {_PROGRAM}) "
    "-> (Tensor unit_inputs, Tensor carry, Tensor finished)",
    empty_exports,
)
visits_backward = define(
    "visits_backward(Tensor[] grads, Tensor[] sources, Tensor edge_weight, int[] neurons, bool[] need, "
    f"bool need_weight, {_PROGRAM}) -> Tensor[]",
    visits_gradients,
)
network_forward = define(
    f"tensor_network_forward({_NETWORK}) -> (Tensor final, Tensor kept)", _network_results, _network_flops
)
network_backward = define(
    f"tensor_network_backward(Tensor grad, Tensor kept, {_NETWORK}) -> Tensor[]",
    _network_gradients,
    _network_backward_flops,
)
