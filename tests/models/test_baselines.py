"""The baselines: one interface, sizes near our models', and what each is by definition."""

from __future__ import annotations

import networkx as nx
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from elegans_gnn.models import MODELS, LogisticRegression, MLPAutoencoder, RandomlyWiredNetwork, build_model, parameters
from elegans_gnn.models.baselines.attention import TransformerBlock, patches
from elegans_gnn.models.baselines.randomly_wired import WiredStage, sources_of_nodes

AUTOENCODERS = ["mlp", "conv", "attention"]
CLASSIFIERS = ["vit", "resnet", "randomly-wired", "logistic"]
NORMS_OVER_THE_BATCH = (nn.modules.batchnorm._BatchNorm, nn.modules.instancenorm._InstanceNorm)


@pytest.mark.parametrize("name", AUTOENCODERS)
@pytest.mark.parametrize(("size", "in_channels"), [(8, 1), (28, 1), (32, 3)])
def test_autoencoders(name, size, in_channels):
    torch.manual_seed(0)
    model = build_model("autoencoder", name, code=7, image_size=size, in_channels=in_channels)
    images = torch.rand(2, in_channels, size, size)
    assert model.encode(images).shape == (2, model.code_length) == (2, 7)
    assert model.decode(model.encode(images)).shape == model(images).shape == images.shape
    loss = model.loss(images)
    assert loss.item() == pytest.approx(F.binary_cross_entropy_with_logits(model(images), images).item(), rel=1e-5)
    check_gradients(model, loss)


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize(("size", "in_channels"), [(8, 1), (28, 1), (32, 3)])
def test_classifiers(name, size, in_channels):
    torch.manual_seed(0)
    model = build_model("classifier", name, num_classes=4, image_size=size, in_channels=in_channels)
    images, labels = torch.rand(4, in_channels, size, size), torch.arange(4)
    assert model(images).shape == (4, 4)
    assert (model.num_classes, model.image_size, model.in_channels) == (4, size, in_channels)
    loss = model.loss(images, labels, label_smoothing=0.1)
    expected = F.cross_entropy(model(images), labels, label_smoothing=0.1)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    check_gradients(model, loss)


def check_gradients(model, loss):
    loss.backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0] == []
    assert sum(model.parameters_by_part().values()) == sum(p.numel() for p in model.parameters())
    assert not any(isinstance(part, NORMS_OVER_THE_BATCH) for part in model.modules())
    matrices = {id(p) for part in model.matrix_parts() for p in part.parameters()}
    assert any(id(p) in matrices for p in model.parameters())


@pytest.mark.parametrize(
    ("task", "names", "images"),
    [
        ("autoencoder", AUTOENCODERS, {}),
        *[
            ("classifier", CLASSIFIERS[:3], {"image_size": size, "in_channels": in_channels})
            for size, in_channels in ((8, 1), (16, 1), (28, 1), (32, 3))
        ],
    ],
)
def test_default_sizes_are_within_a_tenth_of_ours(worm, task, names, images):
    ours = parameters(build_model(task, "elegans", connectome=worm, **images))
    for name in names:
        assert parameters(build_model(task, name, **images)) == pytest.approx(ours, rel=0.1)


@pytest.mark.parametrize("wiring", ["er", "ba", "ws"])
@pytest.mark.parametrize(("size", "in_channels"), [(8, 1), (28, 1), (32, 3)])
def test_every_wiring_is_within_a_tenth_of_ours(worm, wiring, size, in_channels):
    images = {"image_size": size, "in_channels": in_channels}
    ours = parameters(build_model("classifier", "elegans", connectome=worm, **images))
    for seed in range(3):
        wired = RandomlyWiredNetwork(wiring=wiring, wiring_seed=seed, **images)
        assert parameters(wired) == pytest.approx(ours, rel=0.1)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet", {"width": 28}),
        ("vit", {"width": 48, "depth": 8}),
        ("randomly-wired", {"wiring": "ws", "width": 30}),
        ("randomly-wired", {"wiring": "ba", "width": 30}),
        ("randomly-wired", {"wiring": "er", "width": 32}),
    ],
)
def test_baselines_come_in_the_size_of_elegansnet(worm, name, options):
    """The table of docs/architecture.md."""
    images = {"image_size": 28, "in_channels": 1}
    ours = build_model("classifier", "elegansnet", connectome=worm, gap="merged", leak=0.9, **images)
    assert parameters(ours) == 227_972
    assert parameters(build_model("classifier", name, **options, **images)) == pytest.approx(227_972, rel=0.04)


