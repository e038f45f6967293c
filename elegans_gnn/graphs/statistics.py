"""Statistics of a connectome's graph, computed by NetworkX and SciPy.

Unless a function says otherwise it uses the simple directed graph: one edge per ordered pair of different neurons that
any kind of synapse links (so a gap junction is two edges), without self-loops and without weights. Choose kinds first
with ``connectome.select(kinds="chemical")``. Quantities that are undefined (a path in a graph without edges) are NaN.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from elegans_gnn.connectome import ROLES, Connectome, Neurons, select_neurons
from elegans_gnn.errors import invalid, unknown_name

if TYPE_CHECKING:
    import networkx as nx
    from scipy.sparse import csr_array

Direction = Literal["in", "out", "total"]
_DIRECTIONS = get_args(Direction)


def simple_digraph(connectome: Connectome) -> nx.DiGraph:
    """Nodes 0..N-1; an edge per linked ordered pair of different neurons, ``weight`` its synapses of all kinds."""
    import networkx as nx

    graph = nx.DiGraph()
    graph.add_nodes_from(range(connectome.num_neurons))
    graph.add_weighted_edges_from(_simple_links(connectome).T.tolist())
    return graph


def _simple_links(connectome: Connectome) -> NDArray[np.int64]:
    """[3, L] pre, post and number of synapses of each link of the simple graph."""
    merged = connectome.merged()
    return np.stack([merged.pre, merged.post, merged.counts])[:, merged.pre != merged.post]


def density(connectome: Connectome) -> float:
    """Share of the N (N - 1) ordered pairs of different neurons that are linked."""
    import networkx as nx

    return float(nx.density(simple_digraph(connectome)))


def reciprocity(connectome: Connectome) -> float:
    """Share of the linked ordered pairs whose opposite pair is linked too; NaN without links."""
    import networkx as nx

    graph = simple_digraph(connectome)
    return float(nx.overall_reciprocity(graph)) if graph.number_of_edges() else float("nan")


def degrees(connectome: Connectome, direction: Direction = "total") -> NDArray[np.int64]:
    """[N] number of neurons each neuron is linked from (``in``), to (``out``), or their sum (``total``)."""
    return _degrees(connectome, direction, weight=None)


def strengths(connectome: Connectome, direction: Direction = "total") -> NDArray[np.int64]:
    """[N] number of synapses each neuron gets (``in``), makes (``out``), or their sum (``total``); no self-loops."""
    return _degrees(connectome, direction, weight="weight")


def _degrees(connectome: Connectome, direction: str, weight: str | None) -> NDArray[np.int64]:
    if direction not in _DIRECTIONS:
        raise unknown_name("direction", str(direction), _DIRECTIONS)
    graph = simple_digraph(connectome)
    view = {"in": graph.in_degree, "out": graph.out_degree, "total": graph.degree}[direction](weight=weight)
    return np.array([value for _, value in view], dtype=np.int64)


@dataclass(frozen=True)
class Distribution:
    """How often each value occurs: `values`, ascending, and the `number` of neurons with each."""

    values: NDArray[np.int64]
    number: NDArray[np.int64]

    @property
    def share_above(self) -> NDArray[np.float64]:
        """P(X >= value) at each value, as degree distributions are usually drawn."""
        return self.number[::-1].cumsum()[::-1] / self.number.sum()


def degree_distribution(connectome: Connectome, direction: Direction = "total") -> Distribution:
    """Distribution of :func:`degrees`."""
    return Distribution(*np.unique(degrees(connectome, direction), return_counts=True))


def strength_distribution(connectome: Connectome, direction: Direction = "total") -> Distribution:
    """Distribution of :func:`strengths`."""
    return Distribution(*np.unique(strengths(connectome, direction), return_counts=True))


def path_length(connectome: Connectome) -> float:
    """Mean number of steps over all ordered pairs of different neurons in the largest strong component."""
    import networkx as nx

    part = connectome.select(component="strong")
    return float(nx.average_shortest_path_length(simple_digraph(part))) if part.num_neurons > 1 else float("nan")


def clustering(connectome: Connectome, *, directed: bool = False) -> float:
    """Mean local clustering coefficient over all neurons.

    Undirected (Watts & Strogatz 1998, doi:10.1038/30918): of a neuron's k neighbours, linked to it in any direction,
    the share of the k (k - 1) / 2 pairs that are linked to each other; neurons with k < 2 count 0. Directed (Fagiolo
    2007, doi:10.1103/PhysRevE.76.026107): the share of directed triangles among those its in- and out-links allow.
    """
    import networkx as nx

    if connectome.num_neurons == 0:
        return float("nan")
    graph = simple_digraph(connectome)
    return float(nx.average_clustering(graph if directed else graph.to_undirected()))


@dataclass(frozen=True)
class Modularity:
    """Q of a partition, and the community of each neuron [N]."""

    value: float
    community: NDArray[np.int64]


def modularity(
    connectome: Connectome, *, seed: int = 0, weighted: bool = False, partition: Iterable[Any] | None = None
) -> Modularity:
    """Directed modularity Q (Leicht & Newman 2008, doi:10.1103/PhysRevLett.100.118703), resolution 1.

    Args:
        connectome: the graph.
        seed: of the Louvain search for the best partition (Blondel et al. 2008, doi:10.1088/1742-5468/2008/10/P10008).
        weighted: whether links count by their synapses.
        partition: [N] labels to evaluate instead, such as ``connectome.roles``.
    """
    import networkx as nx

    graph, weight = simple_digraph(connectome), "weight" if weighted else None
    if partition is None:
        groups = nx.community.louvain_communities(graph, weight=weight, seed=seed)
    else:
        labels = np.asarray(list(partition))
        if len(labels) != connectome.num_neurons:
            expected = f"[{connectome.num_neurons}] (one label per neuron)"
            raise invalid("partition", expected, f"[{len(labels)}]", "pass connectome.roles, say")
        groups = [set(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)]
    community = np.empty(connectome.num_neurons, dtype=np.int64)
    for number, members in enumerate(sorted(groups, key=min)):
        community[list(members)] = number
    value = nx.community.modularity(graph, groups, weight=weight) if graph.number_of_edges() else float("nan")
    return Modularity(float(value), community)


def triad_census(connectome: Connectome) -> dict[str, int]:
    """Number of neuron triples of each of the 16 types of Holland & Leinhardt (1976), ``003`` to ``300``."""
    import networkx as nx

    return {name: int(number) for name, number in nx.triadic_census(simple_digraph(connectome)).items()}


@dataclass(frozen=True)
class RoleFlow:
    """Links or synapses from each role (row) to each role (column).

    Args:
        roles: the roles present, in the order of rows and columns.
        matrix: [R, R] their number.
    """

    roles: tuple[str, ...]
    matrix: NDArray[np.int64]

    @property
    def homophilic(self) -> float:
        """Share between neurons of one role."""
        total = int(self.matrix.sum())
        return float(np.trace(self.matrix)) / total if total else float("nan")

    @property
    def heterophilic(self) -> float:
        """Share between neurons of different roles."""
        return 1.0 - self.homophilic


def role_flow(connectome: Connectome, *, weighted: bool = False) -> RoleFlow:
    """Links of the simple graph (weighted: their synapses) from role to role."""
    pre, post, counts = _simple_links(connectome)
    roles = [role for role in ROLES if role in connectome.roles]
    number = np.array([roles.index(role) for role in connectome.roles.tolist()], dtype=np.int64)
    matrix = np.zeros((len(roles), len(roles)), dtype=np.int64)
    np.add.at(matrix, (number[pre], number[post]), counts if weighted else 1)
    return RoleFlow(tuple(roles), matrix)


@dataclass(frozen=True)
class Reach:
    """How far signals get: after ``steps[i]`` = 1, 2, ... links.

    Args:
        steps: [K] 1 .. K.
        targets: [K] share of the targets within that many links of at least one source.
        pairs: [K] share of all (source, target) pairs within that many links.
    """

    steps: NDArray[np.int64]
    targets: NDArray[np.float64]
    pairs: NDArray[np.float64]


def reach(connectome: Connectome, steps: int = 4, *, sources: Neurons = "sensory", targets: Neurons = "motor") -> Reach:
    """Share of targets that sources reach within 1 .. `steps` links.

    Args:
        connectome: the graph.
        steps: the largest number of links.
        sources, targets: a role, a neuron's name, or several names.

    Raises:
        ValueError: fewer than one step, or no such neurons.
    """
    from scipy.sparse.csgraph import dijkstra

    if steps < 1:
        raise invalid("steps", "a positive integer", steps, "pass steps=4")
    start = select_neurons(connectome, sources, "sources")
    end = select_neurons(connectome, targets, "targets")
    distance = dijkstra(_links(connectome), indices=start, unweighted=True, limit=steps)[:, end]
    within = np.arange(1, steps + 1)
    reached = distance[None] <= within[:, None, None]
    return Reach(within, reached.any(axis=1).mean(axis=1), reached.mean(axis=(1, 2)))


def hops_from(connectome: Connectome, sources: NDArray[np.int64]) -> NDArray[np.int64]:
    """[N] the smallest number of synapses on a path from any of the sources to each neuron.

    Args:
        connectome: the graph; synapses of all kinds count, in their direction.
        sources: indices of neurons; they are 0 hops away.

    Returns:
        The hops; -1 for a neuron that no source reaches.
    """
    from scipy.sparse.csgraph import dijkstra

    start = np.unique(np.arange(connectome.num_neurons)[sources])
    if not len(start):
        return np.full(connectome.num_neurons, -1)
    hops = dijkstra(_links(connectome), indices=start, unweighted=True, min_only=True)
    return np.where(np.isinf(hops), -1, hops).astype(np.int64)


def _links(connectome: Connectome) -> csr_array:
    """[N, N] sparse, non-zero where a synapse of any kind leads from row to column."""
    from scipy.sparse import coo_array

    size = connectome.num_neurons
    return coo_array((np.ones(connectome.num_edges), (connectome.pre, connectome.post)), shape=(size, size)).tocsr()
