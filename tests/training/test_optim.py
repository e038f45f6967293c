"""Muon and AdamW in one optimiser, the schedule and the average of the weights."""

from __future__ import annotations

import io
import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from elegans_gnn import load_connectome
from elegans_gnn.models import ElegansAutoencoder
from elegans_gnn.training import MuonAdamW, exponential_average, parameter_groups, warmup_cosine
from elegans_gnn.training.optim import orthogonalize


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


@pytest.mark.parametrize("shape", [(16, 48), (48, 16), (33, 100), (1, 7), (7, 1), (1, 1)])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_singular_values_come_near_one_and_singular_vectors_stay(shape: tuple[int, int], scale: float) -> None:
    matrix = normal(*shape, dtype=torch.float64) * scale
    left, before, right = torch.linalg.svd(matrix, full_matrices=False)
    inner = left.T @ orthogonalize(matrix) @ right.T
    after = inner.diagonal()
    assert float(after.min()) > 0.65
    assert float(after.max()) < 1.25
    assert float((inner - torch.diag(after)).abs().max()) < 1e-9
    assert len(before) == 1 or float(before.max() / before.min()) > 1.5


def test_signs_are_kept() -> None:
    matrix = normal(20, 30)
    assert torch.equal(orthogonalize(-matrix), -orthogonalize(matrix))


def test_a_zero_gradient_stays_zero() -> None:
    assert torch.equal(orthogonalize(torch.zeros(3, 5)), torch.zeros(3, 5))


def muon(parameter: nn.Parameter, **options: float) -> MuonAdamW:
    group = {"params": [parameter], "lr": 0.05, "weight_decay": 0.1, "muon": True, **options}
    return MuonAdamW([group])


@pytest.mark.parametrize("shape", [(24, 40), (40, 24), (17, 17)])
def test_two_muon_steps_by_hand(shape: tuple[int, int]) -> None:
    weight = normal(*shape, dtype=torch.float64)
    gradients = [normal(*shape, seed=seed, dtype=torch.float64) for seed in (1, 2)]
    parameter = nn.Parameter(weight.clone())
    optimizer = muon(parameter)
    momentum, expected = torch.zeros_like(weight), weight
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
        momentum = 0.95 * momentum + 0.05 * gradient
        update = orthogonalize(0.05 * gradient + 0.95 * momentum)
        stretch = math.sqrt(max(1.0, shape[0] / shape[1]))
        expected = (1 - 0.05 * 0.1) * expected - 0.05 * stretch * update
        assert torch.allclose(parameter.detach(), expected, rtol=0, atol=1e-14)


def test_like_torch_muon_up_to_its_bfloat16() -> None:
    """torch.optim.Muon iterates in bfloat16, with 8 bits of mantissa: a per cent of the step."""
    start = normal(64, 32)
    ours, theirs = nn.Parameter(start.clone()), nn.Parameter(start.clone())
    optimizers = [muon(ours), torch.optim.Muon([theirs], lr=0.05, weight_decay=0.1)]
    for seed in range(1, 6):
        for parameter, optimizer in zip((ours, theirs), optimizers, strict=True):
            parameter.grad = normal(64, 32, seed=seed)
            optimizer.step()
    moved = (theirs.detach() - start).norm()
    assert (ours.detach() - theirs.detach()).norm() < 0.02 * moved


def test_a_convolution_counts_as_a_matrix() -> None:
    weight, gradient = normal(32, 5, 3, 3), normal(32, 5, 3, 3, seed=1)
    kernel, matrix = nn.Parameter(weight.clone()), nn.Parameter(weight.flatten(1).clone())
    kernel.grad, matrix.grad = gradient, gradient.flatten(1)
    muon(kernel).step()
    muon(matrix).step()
    assert kernel.shape == (32, 5, 3, 3)
    assert torch.equal(kernel.flatten(1), matrix)
    assert not torch.equal(kernel, weight)


def small_model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 20), nn.LayerNorm(20), nn.Linear(20, 3))


def groups_of(model: nn.Sequential) -> list[dict[str, object]]:
    return parameter_groups(model, matrix_parts=[model[0], model[2]], lr=1e-2, muon_lr=0.05, weight_decay=0.3)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        optimizer.zero_grad()
        model(normal(8, 20, seed=step)).square().sum().backward()
        optimizer.step()


def test_groups_without_muon_are_adamw_to_the_last_bit() -> None:
    ours, theirs = small_model(), small_model()
    groups = [{**group, "muon": False} for group in groups_of(ours)]
    reference = [{key: group[key] for key in ("params", "lr", "weight_decay")} for group in groups_of(theirs)]
    train(ours, MuonAdamW(groups, betas=(0.9, 0.99)), range(5))
    train(theirs, torch.optim.AdamW(reference, betas=(0.9, 0.99)), range(5))
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_adamw_groups_beside_muon_do_not_notice_it() -> None:
    """Fixed gradients, so that what Muon does to the matrices cannot reach the others."""
    ours, theirs = small_model(), small_model()
    optimizer = MuonAdamW(groups_of(ours), betas=(0.9, 0.99))
    others = [{key: group[key] for key in ("params", "lr", "weight_decay")} for group in groups_of(theirs)[1:]]
    reference = torch.optim.AdamW(others, betas=(0.9, 0.99))
    for step in range(4):
        for model in (ours, theirs):
            for number, parameter in enumerate(model.parameters()):
                parameter.grad = normal(*parameter.shape, seed=100 * step + number)
        optimizer.step()
        reference.step()
    matrices = {id(ours[0].weight), id(ours[2].weight)}
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b) == (id(a) not in matrices)