@pytest.mark.parametrize(("task", "name"), [(task, name) for task in MODELS for name in MODELS[task]])
def test_samples_do_not_see_each_other(worm, task, name):
    torch.manual_seed(0)
    images = {} if task == "autoencoder" else {"image_size": 28, "in_channels": 1}
    model = build_model(task, name, connectome=worm, **images).eval()
    batch = torch.rand(4, 1, 28, 28)
    assert torch.allclose(model(batch)[1:2], model(batch[1:2]), atol=1e-5)


def test_logistic_regression_starts_level_and_is_linear():
    model = LogisticRegression(5, in_channels=1, image_size=8)
    x = torch.rand(3, 1, 8, 8)
    assert model(x).abs().max() == 0
    nn.init.normal_(model.head.weight)
    assert torch.allclose(model(x), x.flatten(1) @ model.head.weight.T, atol=1e-5)


def test_mlp_depth_and_width_are_its_size():
    model = MLPAutoencoder(code=5, image_size=8, width=11, depth=2)
    assert [m.out_features for m in model.encoder if isinstance(m, nn.Linear)] == [11, 11, 5]
    assert [m.out_features for m in model.decoder if isinstance(m, nn.Linear)] == [11, 11, 64]


def test_patches_are_the_squares_of_the_image():
    images = torch.arange(2 * 8 * 8.0).reshape(1, 2, 8, 8)
    cut = patches(images, 4)
    assert cut.shape == (1, 4, 32)
    assert torch.equal(cut[0, 1], images[0, :, 0:4, 4:8].flatten())


def test_attention_is_softmax_over_all_tokens():
    torch.manual_seed(0)
    block = TransformerBlock(32)
    tokens = torch.randn(2, 5, 32)
    query, key, value = (part.reshape(2, 5, 2, 16) for part in block.to_qkv(block.norm_attention(tokens)).chunk(3, -1))
    weights = torch.softmax(torch.einsum("bthd,bshd->bhts", query, key) / 4, -1)
    mixed = tokens + block.merge(torch.einsum("bhts,bshd->bthd", weights, value).flatten(2))
    assert torch.allclose(block(tokens), mixed + block.mlp(block.norm_mlp(mixed)), atol=1e-5)


@pytest.mark.parametrize("wiring", ["er", "ba", "ws"])
def test_random_wirings_are_the_named_graphs_turned_acyclic(wiring):
    sources = sources_of_nodes(wiring, 16, seed=3)
    assert all(source < node for node, listened in enumerate(sources) for source in listened)
    graphs = {
        "er": nx.gnp_random_graph(16, 0.2, seed=3),
        "ba": nx.barabasi_albert_graph(16, 5, seed=3),
        "ws": nx.watts_strogatz_graph(16, 4, 0.75, seed=3),
    }
    links = {(source, node) for node, listened in enumerate(sources) for source in listened}
    assert links == {tuple(sorted(edge)) for edge in graphs[wiring].edges}
    assert sources != sources_of_nodes(wiring, 16, seed=4)


def test_a_stage_computes_the_published_node():
    torch.manual_seed(0)
    # 0 and 1 take the input, 2 hears both, 3 hears 2 and nobody hears 1 after that: 3 is the only end.
    stage = WiredStage([[], [], [0, 1], [2]], 2, 4, stride=2)
    nn.init.normal_(stage.nodes[2].weight)
    x = torch.randn(3, 2, 8, 8)

    def transform(node, h):
        return node.norm(node.pointwise(node.depthwise(h.relu())))

    first, second, third, fourth = stage.nodes
    a, b = transform(first, x), transform(second, x)
    share = torch.sigmoid(third.weight)
    c = transform(third, share[0] * a + share[1] * b)
    assert torch.allclose(stage(x), transform(fourth, c), atol=1e-5)
    assert stage(x).shape == (3, 4, 4, 4)


