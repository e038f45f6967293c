"""ConnectomeConv: message passing along the synapses of a nervous system, with a learnable weight per edge."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from elegans_gnn import ops
from elegans_gnn._shapes import Float
from elegans_gnn.errors import invalid, unknown_name
from elegans_gnn.nn._activations import activation_named
from elegans_gnn.nn._call_graph import CallGraph, call_graph, one_tensor
from elegans_gnn.nn._edge_weights import GAP, EdgeWeights, check_connectome
from elegans_gnn.nn._filter_bank import FILTERS, FilterBank, check_filters, depthwise, weighted
from elegans_gnn.nn._lesions import Lesioned, spread
from elegans_gnn.nn._units import NeuronUnit
from elegans_gnn.sparse import GraphLike, SparseAdjacency, to_adjacency

with warnings.catch_warnings():
    # PyG 2.8 scripts helpers while it is imported, and torch 2.14 warns about it: users cannot change that.
    warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated", category=FutureWarning)
    from torch_geometric.nn import MessagePassing

if TYPE_CHECKING:
    from elegans_gnn.connectome import Connectome

REDUCES = ("sum", "mean")
NORMS = ("layer",)
BIASES = ("neuron", "unit")


class ConnectomeConv(MessagePassing, Lesioned):
    r"""Message passing on a connectome, with a learnable weight per synapse and a unit per neuron.

    .. math::
        y_v = \mathrm{act}\Big(\mathrm{norm}\big(U_v \sum_{e = (u \to v)} w_e \, x_u + b_v\big)\Big)

    Chemical synapses and gap junctions are parallel edges; the two directions of a gap junction share one weight.
    There is no root term: the leak, a neuron's share of its own state, belongs to :class:`RecurrentCore`. The sum is
    one fused operation (:func:`elegans_gnn.ops.aggregate`) that never builds a tensor of edges times features. With
    message hooks or in PyG's explain mode, the layer runs the unfused `propagate` instead.

    Args:
        connectome: the graph; the neuron axis is in its neuron order, the weights are in its edge order.
        in_channels, out_channels: features F of a vector, or channels C of maps; in_channels=-1: as the first input.
        kernel_size: None for vectors; an odd k makes the units convolutions on maps, unless there are `filters`.
        filters: None, or who owns filters of k x k: ``"synapse"`` (w_e is a filter; the two directions of a gap
            junction share one), ``"neuron"``, ``"role"`` or ``"shared"`` (a depthwise filter per neuron, per role or
            for all, after the sum). Units are then 1 x 1: they only mix channels.
        unit: ``"shared"`` (one for all neurons), ``"role"`` or ``"neuron"``.
        edge_channels: a weight (or filter) per edge and input channel, w [E, in_channels], instead of w [E].
        gap: ``"coupled"`` passes w x_u like a chemical synapse; ``"diffusive"`` passes w (x_u - x_v).
        reduce: ``"sum"``, or ``"mean"`` over the incoming edges.
        init, signs, gain: see :class:`EdgeWeights`.
        norm: None or ``"layer"`` (over all features of a neuron, one scale and shift per channel).
        activation: None, ``"celu"``, ``"elu"``, ``"gelu"``, ``"hardshrink"``, ``"hardsigmoid"``, ``"hardswish"``,
            ``"hardtanh"``, ``"leaky_relu"``, ``"logsigmoid"``, ``"mish"``, ``"relu"``, ``"relu6"``, ``"rrelu"``,
            ``"selu"``, ``"sigmoid"``, ``"silu"``, ``"softplus"``, ``"softshrink"``, ``"softsign"``, ``"tanh"``,
            ``"tanhshrink"``; in Python also any elementwise callable.
        bias: ``"neuron"`` (b_v per neuron and channel), ``"unit"`` (per unit and channel), or None.

    Shapes:
        x: [B, N, F] or [N, F] for vectors, [B, N, C, H, W] for maps (4-D input is refused: its axes are ambiguous).
            With the edges of k copies of the graph, N is k times as large.
        output: as x with out_channels.

    Raises:
        ValueError: an unknown option, or an input of another shape; the message says what to do.
    """

    _diffusive: Tensor | None
    bank: FilterBank | None

    def __init__(
        self,
        connectome: Connectome,
        in_channels: int,
        out_channels: int,
        *,
        kernel_size: int | None = None,
        filters: str | None = None,
        unit: str = "shared",
        edge_channels: bool = False,
        gap: str = "coupled",
        reduce: str = "sum",
        init: str = "fan-in",
        signs: str | NDArray[np.int64] | None = None,
        gain: float = 1.0,
        norm: str | None = None,
        activation: str | Callable[[Tensor], Tensor] | None = None,
        bias: str | None = "neuron",
    ) -> None:
        for argument, value, known in (
            ("gap", gap, ("coupled", "diffusive")),
            ("reduce", reduce, REDUCES),
            ("norm", norm, (None, *NORMS)),
            ("bias", bias, (None, *BIASES)),
            ("filters", filters, (None, *FILTERS)),
        ):
            if value not in known:
                raise unknown_name(argument, str(value), map(str, known))
        check_connectome(connectome)
        super().__init__(aggr=reduce, node_dim=1)
        self.connectome = connectome
        self.adjacency = SparseAdjacency.from_connectome(connectome)
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        self.reduce, self.gap = reduce, gap
        self.activation = activation_named(activation)
        self.filters = filters
        self.bank = None
        window = kernel_size if filters is None else 1
        self.unit = NeuronUnit(connectome, in_channels, out_channels, unit=unit, kernel_size=window)
        channels, of_edge = in_channels if edge_channels else None, kernel_size if filters == "synapse" else None
        self.weights = EdgeWeights(
            connectome, channels, kernel_size=of_edge, init=init, signs=signs, gain=gain, reduce=reduce
        )
        if filters is not None:
            if kernel_size is None:
                raise invalid("kernel_size", "an odd integer where there are filters", None, "use kernel_size=3")
            if filters != "synapse":
                self.bank = FilterBank(connectome, in_channels, kernel_size, filters)
        biases = {"neuron": connectome.num_neurons, "unit": self.unit.num_units, None: 0}[bias]
        self.bias_per = bias
        self.bias = nn.Parameter(torch.empty(biases, out_channels)) if bias else None
        self.norm = nn.GroupNorm(1, out_channels) if norm else None
        self.register_buffer("edge_mask", None, persistent=False)
        self.register_buffer("neuron_mask", None, persistent=False)
        is_gap = torch.from_numpy(connectome.kinds == GAP)
        self.register_buffer(
            "_diffusive", is_gap.float() if gap == "diffusive" and is_gap.any() else None, persistent=False
        )
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all parameters again from torch's generator; biases start at zero."""
        super().reset_parameters()
        self.weights.reset_parameters()
        self.unit.reset_parameters()
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        if self.norm is not None:
            self.norm.reset_parameters()
        if self.bank is not None:
            self.bank.reset_parameters()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ConnectomeConv:
        super()._apply(fn, recurse)
        self.adjacency = self.adjacency.to(self.weights.theta.device)
        return self

    @property
    def edge_index(self) -> Tensor:
        """[2, E]: the edges of this layer's own connectome."""
        return self.adjacency.edge_index

    def edge_weight(self) -> Float[Tensor, "edge *channel_and_tap"]:
        """The weights (or filters) w_e that the layer applies, in edge order: tied, signed and lesioned."""
        return self._lesioned(self.weights(), CallGraph(self.edge_index, 1, None, None, self.adjacency))

    def _lesioned(self, weight: Tensor, graph: CallGraph) -> Tensor:
        mask = None if self.edge_mask is None else graph.of_edges(self.edge_mask)
        if self.neuron_mask is not None:
            ends = self.neuron_mask.repeat(max(graph.copies, 1))[graph.edges].prod(0)
            mask = ends if mask is None else mask * ends
        return weight if mask is None else weight * spread(mask, weight.dim()).to(weight.dtype)

    def forward(
        self, x: Tensor | tuple[Tensor, Tensor], edge_index: GraphLike | None = None, edge_weight: Tensor | None = None
    ) -> Tensor:
        """Send x along the synapses.

        Args:
            x: the state, see Shapes above. PyG's pair (x, x) of sources and targets must be one tensor twice.
            edge_index: None, or this layer's own edges in any order, or those of k copies of the graph (a PyG batch):
                the learned weights then belong to these edges. Also as a PyG, torch.sparse or dense matrix
                (transposed: row = target). Another graph needs an edge_weight.
            edge_weight: weights [E] or [E, in_channels] in the order of edge_index, instead of the learned ones; on a
                layer with a filter per synapse, filters [E, k, k] or [E, in_channels, k, k].
                Lesions act on them too; on another graph, only lesions of neurons can. The values of a matrix are
                weights too, unless they are all 1 (or the number of own edges between the two neurons).

        Raises:
            ValueError: x, edge_index or edge_weight of another shape; another graph without weights; another graph on a
                layer with lesions of edges or diffusive gap junctions.
        """
        x = one_tensor(x)
        batched = self._batched(x)
        graph = call_graph(self.adjacency, edge_index, edge_weight, batched.shape[1])
        self._check_neurons(batched.shape[1], graph)
        if self.filters == "synapse" and graph.weight is not None:
            check_filters(graph.weight, self.in_channels, self.weights.window)
        arrived = self._arrived(batched, graph)
        out = self._update(arrived if graph.copies < 2 else self._per_copy(arrived))
        if self.neuron_mask is not None:
            out = out * spread(self.neuron_mask, out.dim() - 1).to(out.dtype)
        if graph.copies > 1:
            out = out.reshape(*batched.shape[:2], *out.shape[2:])
        return out if x.dim() == batched.dim() else out[0]

    def _arrived(self, x: Tensor, graph: CallGraph) -> Tensor:
        """What arrives at each neuron, before the units."""
        traced = torch.compiler.is_compiling() and graph.weight is not None and graph.adjacency is None
        if self._needs_messages() or traced:
            weight, diffusive = self._in_call_order(graph)
            target_weight = torch.zeros_like(weight) if diffusive is None else weight * spread(diffusive, weight.dim())
            size = (x.shape[1], x.shape[1])
            return self.propagate(graph.edges, size=size, x=x, edge_weight=weight, target_weight=target_weight)
        if graph.copies and graph.weight is None:
            states = x if graph.copies == 1 else self._per_copy(x)
            return self._fused(states, self.adjacency, self.edge_weight(), self._diffusive)
        adjacency = graph.adjacency or to_adjacency(graph.edges, x.shape[1])[0]
        return self._fused(x, adjacency, *self._in_call_order(graph))

    def _per_copy(self, x: Tensor) -> Tensor:
        """[B, k N, ...] -> [B k, N, ...]"""
        return x.reshape(-1, self.adjacency.num_neurons, *x.shape[2:])

    def _in_call_order(self, graph: CallGraph) -> tuple[Tensor, Tensor | None]:
        """The weights and the diffusive edges in the order of the call."""
        weight = graph.of_edges(self.weights()) if graph.weight is None else graph.weight
        diffusive = None if self._diffusive is None else graph.of_edges(self._diffusive)
        return self._lesioned(weight, graph), diffusive

    def _fused(self, x: Tensor, adjacency: SparseAdjacency, weight: Tensor, diffusive: Tensor | None) -> Tensor:
        if self.filters == "synapse":
            y = ops.synaptic_conv2d(x, weight, adjacency)
            y = y / spread(adjacency.in_degree.clamp_min(1), 4) if self.reduce == "mean" else y
        else:
            y = ops.aggregate(x, weight, adjacency, reduce=self.reduce)
        if diffusive is None:
            return y
        total = weight.new_zeros(adjacency.num_neurons, *weight.shape[1:])
        total = total.index_add(0, adjacency.edge_index[1], weight * spread(diffusive, weight.dim()))
        if self.reduce == "mean":
            total = total / spread(adjacency.in_degree.clamp_min(1), total.dim())
        return y - weighted(total, x)

    def message(self, x_i: Tensor, x_j: Tensor, edge_weight: Tensor, target_weight: Tensor) -> Tensor:
        """The unfused message of each edge: w_e x_u, and w_e (x_u - x_v) for a diffusive gap junction."""
        message = weighted(edge_weight, x_j)
        return message if self._diffusive is None else message - weighted(target_weight, x_i)

    def _update(self, arrived: Tensor) -> Tensor:
        if self.bank is not None:
            arrived = depthwise(arrived, self.bank(arrived.shape[1]))
        out = self.unit(arrived)
        if self.bias is not None:
            bias = self.bias if self.bias_per == "neuron" else self._unit_bias(out.shape[1])
            out = out + spread(bias, out.dim() - 1).to(out.dtype)
        if self.norm is not None:
            out = self.norm(out.flatten(0, 1)).reshape(out.shape)
        return out if self.activation is None else self.activation(out)

    def _unit_bias(self, neurons: int) -> Tensor:
        assert self.bias is not None
        if len(self.bias) == 1:
            return self.bias.expand(neurons, -1)
        return self.bias.index_select(0, self.unit.group)

    def _needs_messages(self) -> bool:
        """Whether a hook or explain mode reads single messages, which the fused sum never builds."""
        return bool(
            self.explain
            or self._message_forward_pre_hooks
            or self._message_forward_hooks
            or self._propagate_forward_pre_hooks
            or self._propagate_forward_hooks
            or self._aggregate_forward_pre_hooks
            or self._aggregate_forward_hooks
        )

    def _batched(self, x: Tensor) -> Tensor:
        """x with its batch axis, after every check of its shape."""
        maps = self.kernel_size is not None
        ranks = (5,) if maps else (2, 3)
        expected = "[B, N, C, H, W]" if maps else "[B, N, F] or [N, F]"
        if x.dim() not in ranks:
            remedy = "reshape it to these axes"
            if x.dim() == 4:
                remedy = "add the missing axis: x[None] for one sample's [N, C, H, W], x[:, :, None] for [B, N, H, W]"
            if x.dim() in (2, 3, 5):
                remedy = "set kernel_size=None for vectors, an odd kernel_size for maps"
            raise invalid("x", f"of shape {expected}", list(x.shape), remedy)
        batched = x[None] if x.dim() == 2 else x
        if self.in_channels == -1:
            self._materialize(batched.shape[2])
        if batched.shape[2] != self.in_channels:
            axis = "channels" if maps else "features"
            raise invalid("x", f"of {self.in_channels} {axis}", batched.shape[2], "set in_channels to match")
        return batched

    def _check_neurons(self, neurons: int, graph: CallGraph) -> None:
        expected = self.adjacency.num_neurons
        if graph.copies:
            if neurons == graph.copies * expected:
                return
            raise invalid("x", f"of {expected} neurons", neurons, "order the neuron axis as connectome.names")
        for unknown, what, remedy in (
            (self._diffusive is not None, "whose gap junctions are unknown", "use gap='coupled'"),
            (self.edge_mask is not None, "while a lesion silences edges", "call heal()"),
            (self.neuron_mask is not None and neurons != expected, "while a lesion silences neurons", "call heal()"),
        ):
            if unknown:
                raise invalid("edge_index", "the layer's own graph", f"another graph, {what}", remedy)
        banks = 1 if self.bank is None else self.bank.num_filters
        if neurons != expected and (self.bias_per == "neuron" or max(self.unit.num_units, banks) > 1):
            remedy = 'order the neuron axis as connectome.names; for graphs of another size use unit="shared" and '
            remedy += 'bias="unit"' if banks == 1 else 'bias="unit", and filters="shared" or "synapse"'
            raise invalid("x", f"of {expected} neurons", neurons, remedy)

    def _materialize(self, in_channels: int) -> None:
        """Create and draw the parameters that in_channels=-1 left open."""
        self.in_channels = in_channels
        self.unit.materialize(in_channels)
        self.weights.materialize(in_channels)
        if self.bank is not None:
            self.bank.materialize(in_channels)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        saved = state_dict.get(f"{prefix}unit.weight")
        if self.in_channels == -1 and saved is not None and not is_lazy(saved):
            self._materialize(saved.shape[2])
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.in_channels}, {self.out_channels}, connectome={self.connectome.name!r}, "
            f"neurons={self.connectome.num_neurons}, edges={self.connectome.num_edges}, "
            f"parameters={self.weights.num_parameters}, unit={self.unit.unit!r}, kernel_size={self.kernel_size}"
            + ("" if self.filters is None else f", filters={self.filters!r}")
            + ")"
        )
