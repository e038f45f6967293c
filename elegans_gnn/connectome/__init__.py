"""Connectomes: the table of neurons and synapses, where to get one, and how to bring one in and out."""

from elegans_gnn.connectome._core import Connectome
from elegans_gnn.connectome._csv import write_csv
from elegans_gnn.connectome._diff import ConnectomeDiff, LabelSlip, diff
from elegans_gnn.connectome._graphml import write_graphml
from elegans_gnn.connectome._graphs import to_igraph, to_networkx
from elegans_gnn.connectome._open import (
    dataset_table,
    layer_table,
    list_connectomes,
    list_layers,
    load_connectome,
    open_connectome,
    read_connectome,
    read_csv,
    read_graphml,
    write_connectome,
)
from elegans_gnn.connectome._pyg import to_pyg, to_pyg_hetero
from elegans_gnn.connectome._scipy import to_scipy, to_scipy_by_kind
from elegans_gnn.connectome._select import Neurons, select_neurons
from elegans_gnn.connectome._values import ROLES, natural_key, plain_name

from_igraph, from_networkx, from_pandas = Connectome.from_igraph, Connectome.from_networkx, Connectome.from_pandas
from_pyg, from_scipy = Connectome.from_pyg, Connectome.from_scipy

__all__ = [
    "ROLES",
    "Connectome",
    "ConnectomeDiff",
    "LabelSlip",
    "Neurons",
    "dataset_table",
    "diff",
    "from_igraph",
    "from_networkx",
    "from_pandas",
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
    "select_neurons",
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
