"""A model as a graph of standard operations: torch.export and ONNX, for any batch size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from elegans_gnn.errors import invalid, require
from elegans_gnn.nn import TensorNetwork
from elegans_gnn.ops.synaptic import dense_step, dense_synaptic

IMAGES, OUTPUT, BATCH = "images", "output", "batch"


def export_program(model: nn.Module, example: Tensor, *, dynamic_batch: bool = True) -> torch.export.ExportedProgram:
    """The forward pass in evaluation mode as an exported program.

    Sums along synapses become products with a dense [N, N] matrix, and synaptic convolutions become dense ones: every
    runtime has these, and they cost N^2 / E times as much. The operators of the tensor network stay: a program with
    that core needs this package to run.

    Args:
        model: one of this package's models.
        example: a batch of inputs; with `dynamic_batch` the program takes batches of any size.
        dynamic_batch: whether the batch size is free.

    Raises:
        ValueError: the example is no batch, or the model aggregates in a way that is no matrix product.
    """
    if example.dim() < 1 or (dynamic_batch and example.shape[0] < 2):
        # torch.export takes an axis of length 1 for a constant.
        remedy = "repeat it, or pass dynamic_batch=False"
        raise invalid("example", "a batch of at least 2", list(example.shape), remedy)
    shapes = ({0: torch.export.Dim(BATCH)},) if dynamic_batch else None
    training = model.training
    model.eval()
    try:
        with torch.no_grad():
            program = torch.export.export(model, (example,), dynamic_shapes=shapes)
    finally:
        model.train(training)
    operators = torch.ops.elegans_gnn
    dense = {
        operators.aggregate_forward.default: _dense_aggregate,
        operators.synaptic_forward.default: dense_synaptic,
        operators.step_forward.default: dense_step,
    }
    return program.run_decompositions(dense)


def _dense_aggregate(x: Tensor, weight: Tensor, *rest: Any) -> tuple[Tensor, Tensor]:
    """The aggregation as a product with the dense matrix of the graph."""
    rowptr, col, perm, _, _, _, reduce, _ = rest
    if reduce not in ("sum", "mean"):
        raise invalid("reduce", "sum or mean in an exported model", reduce, "build the model with reduce='sum'")
    neurons, channels = x.shape[1], weight.shape[1]
    # The target of each entry in CSR order is the number of rows that end at or before it.
    place = torch.arange(col.shape[0], device=col.device)
    target = (place[:, None] >= rowptr[None, 1:]).sum(1)
    values = weight.index_select(0, perm.long())
    if reduce == "mean":
        degree = (rowptr[1:] - rowptr[:-1]).clamp_min(1).to(values.dtype)
        values = values / degree.index_select(0, target)[:, None]
    matrix = values.new_zeros(neurons * neurons, channels).index_add(0, target * neurons + col.long(), values)
    dense = matrix.reshape(neurons, neurons, channels).to(x.dtype)
    if channels == 1:
        y = torch.matmul(dense[:, :, 0], x.flatten(2)).reshape(x.shape)
    else:
        y = torch.matmul(dense.permute(2, 0, 1), x.transpose(1, 2)).transpose(1, 2)
    return y, x.new_empty(0, dtype=torch.int32)


def export_onnx(model: nn.Module, path: Path | str, example: Tensor, *, dynamic_batch: bool = True) -> Path:
    """Write a model as an ONNX file, weights included; its input is ``images``, its output ``output``.

    Args:
        model, example, dynamic_batch: see :func:`export_program`.
        path: the file; must not exist.

    Returns:
        The path.

    Raises:
        ValueError: the file exists, the model contains the tensor network, or see :func:`export_program`.
        ImportError: a package of the extra ``onnx`` is missing.
    """
    path = Path(path)
    if path.exists():
        raise invalid("path", "new", f"{path}, which exists", "choose another one or delete it")
    require("onnx")
    require("onnxscript")
    if any(isinstance(part, TensorNetwork) for part in model.modules()):
        remedy = "export a model with another core, such as message-passing, or use export_program"
        raise invalid("model", "made of operations that ONNX has", "one with a tensor network", remedy)
    program = export_program(model, example, dynamic_batch=dynamic_batch)
    written = torch.onnx.export(program, input_names=[IMAGES], output_names=[OUTPUT], dynamo=True, verbose=False)
    assert written is not None
    path.parent.mkdir(parents=True, exist_ok=True)
    written.save(path, include_initializers=True)
    return path
