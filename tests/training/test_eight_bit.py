"""The code in eight bits a float: levels by hand, and what a reconstruction loses."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from elegans_gnn.training import EightBitCode, eight_bit_reconstruction


def test_levels_by_hand() -> None:
    codes = torch.tensor([[0.0, -1.0], [255.0, 1.0]])
    rounded = EightBitCode(codes)
    given = torch.tensor([[0.4, -1.0], [0.6, 0.003], [254.6, 1.0], [300.0, -7.0]])
    step = 2 / 255
    # 0.003 lies 127.88 levels above -1.
    expected = torch.tensor([[0.0, -1.0], [1.0, -1 + 128 * step], [255.0, 1.0], [255.0, -1.0]])
    assert torch.allclose(rounded(given), expected, atol=1e-6)


def test_at_most_256_values_a_float_and_half_a_level_off() -> None:
    codes = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 100.0, 1e-3])
    rounded = EightBitCode(codes)(codes)
    for before, after in zip(codes.T, rounded.T, strict=True):
        assert 150 < len(after.unique()) <= 256
        half = (before.max() - before.min()) / 255 / 2
        assert float((after - before).abs().max()) <= float(half) * 1.001
    assert torch.equal(EightBitCode(codes)(rounded), rounded)


def test_a_float_that_never_changes_is_kept() -> None:
    codes = torch.tensor([[3.0, 0.0], [3.0, 1.0]])
    assert EightBitCode(codes)(torch.tensor([[9.0, 0.0]])).tolist() == [[3.0, 0.0]]


class Plain(nn.Module):
    """Its code is the picture."""

    def encode(self, images: Tensor) -> Tensor:
        return images.flatten(1)

    def decode(self, code: Tensor) -> Tensor:
        return code.reshape(-1, 1, 2, 2)


def test_ranges_come_from_the_known_images_alone() -> None:
    known = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 1, 2, 2).contiguous()
    logits_of = eight_bit_reconstruction(Plain(), known)
    unseen = torch.full((1, 1, 2, 2), 5.0)
    assert logits_of(unseen).tolist() == torch.ones(1, 1, 2, 2).tolist()
    assert float(logits_of(known * 0.5).max()) == pytest.approx(0.5, abs=1 / 255)
