"""Learnable synapse strengths: one parameter per synapse, shared by the two directions of a gap junction."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parameter import is_lazy

from elegans_gnn._shapes import Float
from elegans_gnn.connectome import Connectome
from elegans_gnn.errors import Range, invalid, unknown_name

INITS = ("fan-in", "counts", "weights")
GAP = "gap"
INHIBITORY = frozenset({"GABA"})
EXCITATORY = frozenset({"acetylcholine", "glutamate"})


def check_kernel_size(kernel_size: int | None) -> None:
    """Refuse a filter without a middle."""
    if kernel_size is not None and (kernel_size < 1 or kernel_size % 2 == 0):
        raise invalid("kernel_size", "an odd integer (or None for vectors)", kernel_size, "use 1 or 3")


def check_connectome(connectome: object) -> None:
    """Refuse an edge_index or a PyG Data where a connectome belongs."""
    if not isinstance(connectome, Connectome):
        remedy = 'build one: Connectome.from_edges("mine", names, *edge_index.tolist()) or connectome.from_pyg(data)'
        raise invalid("connectome", "a Connectome", f"a {type(connectome).__name__}", remedy)


def tie_gap_junctions(connectome: Connectome) -> NDArray[np.int64]:
    r"""The parameter of each edge: its own for a chemical synapse, one for the two directions of a gap junction.

    .. math:: w_e = \theta_{p(e)}

    Args:
        connectome: the graph.

    Returns:
        p [E], int64. Parameters are numbered by first appearance in edge order, so that a graph without gap junctions
        gets 0 .. E - 1.
    """
    low = np.minimum(connectome.pre, connectome.post)
    high = np.maximum(connectome.pre, connectome.post)
    own = np.arange(connectome.num_edges)
    gap = np.flatnonzero(connectome.kinds == GAP)
    _, first, group = np.unique(low[gap] * connectome.num_neurons + high[gap], return_index=True, return_inverse=True)
    own[gap] = gap[first][group]
    return np.unique(own, return_inverse=True)[1].astype(np.int64)


def transmitter_signs(connectome: Connectome) -> NDArray[np.int64]:
    """The sign of each edge by the transmitters of its presynaptic neuron (Dale's law).

    GABA inhibits, acetylcholine and glutamate excite, gap junctions conduct (+1). The sign stays free for a neuron
    whose transmitters contradict each other, are monoamines only, or are unknown. Receptors can invert a sign: this is
    the usual approximation, not a measurement.

    Args:
        connectome: the graph.

    Returns:
        [E], int64: +1 excitatory, -1 inhibitory, 0 free.
    """
    listed = [set(text.split("+")) for text in connectome.transmitters.tolist()]
    of_neuron = np.array([bool(fast & EXCITATORY) - bool(fast & INHIBITORY) for fast in listed], dtype=np.int64)
    return np.where(connectome.kinds == GAP, 1, of_neuron[connectome.pre])


class EdgeWeights(nn.Module):
    r"""The learnable weights w_e of a connectome's edges.

    .. math:: w_e = \theta_{p(e)} \quad\text{or, where the sign is fixed,}\quad
        w_e = \operatorname{sign}_e \cdot \operatorname{softplus}(\theta_{p(e)})

    with one parameter p(e) for both directions of a gap junction (:func:`tie_gap_junctions`).

    Args:
        connectome: the graph.
        channels: None for one weight per edge, or C for one weight per edge and channel; -1 leaves C open until
            :meth:`materialize`.
        kernel_size: None, or an odd k for a filter of k x k taps in place of each weight; its taps share a sign where
            signs are fixed.
        init: ``"fan-in"`` draws w_e from N(0, gain^2 / fan-in); ``"counts"`` sets
            |w_e| = gain * count_e / sqrt(sum of squared counts into the target), with random signs; ``"weights"`` sets
            w_e = gain * connectome.weights[e], whatever the fan-in and `reduce`. The fan-in of filters counts their
            taps; "weights" become their middle taps.
        signs: None (every sign is learned) or ``"transmitter"`` (see :func:`transmitter_signs`); in Python also one of
            -1, 0 and +1 for each edge [E], where 0 means a learned sign.
        gain: root mean square that a target receives from sources of unit variance.
        reduce: ``"sum"`` or ``"mean"``, the aggregation that will use the weights. For the mean, the initial weights
            are larger by the in-degree, by which it divides.

    Shapes:
        output: [E], or [E, C] with channels, in the connectome's edge order; filters add [k, k].

    Raises:
        ValueError: an unknown init or signs, a gain that is not positive, signs of another shape, or signs that differ
            between the two directions of a gap junction; a graph without the weights or transmitters asked for, or
            weights that contradict the signs. Loading the weights of another graph raises a RuntimeError.
    """

    ranges: ClassVar = {"gain": Range(above=0, remedy="use 1.0 to keep the variance of the state")}
    edge_to_param: Tensor
    sign: Tensor | None
    wiring: Tensor
    _scale: Tensor

    def __init__(
        self,
        connectome: Connectome,
        channels: int | None = None,
        *,
        kernel_size: int | None = None,
        init: str = "fan-in",
        signs: str | NDArray[np.int64] | None = None,
        gain: float = 1.0,
        reduce: str = "sum",
    ) -> None:
        check_connectome(connectome)
        super().__init__()
        check_kernel_size(kernel_size)
        if init not in INITS:
            raise unknown_name("init", init, INITS)
        EdgeWeights.ranges["gain"].check("gain", gain)
        self.init = init
        self.gain = gain
        self.window = () if kernel_size is None else (kernel_size, kernel_size)
        weights = connectome.weights if init == "weights" else None
        if init == "weights" and weights is None:
            remedy = 'give the connectome weights=, or use init="counts"'
            raise invalid("init", "fan-in or counts on a graph without weights", repr(init), remedy)
        edge_to_param = tie_gap_junctions(connectome)
        self.num_parameters = int(edge_to_param.max()) + 1 if len(edge_to_param) else 0
        # An edge's parameter and sign follow from the graph. They are not saved, or another graph's could be loaded.
        self.register_buffer("edge_to_param", torch.from_numpy(edge_to_param), persistent=False)
        fixed = _signs(connectome, signs)
        if weights is not None and fixed is not None and (opposite := int((fixed * weights < 0).sum())):
            got = f"{opposite} weights of the opposite sign"
            raise invalid("signs", "those of connectome.weights", got, "use signs=None or numpy.sign(weights)")
        self.register_buffer("sign", None if fixed is None else torch.from_numpy(fixed), persistent=False)
        self.register_buffer("wiring", wiring_hash(connectome))
        self.register_buffer(
            "_scale", torch.from_numpy(_initial_scale(connectome, edge_to_param, init, reduce)), persistent=False
        )
        self.theta = (
            nn.UninitializedParameter() if channels == -1 else nn.Parameter(torch.empty(*self._shape(channels)))
        )
        self.reset_parameters()

    def _shape(self, channels: int | None) -> tuple[int, ...]:
        return (self.num_parameters, *(() if channels is None else (channels,)), *self.window)

    def materialize(self, channels: int) -> None:
        """Create and draw the parameters, whose number of channels -1 left open."""
        if is_lazy(self.theta):
            self.theta.materialize(self._shape(channels))
            self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weights again from torch's generator."""
        if is_lazy(self.theta):
            return
        scale = self.gain * self._scale.reshape(-1, *[1] * (self.theta.dim() - 1))
        noise = torch.randn_like(self.theta)
        with torch.no_grad():
            weight = scale * {"fan-in": noise, "counts": noise.sign(), "weights": self._middle(noise)}[self.init]
            if self.window and self.init != "weights":
                weight = weight / self.window[0]  # the root of the number of taps
            if self.sign is not None:
                weight = torch.where(self._fixed(), _inverse_softplus(weight.abs()), weight)
            self.theta.copy_(weight)

    def _middle(self, like: Tensor) -> Tensor:
        """Ones; for filters, ones at the middle tap and zeros elsewhere."""
        middle = torch.ones_like(like)
        if self.window:
            middle.zero_()[..., self.window[0] // 2, self.window[1] // 2] = 1
        return middle

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, metadata: Any, strict: bool, *rest: list[str]
    ) -> None:
        saved = state_dict.get(f"{prefix}wiring")
        if saved is not None and not torch.equal(saved.cpu(), self.wiring.cpu()):
            errors = rest[-1]
            errors.append(
                f"{prefix}wiring: these weights belong to another graph; build the layer on the connectome they were "
                "trained on (the checkpoint contains it)"
            )
            return
        super()._load_from_state_dict(state_dict, prefix, metadata, strict, *rest)

    @torch.no_grad()
    def rescale(self, factor: float) -> None:
        """Multiply every weight by a positive factor; fixed signs stay."""
        if self.sign is None:
            self.theta.mul_(factor)
            return
        fixed = self._fixed()
        size = factor * F.softplus(self.theta)
        self.theta.copy_(torch.where(fixed, _inverse_softplus(size), factor * self.theta))

    def _fixed(self) -> Tensor:
        """[P] or [P, 1]: which parameters pass through a softplus, since their sign is fixed."""
        assert self.sign is not None
        fixed = torch.zeros(self.theta.shape[0], dtype=torch.bool, device=self.theta.device)
        fixed[self.edge_to_param[self.sign != 0]] = True
        return fixed.reshape(-1, *[1] * (self.theta.dim() - 1))

    def forward(self) -> Float[Tensor, "edge *channel_and_tap"]:
        """The weights in edge order."""
        weight = self.theta.index_select(0, self.edge_to_param)
        if self.sign is None:
            return weight
        sign = self.sign.reshape(-1, *[1] * (weight.dim() - 1))
        return torch.where(sign == 0, weight, sign * F.softplus(weight))

    def extra_repr(self) -> str:
        signs = "" if self.sign is None else f", fixed_signs={int((self.sign != 0).sum())}"
        return f"edges={len(self.edge_to_param)}, parameters={list(self.theta.shape)}, init={self.init}{signs}"


def wiring_hash(connectome: Connectome) -> Tensor:
    """uint8 [32]: SHA-256 of the names and edges, which decide which weight belongs to which synapse."""
    digest = hashlib.sha256("\0".join(connectome.names.tolist()).encode())
    for ends in (connectome.pre, connectome.post):
        digest.update(ends.astype("<i8").tobytes())
    digest.update("\0".join(connectome.kinds.tolist()).encode())
    return torch.frombuffer(bytearray(digest.digest()), dtype=torch.uint8)


def edge_numbers(edges: Iterable[int], count: int) -> Tensor:
    """int64 numbers of the edges given by number or by a boolean mask [E]."""
    chosen = edges if isinstance(edges, Tensor) else torch.as_tensor(np.asarray(list(edges)))
    if chosen.dtype == torch.bool and chosen.shape == (count,):
        return chosen.nonzero()[:, 0]
    if not chosen.numel():
        return torch.empty(0, dtype=torch.int64)
    whole = not chosen.is_floating_point() and chosen.dtype != torch.bool and chosen.dim() == 1
    if not whole or chosen.min() < 0 or chosen.max() >= count:
        raise invalid("edges", f"edge numbers in 0..{count - 1} or a mask [{count}]", chosen.tolist(), "see edge_index")
    return chosen.to(torch.int64)


def _inverse_softplus(size: Tensor) -> Tensor:
    size = size.clamp_min(1e-6)  # a size of zero would need a parameter of minus infinity
    return size + torch.log(-torch.expm1(-size))


def _signs(connectome: Connectome, signs: str | NDArray[np.int64] | None) -> NDArray[np.int64] | None:
    if signs is None:
        return None
    if isinstance(signs, str):
        if signs != "transmitter":
            raise unknown_name("signs", signs, ("transmitter",))
        if not (connectome.transmitters != "").any():
            remedy = "add transmitters= to the connectome, or pass signs=None or an array"
            raise invalid("signs", "None or an array on a graph without transmitters", repr(signs), remedy)
        return transmitter_signs(connectome)
    values = np.asarray(signs)
    if values.shape != (connectome.num_edges,) or not np.isin(values, (-1, 0, 1)).all():
        expected = f"[{connectome.num_edges}] values in -1, 0, +1 (one per edge)"
        raise invalid("signs", expected, f"shape {list(values.shape)}", "take the order from connectome.edge_index")
    gap = np.flatnonzero(connectome.kinds == GAP)
    mirror = gap[np.lexsort((connectome.pre[gap], connectome.post[gap]))]
    if not np.array_equal(values[gap], values[mirror]):
        raise invalid(
            "signs", "equal in both directions of a gap junction", "different ones", "the two directions share a weight"
        )
    return values.astype(np.int64)


def _initial_scale(
    connectome: Connectome, edge_to_param: NDArray[np.int64], init: str, reduce: str
) -> NDArray[np.float32]:
    """[P]: the initial size of each parameter ("weights": with its sign); of a gap junction, the mean of both edges."""
    size, post = connectome.num_neurons, connectome.post
    uses = np.bincount(edge_to_param)
    if init == "weights":
        return (np.bincount(edge_to_param, weights=connectome.weights) / uses).astype(np.float32)
    strength = np.ones(connectome.num_edges) if init == "fan-in" else np.maximum(connectome.counts, 1).astype(float)
    per_edge = strength / np.sqrt(np.bincount(post, weights=strength**2, minlength=size))[post]
    if reduce == "mean":
        per_edge *= np.bincount(post, minlength=size)[post]
    return (np.bincount(edge_to_param, weights=per_edge) / uses).astype(np.float32)
