"""Connectomes: the table of neurons and synapses, where to get one, and how to bring one in and out."""

from elegans_gnn.connectome._core import Connectome, natural_key, plain_name
from elegans_gnn.connectome._csv import read_csv, write_csv
from elegans_gnn.connectome._diff import ConnectomeDiff, LabelSlip, diff
from elegans_gnn.connectome._graphml import read_graphml, write_graphml
from elegans_gnn.connectome._igraph import from_igraph, to_igraph
from elegans_gnn.connectome._load import dataset_table, layer_table, list_connectomes, list_layers, load_connectome
from elegans_gnn.connectome._networkx import from_networkx, to_networkx
from elegans_gnn.connectome._pyg import from_pyg, to_pyg, to_pyg_hetero
from elegans_gnn.connectome._read import open_connectome, read_connectome, write_connectome
from elegans_gnn.connectome._scipy import from_scipy, to_scipy, to_scipy_by_kind
from elegans_gnn.connectome._validate import ROLES

__all__ = [
    "ROLES",
    "Connectome",
    "ConnectomeDiff",
    "LabelSlip",
    "dataset_table",
    "diff",
    "from_igraph",
    "from_networkx",
    "from_pyg",
    "from_scipy",
    "layer_table",
    "list_connectomes",
    "list_layers",
    "load_connectome",
    "natural_key",
    "open_connectome",
    "plain_name",
    "read_connectome",
    "read_csv",
    "read_graphml",
    "to_igraph",
    "to_networkx",
    "to_pyg",
    "to_pyg_hetero",
    "to_scipy",
    "to_scipy_by_kind",
    "write_connectome",
    "write_csv",
    "write_graphml",
]
