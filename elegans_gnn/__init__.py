"""elegans_gnn: the wiring diagram of a real nervous system as a trainable sparse network.

Importing this package loads nothing: every name below is imported from its module at first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from elegans_gnn._lazy import lazy_names
from elegans_gnn._paths import __version__

_HOME = {
    "Connectome": "connectome",
    "list_connectomes": "connectome",
    "load_connectome": "connectome",
    "list_random_models": "graphs",
    "random_connectome": "graphs",
    "SparseAdjacency": "sparse",
    "ConnectomeConv": "nn",
    "RecurrentCore": "nn",
    "Reservoir": "nn",
    "TensorNetwork": "nn",
    "ElegansAutoencoder": "models",
    "ElegansClassifier": "models",
    "ElegansHead": "models",
    "ElegansNet": "models",
    "attach_head": "models",
}
__getattr__, __dir__ = lazy_names(
    __name__,
    _HOME,
    ("connectome", "datasets", "errors", "graphs", "models", "nn", "ops", "sparse", "study", "training", "viz"),
)

__all__ = [
    "Connectome",
    "ConnectomeConv",
    "ElegansAutoencoder",
    "ElegansClassifier",
    "ElegansHead",
    "ElegansNet",
    "RecurrentCore",
    "Reservoir",
    "SparseAdjacency",
    "TensorNetwork",
    "__version__",
    "attach_head",
    "list_connectomes",
    "list_random_models",
    "load_connectome",
    "random_connectome",
]

if TYPE_CHECKING:
    from elegans_gnn.connectome import Connectome, list_connectomes, load_connectome
    from elegans_gnn.graphs import list_random_models, random_connectome
    from elegans_gnn.models import ElegansAutoencoder, ElegansClassifier, ElegansHead, ElegansNet, attach_head
    from elegans_gnn.nn import ConnectomeConv, RecurrentCore, Reservoir, TensorNetwork
    from elegans_gnn.sparse import SparseAdjacency