def test_the_output_node_averages_the_ends():
    torch.manual_seed(0)
    stage = WiredStage([[], [], []], 2, 4, stride=1)
    x = torch.randn(1, 2, 5, 5)
    assert torch.allclose(stage(x), torch.stack([node([x]) for node in stage.nodes]).mean(0), atol=1e-6)


def test_the_wiring_seed_and_kind_decide_the_network():
    def wired(**options):
        return [stage.sources for stage in RandomlyWiredNetwork(width=2, **options).stages]

    assert wired() == wired(wiring="ws", wiring_seed=0)
    assert wired() != wired(wiring_seed=3)
    assert wired() != wired(wiring="ba")
    assert wired()[0] != wired()[1]


@pytest.mark.parametrize(
    ("task", "name", "arguments", "message"),
    [
        ("autoencoder", "conv", {"image_size": 30}, "image_size must be a multiple of 4, at least 8, got 30"),
        ("autoencoder", "attention", {"width": 40}, "width must be a multiple of 16, got 40; use width=32"),
        ("autoencoder", "mlp", {"depth": -1}, "depth must be >= 0, got -1"),
        ("classifier", "vit", {"image_size": 30}, "image_size must be a multiple of 4, got 30"),
        ("classifier", "resnet", {"depth": 0}, "depth must be >= 1, got 0"),
        ("classifier", "randomly-wired", {"wiring": "xx"}, "wiring must be one of er, ba, ws, got 'xx'"),
        ("classifier", "randomly-wired", {"depth": 5}, "depth must be >= 6, got 5"),
        ("classifier", "logistic", {"num_classes": 1}, "num_classes must be >= 2, got 1"),
        ("classifier", "logistic", {"widht": 1}, "argument must be one of num_classes, .*got 'widht'"),
        ("classifier", "elegans", {"stepz": 1}, "argument must be one of .*got 'stepz'; did you mean 'steps'"),
        ("classifier", "elegans", {"core": "none", "steps": 1}, "argument must be one of .*got 'steps'"),
        ("classifier", "lenet", {}, "model must be one of elegans, elegansnet, vit, resnet, randomly-wired, logistic"),
        ("segmentation", "vit", {}, "task must be one of autoencoder, classifier"),
    ],
)
def test_refusals(tiny, task, name, arguments, message):
    with pytest.raises(ValueError, match=message):
        build_model(task, name, connectome=tiny, **arguments)


@pytest.mark.parametrize(("name", "count"), [("vit", 154_954), ("resnet", 146_112), ("randomly-wired", 149_990)])
def test_default_sizes_on_mnist_are_those_of_the_tables(name, count):
    assert parameters(build_model("classifier", name, image_size=28, in_channels=1)) == count


@pytest.mark.parametrize(("name", "width"), [("vit", 48), ("resnet", 20), ("randomly-wired", 20)])
def test_a_width_left_to_the_model_is_stored_as_it_came_out(name, width):
    """A saved model is rebuilt from its arguments, whatever later defaults are."""
    assert build_model("classifier", name, image_size=8).arguments["width"] == width
    assert build_model("classifier", name, image_size=8, width=32).arguments["width"] == 32


def test_a_model_on_a_connectome_asks_for_one():
    with pytest.raises(ValueError, match="connectome must be given for the classifier 'elegans', got None"):
        build_model("classifier", "elegans")


def test_arguments_are_stored_with_their_defaults(tiny):
    model = build_model("classifier", "elegans", connectome=tiny, image_size=8, outputs=("F",), steps=5)
    assert model.arguments == {
        "num_classes": 10,
        "in_channels": 3,
        "image_size": 8,
        "width": 64,
        "blocks": 1,
        "channels": 1,
        "dropout": 0.0,
        "core": "message-passing",
        "outputs": ["F"],
        "steps": 5,
    }
    assert build_model("autoencoder", "mlp").arguments == {
        "code": 128,
        "image_size": 28,
        "in_channels": 1,
        "width": 448,
        "depth": 1,
    }
