"""Statistics that compare a graph with random graphs: small-world ratios and the rich club."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elegans_gnn.connectome import Connectome
from elegans_gnn.errors import invalid
from elegans_gnn.graphs._draw import random_connectome
from elegans_gnn.graphs.statistics import clustering, path_length, simple_digraph


@dataclass(frozen=True)
class SmallWorld:
    """Clustering C and path length L of a graph, and their means over random graphs and lattices.

    Args:
        clustering, path_length: C and L.
        random_clustering, random_path_length: means over the random graphs.
        lattice_clustering: mean over the lattices.
        null: the model of the random graphs.
        num_nulls: how many random graphs, and how many lattices.
    """

    clustering: float
    path_length: float
    random_clustering: float
    random_path_length: float
    lattice_clustering: float
    null: str
    num_nulls: int

    @property
    def gamma(self) -> float:
        """C / C_random."""
        return _ratio(self.clustering, self.random_clustering)

    @property
    def lambda_(self) -> float:
        """L / L_random."""
        return _ratio(self.path_length, self.random_path_length)

    @property
    def sigma(self) -> float:
        """gamma / lambda; above 1 a small world (Humphries & Gurney 2008, doi:10.1371/journal.pone.0002051)."""
        return _ratio(self.gamma, self.lambda_)

    @property
    def omega(self) -> float:
        """L_random / L - C / C_lattice; near 0 a small world (Telesford et al. 2011, doi:10.1089/brain.2011.0038)."""
        return _ratio(self.random_path_length, self.path_length) - _ratio(self.clustering, self.lattice_clustering)


def small_world(
    connectome: Connectome, *, seeds: Iterable[int] = range(20), null: str = "erdos-renyi", directed: bool = False
) -> SmallWorld:
    """Small-world ratios against this package's own random graphs.

    The graph is simple (kinds united, loops ignored); every null has exactly as many links. Undirected, as the ratios
    were defined, it has one link per linked pair; directed, clustering is Fagiolo's and paths follow the links.

    Args:
        connectome: the graph.
        seeds: one random graph and one lattice for each.
        null: the model of the random graphs; ``degree-preserving`` is the stricter choice.
        directed: whether to keep directions.
    """
    numbers = list(seeds)
    if not numbers:
        raise invalid("seeds", "at least one seed", "none", "pass seeds=range(20)")
    graph = connectome.merged() if directed else undirected(connectome)
    random = [random_connectome(null, like=graph, seed=seed) for seed in numbers]
    lattices = [random_connectome("lattice", like=graph, seed=seed) for seed in numbers]
    return SmallWorld(
        clustering=clustering(graph, directed=directed),
        path_length=path_length(graph),
        random_clustering=float(np.mean([clustering(item, directed=directed) for item in random])),
        random_path_length=float(np.mean([path_length(item) for item in random])),
        lattice_clustering=float(np.mean([clustering(item, directed=directed) for item in lattices])),
        null=null,
        num_nulls=len(numbers),
    )


@dataclass(frozen=True)
class RichClub:
    """The rich club at each degree k.

    Args:
        degree: [K] 0, 1, ... .
        phi: [K] density among the neurons with more than k neighbours.
        random_phi: [K] mean over degree-preserving random graphs; NaN without any.
    """

    degree: NDArray[np.int64]
    phi: NDArray[np.float64]
    random_phi: NDArray[np.float64]

    @property
    def normalized(self) -> NDArray[np.float64]:
        """phi / random_phi: above 1, well-connected neurons link to each other more than their degrees explain."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return self.phi / self.random_phi


def rich_club(connectome: Connectome, *, seeds: Iterable[int] = range(20)) -> RichClub:
    """Rich-club coefficients of the undirected simple graph (Colizza et al. 2006, doi:10.1038/nphys209).

    Args:
        connectome: the graph.
        seeds: one degree-preserving random graph for each; they keep every neuron's number of neighbours.
    """
    graph = undirected(connectome)
    phi = _phi(graph)
    random = [_phi(random_connectome("degree-preserving", like=graph, seed=seed)) for seed in seeds]
    mean = np.mean(random, axis=0) if random else np.full(len(phi), np.nan)
    return RichClub(np.arange(len(phi)), phi, mean)


def undirected(connectome: Connectome) -> Connectome:
    """One ``gap`` link per pair of different neurons that any synapse links, in either direction; counts are 1."""
    ends = connectome.edge_index[:, connectome.pre != connectome.post]
    ends = np.unique(np.concatenate([ends, ends[::-1]], axis=1), axis=1)
    return Connectome.from_edges(connectome.name, connectome.names, *ends, kinds="gap", roles=connectome.roles)


def _phi(graph: Connectome) -> NDArray[np.float64]:
    import networkx as nx

    by_degree = nx.rich_club_coefficient(simple_digraph(graph).to_undirected(), normalized=False)
    return np.array([by_degree[degree] for degree in sorted(by_degree)], dtype=np.float64)


def _ratio(value: float, base: float) -> float:
    return value / base if base else float("nan")