def test_checkpoint_round_trip_goes_on_as_if_nothing_happened() -> None:
    whole, part = small_model(), small_model()
    train(whole, MuonAdamW(groups_of(whole)), range(6))
    first = MuonAdamW(groups_of(part))
    train(part, first, range(3))
    file = io.BytesIO()
    torch.save({"model": part.state_dict(), "optimizer": first.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed = small_model()
    resumed.load_state_dict(saved["model"])
    second = MuonAdamW(groups_of(resumed))
    second.load_state_dict(saved["optimizer"])
    train(resumed, second, range(3, 6))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))
    forgotten = small_model()
    forgotten.load_state_dict(saved["model"])
    train(forgotten, MuonAdamW(groups_of(forgotten)), range(3, 6))
    assert not torch.equal(whole[0].weight, forgotten[0].weight)


def test_rate_zero_changes_no_weight_and_remembers_the_gradient() -> None:
    model = small_model()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer = MuonAdamW([{**group, "lr": 0.0} for group in groups_of(model)])
    train(model, optimizer, range(2))
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert float(optimizer.state[model[0].weight]["momentum_buffer"].abs().max()) > 0


def test_parameters_without_gradient_are_left_alone() -> None:
    model = small_model()
    before = [parameter.detach().clone() for parameter in model.parameters()]
    MuonAdamW(groups_of(model)).step()
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_closure_is_run_with_gradients_and_its_loss_returned() -> None:
    model = small_model()
    optimizer = MuonAdamW(groups_of(model))

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss: Tensor = model(normal(8, 20)).square().sum()
        loss.backward()
        return loss

    losses = [float(optimizer.step(closure).detach()) for _ in range(20)]
    assert losses[-1] < 0.5 * losses[0]


def test_parameters_of_the_autoencoder_are_sorted_each_into_one_group() -> None:
    model = ElegansAutoencoder(load_connectome("varshney2011"), encoder_width=32, decoder_width=32)
    parts = [model.encoder, model.to_code, model.from_code, model.decoder]
    groups = parameter_groups(model, matrix_parts=parts, lr=1.0, muon_lr=2.0, weight_decay=3.0)
    numbers = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(numbers) == sorted(id(parameter) for parameter in model.parameters())
    matrices, others, vectors = groups
    assert [group["lr"] for group in groups] == [2.0, 1.0, 1.0]
    assert [group["muon"] for group in groups] == [True, False, False]
    assert [group["weight_decay"] for group in groups] == [3.0, 3.0, 0.0]
    assert all(parameter.dim() > 1 for parameter in [*matrices["params"], *others["params"]])
    assert all(parameter.dim() <= 1 for parameter in vectors["params"])
    inside = {id(parameter) for part in parts for parameter in part.parameters()}
    assert all(id(parameter) in inside for parameter in matrices["params"])
    # The first convolution sees one grey value and the last one draws few maps: no maps between spaces.
    assert all(parameter.shape[0] > 16 for parameter in matrices["params"])
    assert all(parameter.dim() == 2 or parameter.shape[1] > 1 for parameter in matrices["params"])
    core = {id(parameter) for parameter in model.core.parameters()}
    assert not core & {id(parameter) for parameter in matrices["params"]}


def test_empty_groups_are_left_out() -> None:
    model = nn.Linear(3, 2, bias=False)
    (group,) = parameter_groups(model, matrix_parts=[], lr=1.0, muon_lr=1.0, weight_decay=0.0)
    assert group["params"] == [model.weight]


def test_schedule_rises_to_the_peak_and_falls_to_zero() -> None:
    shares = [warmup_cosine(step, warmup=10, total=100) for step in range(101)]
    assert shares[0] == pytest.approx(0.1, abs=1e-12)
    assert all(b > a for a, b in pairwise(shares[:10]))
    assert all(b < a for a, b in pairwise(shares[10:]))
    assert max(shares) == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.09)), abs=1e-12)
    assert shares[50] == pytest.approx(0.5, abs=1e-12)
    assert shares[100] == pytest.approx(0.0, abs=1e-12)
    assert warmup_cosine(150, warmup=10, total=100) == pytest.approx(0.0, abs=1e-12)
    assert warmup_cosine(0, warmup=0, total=5) == 1.0


def test_average_forgets_the_start_and_then_keeps_the_given_share() -> None:
    average = exponential_average(0.9)

    def kept(count: int | torch.Tensor) -> float:
        old = [torch.tensor([0.0]), torch.tensor([2.0, 2.0])]
        average(old, [torch.tensor([1.0]), torch.tensor([2.0, 4.0])], count)
        assert old[1].tolist() == pytest.approx([2, 2 + 2 * float(old[0])])
        return 1 - float(old[0])

    counts = (0, 1, 8, 79, 80, 10_000, torch.tensor(8))
    assert list(map(kept, counts)) == pytest.approx([0.1, 2 / 11, 0.5, 80 / 89, 0.9, 0.9, 0.5], abs=1e-6)
