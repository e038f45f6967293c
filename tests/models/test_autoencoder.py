"""The autoencoder: shapes, the one path through the connectome, what it refuses."""

from __future__ import annotations

import pytest
import torch

from elegans_gnn import Connectome, ElegansAutoencoder, ElegansClassifier


def small(worm: Connectome, **options: object) -> ElegansAutoencoder:
    torch.manual_seed(0)
    return ElegansAutoencoder(worm, encoder_width=8, decoder_width=8, **options)


@pytest.mark.parametrize(
    "options", [{}, {"channels": 2, "code": 7}, {"unit": "role"}, {"encoder_blocks": 0, "decoder_blocks": 0}]
)
def test_shapes(worm, images, options):
    model = small(worm, **options)
    assert model.encode(images).shape == (3, options.get("code", 128))
    assert model(images).shape == (3, 1, 28, 28)
    assert sum(model.parameters_by_part().values()) == sum(p.numel() for p in model.parameters())


def test_the_only_path_from_image_to_code_is_the_connectome(worm, images):
    model = small(worm)
    assert model.encode(images).std(0).max() > 1e-3
    model.core.lesion(edges=range(worm.num_edges))
    code = model.encode(images)
    assert torch.equal(code, code[:1].expand_as(code))
    images = images.clone().requires_grad_()
    model.encode(images).sum().backward()
    assert images.grad.abs().max() == 0


def test_silencing_the_output_neurons_alone_closes_the_path_too(worm, images):
    model = small(worm)
    model.core.lesion(neurons=worm.names[worm.role_index("motor")].tolist())
    code = model.encode(images)
    assert torch.equal(code, code[:1].expand_as(code))


def test_every_parameter_gets_a_gradient(worm, images):
    model = small(worm)
    model.loss(images).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert without == []


def test_learns_a_batch_by_heart_and_not_shuffled_targets(worm, images):
    def final_loss(targets: torch.Tensor) -> float:
        model = small(worm)
        optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
        for _ in range(60):
            optimizer.zero_grad()
            loss = torch.nn.functional.binary_cross_entropy_with_logits(model(images[:1].repeat(3, 1, 1, 1)), targets)
            loss.backward()
            optimizer.step()
        return loss.item()

    same, different = final_loss(images[:1].repeat(3, 1, 1, 1)), final_loss(images)
    # One input cannot draw three pictures.
    assert same < 0.15 < different


def test_images_of_another_shape_are_refused(worm, unchecked_shapes):
    model = small(worm)
    with pytest.raises(
        ValueError, match=r"images must be of shape \[B, 1, 28, 28\], got \[1, 28, 28\]; one image needs a batch"
    ):
        model(torch.zeros(1, 28, 28))
    with pytest.raises(ValueError, match=r"got \[2, 3, 28, 28\]; resize or convert"):
        model(torch.zeros(2, 3, 28, 28))
    with pytest.raises(ValueError, match="code must be >= 1, got 0"):
        small(worm, code=0)


@pytest.mark.parametrize("build", [ElegansAutoencoder, ElegansClassifier])
def test_options_that_open_a_way_around_or_do_not_exist_are_refused(worm, build):
    with pytest.raises(ValueError, match="inputs and outputs must be without a neuron in common, got ADEL"):
        build(worm, outputs="sensory")
    with pytest.raises(ValueError, match="option must be one of .*got 'chanels'; did you mean"):
        build(worm, chanels=2)
    with pytest.raises(ValueError, match="option must be one of .*got 'kernel_size'"):
        build(worm, kernel_size=3)
    with pytest.raises(ValueError, match="channels must be >= 1, got 0"):
        build(worm, channels=0)
