"""Connectomes to and from PyTorch Geometric: `Data` with all kinds in one edge list, `HeteroData` with one per kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from elegans_gnn.connectome._columns import ENTRY_COLUMNS, NEURON_COLUMNS, Columns
from elegans_gnn.connectome._values import CHEMICAL, ROLES
from elegans_gnn.errors import invalid

if TYPE_CHECKING:
    import torch
    from torch_geometric.data import Data, HeteroData

NEURON = "neuron"


def to_pyg(connectome: Columns, *, dtype: torch.dtype | None = None) -> Data:
    """The connectome as PyG `Data`, edges in the connectome's order.

    ``edge_index`` [2, E]; ``edge_kind`` [E], positions in the list ``kind_names``; ``edge_count`` [E]; if the
    connectome has weights, ``edge_weight`` [E]; ``role`` [N], positions in ``elegans_gnn.connectome.ROLES``;
    ``visit_rank`` [N]; ``names``, ``neuron_class``, ``side``, ``transmitter``, ``sex``: lists of N str.

    Args:
        connectome: the graph to convert.
        dtype: of ``edge_weight``; by default float64, which is exact. Layers in single precision need float32.
    """
    from torch_geometric.data import Data

    kind_names = list(connectome.kind_names)
    entries = _entry_tensors(connectome, slice(None), dtype)
    return Data(
        edge_kind=_tensor(np.searchsorted(kind_names, connectome.kinds)),
        kind_names=kind_names,
        title=connectome.name,
        source=connectome.source,
        **entries,
        **_neuron_values(connectome),
    )


def to_pyg_hetero(connectome: Columns, *, dtype: torch.dtype | None = None) -> HeteroData:
    """The connectome as PyG `HeteroData`: node type ``neuron``, edge type ``(neuron, kind, neuron)`` for each kind.

    The stores have the entries of the `Data` of :func:`to_pyg`.
    """
    from torch_geometric.data import HeteroData

    data = HeteroData(title=connectome.name, source=connectome.source)
    for key, value in _neuron_values(connectome).items():
        data[NEURON][key] = value
    for kind in connectome.kind_names:
        for key, value in _entry_tensors(connectome, connectome.kinds == kind, dtype).items():
            data[NEURON, kind, NEURON][key] = value
    return data


def read_columns(
    data: Data | HeteroData, *, name: str | None = None, kind: str = CHEMICAL, roles: Any = None
) -> dict[str, Any]:
    """The arguments of :meth:`Connectome.from_edges`; arguments and errors as in :meth:`Connectome.from_pyg`."""
    from torch_geometric.data import Data, HeteroData

    if isinstance(data, HeteroData):
        nodes, entries = _hetero_parts(data)
    elif isinstance(data, Data):
        nodes, entries = data, [(_kinds_of(data, kind), data)]
    else:
        raise invalid("data", "a PyG Data or HeteroData", type(data).__name__, "build one from edge_index")
    size = nodes.num_nodes
    if size is None:
        raise invalid("data", "of known size", "no num_nodes", "set data.num_nodes")
    parts = [_entries_of(store, kinds) for kinds, store in entries]
    merged: dict[str, Any] = {}
    for key in (column.field for column in ENTRY_COLUMNS):
        given = [part[key] for part in parts if part[key] is not None]
        if given and len(given) < len(parts):
            raise invalid(f"edge {key}", "given for every edge type or for none", "some", "fill the others in")
        if given:
            merged[key] = np.concatenate(given)
    if not parts:
        merged = {"pre": np.empty(0, dtype=np.int64), "post": np.empty(0, dtype=np.int64)}
    columns = {column.field: _plain(nodes[column.pyg]) for column in NEURON_COLUMNS if column.pyg in nodes}
    if roles is not None:
        columns["roles"] = roles
    elif "roles" in columns:
        columns["roles"] = _roles(columns["roles"])
    return {
        "name": name if name is not None else _value(data, "title", ""),
        "source": _value(data, "source", ""),
        "names": [str(row) for row in range(size)],
        **columns,
        **merged,
    }


def _value(store: Any, key: str, default: Any = None) -> Any:
    """`store.get` with the same meaning for every kind of PyG store."""
    if key in store:
        return store[key]
    return default


def _tensor(values: Any) -> torch.Tensor:
    import torch

    return torch.from_numpy(np.array(values))


def _plain(values: Any) -> Any:
    """A tensor as an array; a list as it is."""
    return values.numpy(force=True) if hasattr(values, "numpy") else values


def _neuron_values(connectome: Columns) -> dict[str, Any]:
    """What the stores hold: numbers as tensors, text as lists, roles as their positions in ROLES."""
    values: dict[str, Any] = {"num_nodes": connectome.num_neurons}
    for column in NEURON_COLUMNS:
        array = getattr(connectome, column.field)
        if column.field == "roles":
            array = np.array([ROLES.index(role) for role in array.tolist()], dtype=np.int64)
        values[column.pyg] = array.tolist() if array.dtype.kind == "U" else _tensor(array)
    return values


def _entry_tensors(connectome: Columns, entries: Any, dtype: torch.dtype | None) -> dict[str, torch.Tensor]:
    values = {
        "edge_index": _tensor(connectome.edge_index[:, entries]),
        "edge_count": _tensor(connectome.counts[entries]),
    }
    if connectome.weights is not None:
        weight = _tensor(connectome.weights[entries])
        values["edge_weight"] = weight if dtype is None else weight.to(dtype)
    return values


def _hetero_parts(data: HeteroData) -> tuple[Any, list[tuple[Any, Any]]]:
    if len(data.node_types) != 1:
        got = ", ".join(data.node_types) or "none"
        raise invalid("data", "of one node type", got, "keep the neurons: data.node_type_subgraph([...])")
    return data[data.node_types[0]], [(kind, data[source, kind, to]) for source, kind, to in data.edge_types]


def _kinds_of(data: Data, kind: str) -> Any:
    if "edge_kind" not in data or "kind_names" not in data:
        return kind
    return np.array(data["kind_names"], dtype=np.str_)[data["edge_kind"].numpy(force=True)] if data.num_edges else kind


def _entries_of(store: Any, kinds: Any) -> dict[str, Any]:
    if "edge_index" not in store:
        raise invalid("data", "a graph with edge_index", "none", "convert adj_t to edge_index first")
    pre, post = store["edge_index"].numpy(force=True)
    weight = _value(store, "edge_weight")
    if weight is None and "edge_attr" in store and store["edge_attr"].numel() == len(pre):
        weight = store["edge_attr"].reshape(-1)
    return {
        "pre": pre,
        "post": post,
        "kinds": np.array(np.broadcast_to(np.asarray(kinds, dtype=np.str_), pre.shape)),
        "counts": store["edge_count"].numpy(force=True) if "edge_count" in store else None,
        "weights": None if weight is None else weight.double().numpy(force=True),
    }


def _roles(given: Any) -> Any:
    """Names of roles from names or from positions in ROLES."""
    if isinstance(given, list):
        return given
    if given.size and (given.min() < 0 or given.max() >= len(ROLES)):
        raise invalid("role", f"positions in {ROLES}", int(given.max()), "code the roles as elegans_gnn does")
    return np.array(ROLES)[given]
