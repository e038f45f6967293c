"""The autoencoder's random start for a seed is part of every published figure: it stays what it was."""

from __future__ import annotations

import hashlib

import pytest
import torch

from elegans_gnn import ElegansAutoencoder, load_connectome

# Of names and values of everything outside the core, drawn after it: one draw more or less inside shows here too.
OUTSIDE_THE_CORE = "43f2744c44385ed06e933ca6a16a5511d9e17386194e577a4d8bcd1ce788e0ba"
# Sum and norm; calibration and orthogonal units run through linear algebra, whose last bits depend on the machine.
CORE = {
    "core.leak": (139.5, 8.351646544245034),
    "core.conv.bias": (0.0, 0.0),
    "core.conv.unit.weight": (2.2749243717407808, 3.9999998059896127),
    "core.conv.weights.theta": (-11.07826365758956, 7.6647850657709045),
    "core.conv.weights.wiring": (4250.0, 883.5258909618891),
}


@pytest.fixture(scope="module")
def model() -> ElegansAutoencoder:
    torch.manual_seed(0)
    return ElegansAutoencoder(load_connectome("varshney2011"))


def test_weights_outside_the_core_are_bit_identical(model):
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        if not name.startswith("core."):
            digest.update(name.encode() + value.contiguous().numpy().tobytes())
    assert digest.hexdigest() == OUTSIDE_THE_CORE


def test_weights_of_the_core_are_as_recorded(model):
    found = {name: value for name, value in model.state_dict().items() if name.startswith("core.")}
    assert list(found) == list(CORE)
    for name, (total, norm) in CORE.items():
        assert found[name].double().sum().item() == pytest.approx(total, rel=1e-4, abs=1e-4)
        assert found[name].double().norm().item() == pytest.approx(norm, rel=1e-4)


def test_first_loss_is_as_recorded(model):
    images = (torch.rand(8, 1, 28, 28, generator=torch.Generator().manual_seed(3)) > 0.8).float()
    assert model.loss(images).item() == pytest.approx(0.5037542581558228, rel=1e-5)
