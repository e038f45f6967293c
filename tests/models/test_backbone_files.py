"""Weights of a backbone from a file: by name, in order, refused; and the heads to compare with."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from elegans_gnn import attach_head
from elegans_gnn.models import BackboneClassifier, from_pretrained, parameters

LITE = "timm/tf_efficientnet_lite0"
State = dict[str, Tensor]


@pytest.fixture(scope="module")
def state() -> State:
    """Weights of the network as another library names them: 296 tensors."""
    torch.manual_seed(7)
    own: State = timm.create_model("tf_efficientnet_lite0").state_dict()
    return {f"_{number}.{name.rpartition('.')[2]}": value for number, (name, value) in enumerate(own.items())}


def first_layer(model: BackboneClassifier) -> Tensor:
    weight: Tensor = model.backbone.get_parameter("conv_stem.weight")
    return weight


@pytest.mark.parametrize("ending", [".pth", " inside.pt"])
def test_weights_with_other_names_go_in_order(ending: str, tiny, state: State, tmp_path: Path) -> None:
    path = tmp_path / f"lite0{ending}"
    torch.save({"state_dict": state, "epoch": 3} if "inside" in ending else state, path)
    model = attach_head(LITE, tiny, 3, weights=str(path), frozen=True)
    assert len(state) == 296
    loaded = list(model.backbone.state_dict().values())
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(loaded, state.values(), strict=False))
    assert len(loaded) == 294  # without the classifier
    assert model.mean.flatten().tolist() == [0.5] * 3  # the colours that timm states for these weights
    # The folder brings the weights: the file may go.
    path.unlink()
    back = from_pretrained(model.eval().save_pretrained(tmp_path / "model"), BackboneClassifier)
    assert torch.equal(first_layer(back), first_layer(model))


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_its_own_names_come_first(ending: str, tiny, state: State, tmp_path: Path) -> None:
    body, path = timm.create_model("tf_efficientnet_lite0"), tmp_path / f"own{ending}"
    save = torch.save if ending == ".pth" else save_file
    save(dict(reversed(body.state_dict().items())), path)
    model = attach_head(LITE, tiny, 3, weights=str(path))
    assert torch.equal(first_layer(model), body.conv_stem.weight)
    if ending == ".safetensors":
        save_file(state, path)
        with pytest.raises(ValueError, match=r"weights must be .*, under its names, got .*own.safetensors with _\d+\."):
            attach_head(LITE, tiny, 3, weights=str(path))


def test_old_files_of_torchvision_lack_counters(tiny, tmp_path: Path) -> None:
    import torchvision

    body = torchvision.models.shufflenet_v2_x0_5()
    old = {name: value for name, value in body.state_dict().items() if not name.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pth")
    model = attach_head("shufflenet_v2_x0_5", tiny, 3, weights=str(tmp_path / "old.pth"))
    assert torch.equal(model.backbone.get_parameter("conv1.0.weight"), body.conv1[0].weight)
    assert model.std.flatten().tolist() == pytest.approx([0.229, 0.224, 0.225])


def _swapped(state: State) -> State:
    names = list(state)
    return {**state, names[0]: state[names[6]], names[6]: state[names[0]]}


BAD: dict[str, tuple[Callable[[State], object], str]] = {
    "another network": (lambda state: dict(list(state.items())[:-2]), "with 294 tensors instead of 296"),
    "another order": (_swapped, r"with shape \[32, 1, 3, 3\] instead of \[32, 3, 3, 3\] for conv_stem.weight"),
    "no tensors": (lambda state: {"a": 3}, "with a dict of other things"),
    "a list": (lambda state: list(state.values()), "with a list of other things"),
    "nothing": (lambda state: {}, "with a dict of other things"),
}


@pytest.mark.parametrize("case", BAD)
def test_weights_of_other_networks_are_refused(case: str, tiny, state: State, tmp_path: Path) -> None:
    change, message = BAD[case]
    torch.save(change(state), tmp_path / "bad.pth")
    with pytest.raises(ValueError, match=f"weights must be a file with .*bad.pth {message}"):
        attach_head(LITE, tiny, 3, weights=str(tmp_path / "bad.pth"))


class _Runs:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this ran",)


@pytest.mark.parametrize("ending", [".pth", ".safetensors"])
def test_damaged_files_and_pickles_of_code_are_refused(
    ending: str, tiny, state: State, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"bad{ending}"
    torch.save(state, path)
    for content in (path.read_bytes()[:1000], b"", b"some text", pickle.dumps(_Runs())):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"weights must be a file with tensors alone, got .*bad{ending} \(.+\)"):
            attach_head(LITE, tiny, 3, weights=str(path))
    assert "this ran" not in capsys.readouterr().out
    with pytest.raises(ValueError, match="weights must be a file with weights, got .*none.*, which does not exist"):
        attach_head(LITE, tiny, 3, weights=str(tmp_path / f"none{ending}"))


def test_plain_heads_have_one_layer_or_the_size_of_the_worms(worm) -> None:
    heads = {name: attach_head("shufflenet_v2_x0_5", worm, 10, head=name) for name in ("worm", "linear", "mlp")}
    sizes = {name: parameters(model.head) for name, model in heads.items()}
    assert sizes["linear"] == 2 * 1024 + 1024 * 10 + 10
    assert sizes["mlp"] == pytest.approx(sizes["worm"], rel=1e-3)
    images = torch.rand(2, 3, 32, 32)
    for name, model in heads.items():
        model.eval()
        logits = model(images)
        assert logits.shape == (2, 10)
        torch.testing.assert_close(model(model.features(images)[:, :, None, None]), logits)
        assert sum(model.parameters_by_part().values()) == parameters(model)
        assert [part.weight.shape[0] for part in model.head.head.modules() if hasattr(part, "weight")][-1] == 10, name
    wide = attach_head("shufflenet_v2_x0_5", worm, 10, head="mlp", channels=2)
    assert parameters(wide.head) > 1.9 * sizes["mlp"]


def test_plain_heads_are_saved_and_refuse_what_they_ignore(worm, tmp_path: Path) -> None:
    model = attach_head("shufflenet_v2_x0_5", worm, 3, head="mlp").eval()
    back = from_pretrained(model.save_pretrained(tmp_path / "model"))
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(back(images), model(images))
    with pytest.raises(ValueError, match="head must be worm or mlp with other options .*, got linear with leak=0.3"):
        attach_head("shufflenet_v2_x0_5", worm, 3, head="linear", leak=0.3)
    with pytest.raises(ValueError, match="head must be one of worm, linear, mlp, got 'lin'; did you mean 'linear'"):
        attach_head("shufflenet_v2_x0_5", worm, 3, head="lin")
