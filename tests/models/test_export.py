"""Exported models compute what the models compute, at another batch size than they were exported with."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from elegans_gnn import ElegansAutoencoder, ElegansClassifier, attach_head
from elegans_gnn.models import export_onnx, export_program
from tests.ops.cases import graph
from tests.ops.synaptic.cases import Layer

SMALL = {"encoder_width": 4, "encoder_blocks": 0, "decoder_width": 4, "decoder_blocks": 0, "code": 8}


def run_onnx(path, images):
    runtime = pytest.importorskip("onnxruntime")
    (output,) = runtime.InferenceSession(str(path)).run(None, {"images": images.numpy()})
    return torch.from_numpy(output)


def test_autoencoder_in_onnxruntime(tiny, tmp_path, unchecked_shapes):
    pytest.importorskip("onnx")
    torch.manual_seed(0)
    model = ElegansAutoencoder(tiny, steps=2, outputs=["F"], **SMALL)
    path = export_onnx(model, tmp_path / "model.onnx", torch.rand(3, 1, 28, 28))
    images = torch.rand(5, 1, 28, 28)
    assert torch.allclose(run_onnx(path, images), model.eval()(images), atol=1e-4)
    with pytest.raises(ValueError, match=r"path must be new, got .*model.onnx, which exists"):
        export_onnx(model, path, torch.rand(3, 1, 28, 28))


def test_classifier_in_onnxruntime(tiny, tmp_path, unchecked_shapes):
    pytest.importorskip("onnx")
    torch.manual_seed(0)
    model = ElegansClassifier(tiny, 4, width=4, blocks=0, image_size=8, steps=2, outputs=["F"], edge_channels=True)
    path = export_onnx(model, tmp_path / "model.onnx", torch.rand(2, 3, 8, 8))
    images = torch.rand(7, 3, 8, 8)
    assert torch.allclose(run_onnx(path, images), model.eval()(images), atol=1e-4)


def test_an_autoencoder_as_a_program(tiny, unchecked_shapes):
    torch.manual_seed(0)
    model = ElegansAutoencoder(tiny, steps=2, outputs=["F"], **SMALL)
    program = export_program(model, torch.rand(2, 1, 28, 28))
    assert not any("elegans_gnn" in str(node.target) for node in program.graph.nodes)
    images = torch.rand(5, 1, 28, 28)
    assert torch.allclose(program.module()(images), model.eval()(images), atol=1e-5)


def test_a_backbone_in_onnxruntime_with_its_colours_and_size(tiny, tmp_path, unchecked_shapes):
    pytest.importorskip("onnx")
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    model = attach_head(body, tiny, 3, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4), resize=16)
    path = export_onnx(model, tmp_path / "model.onnx", torch.rand(2, 3, 8, 8))
    images = torch.rand(5, 3, 8, 8)
    assert torch.allclose(run_onnx(path, images), model.eval()(images), atol=1e-5)


def test_programs_hold_standard_operations_only(tiny, unchecked_shapes):
    torch.manual_seed(0)
    model = ElegansClassifier(tiny, 4, width=4, blocks=0, image_size=8, steps=3, reduce="mean", gap="diffusive")
    with pytest.raises(ValueError, match=r"example must be a batch of at least 2, got \[1, 3, 8, 8\]; repeat it"):
        export_program(model, torch.rand(1, 3, 8, 8))
    program = export_program(model, torch.rand(1, 3, 8, 8), dynamic_batch=False)
    assert not any("elegans_gnn" in str(node.target) for node in program.graph.nodes)
    assert model.training
    images = torch.rand(1, 3, 8, 8)
    assert torch.allclose(program.module()(images), model.eval()(images), atol=1e-5)


@pytest.mark.parametrize("channels", [(), (2,)])
def test_synaptic_convolutions_become_dense_ones(channels, tmp_path, unchecked_shapes):
    pytest.importorskip("onnx")
    layer = Layer(graph("self-loops and duplicates"), *channels).eval()
    example, x = torch.randn(3, 4, 2, 5, 4), torch.randn(5, 4, 2, 5, 4)
    program = export_program(layer, example)
    assert not any("elegans_gnn" in str(node.target) for node in program.graph.nodes)
    torch.testing.assert_close(program.module()(x), layer(x))
    path = export_onnx(layer, tmp_path / "layer.onnx", example)
    torch.testing.assert_close(run_onnx(path, x), layer(x).detach(), rtol=1e-5, atol=1e-5)


def test_the_tensor_network_exports_with_its_operators_and_not_to_onnx(tiny, tmp_path, unchecked_shapes):
    pytest.importorskip("onnx")
    torch.manual_seed(0)
    model = ElegansClassifier(tiny, 4, width=4, blocks=0, image_size=8, core="tensor-network").eval()
    images = torch.rand(5, 3, 8, 8)
    program = export_program(model, images[:3])
    assert torch.allclose(program.module()(images), model(images), atol=1e-5)
    with pytest.raises(ValueError, match="made of operations that ONNX has, got one with a tensor network"):
        export_onnx(model, tmp_path / "model.onnx", images)
    assert not (tmp_path / "model.onnx").exists()
