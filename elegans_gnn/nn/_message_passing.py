"""PyG's base class, imported in one place."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    # PyG 2.8 scripts helpers when it is imported, and torch 2.14 warns of that: nothing our users could change.
    warnings.filterwarnings("ignore", message="`torch.jit.script` is deprecated", category=FutureWarning)
    from torch_geometric.nn import MessagePassing

__all__ = ["MessagePassing"]
