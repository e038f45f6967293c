"""The autoencoder of synaptic steps: both ways through the wiring, and every way to run it."""

from __future__ import annotations

import pytest
import torch

from elegans_gnn.models import (
    ElegansNetAutoencoder,
    count_flops,
    export_program,
    from_pretrained,
    options_of,
    parameters,
)
from elegans_gnn.nn import SynapticCore


def small(graph, **options) -> ElegansNetAutoencoder:
    torch.manual_seed(0)
    return ElegansNetAutoencoder(graph, **{"steps": 1, "late_steps": 3, "code": 8, **options})


@pytest.mark.parametrize("options", [{}, {"channels": 2, "channel_filters": "mixed", "leak": 0.9}, {"gap": "merged"}])
def test_shapes_and_parts(worm, images, options):
    model = small(worm, **options)
    assert model.encode(images).shape == (3, 8)
    assert model(images).shape == (3, 1, 28, 28)
    assert sum(model.parameters_by_part().values()) == parameters(model)
    inside = sum(count_flops(model, 1, 1, 28, 28, part=part) for part in model.WIRED)
    assert inside / count_flops(model, 1, 1, 28, 28) > 0.85


def test_the_decoder_runs_the_wiring_backwards(worm):
    model = small(worm)
    assert torch.equal(model.back.input_index, model.core.output_index)
    assert torch.equal(model.back.output_index, model.core.input_index)
    there = set(map(tuple, model.core.synapses[0].pairs.T.tolist()))
    back = set(map(tuple, model.back.synapses[0].pairs.T.tolist()))
    assert back == {(v, u) for u, v in there} != there
    assert (model.back.steps, model.back.late_steps) == (3, 1)


def test_signals_run_against_the_synapses_and_maps_are_doubled(tiny):
    core = SynapticCore(tiny, 1, steps=2, late_steps=2, inputs=["F"], outputs=["A"], backwards=True)
    assert core(torch.randn(2, 1, 1, 7, 7)).shape == (2, 1, 1, 14, 14)
    with pytest.raises(ValueError, match="outputs must be reachable from the inputs in 4 steps"):
        SynapticCore(tiny, 1, steps=2, late_steps=2, inputs=["A"], outputs=["F"], backwards=True)


def test_all_that_passes_goes_through_synapses(worm, images):
    silent = small(worm, synapses="silent")
    assert silent.encode(images).std(0).max() == 0
    assert silent.decode(torch.randn(3, 8)).std(0).max() == 0
    model = small(worm)
    assert model.encode(images).std(0).max() > 1e-3
    assert model.decode(torch.randn(3, 8)).std(0).max() > 1e-3


def test_every_parameter_gets_a_gradient(worm, images):
    model = small(worm)
    model.loss(images).backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().max() > 0] == []


def test_learns_a_batch_by_heart(worm, images):
    model = small(worm, code=16)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = model.loss(images)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


def test_travels_and_exports(tiny, images, tmp_path, unchecked_shapes):
    model = small(tiny, steps=2, leak=0.9).eval()
    back = from_pretrained(model.save_pretrained(tmp_path / "model"))
    assert torch.equal(back(images), model(images))
    program = export_program(model, images)
    assert not any("elegans_gnn" in str(node.target) for node in program.graph.nodes)
    assert torch.allclose(program.module()(images[:2]), model(images[:2]), atol=1e-5)


def test_options_and_refusals(tiny, unchecked_shapes):
    assert {"code", "channels", "steps", "filters", "synapses"} <= options_of(ElegansNetAutoencoder).keys()
    assert not {"signs", "backwards"} & options_of(ElegansNetAutoencoder).keys()
    with pytest.raises(ValueError, match="late_steps must be >= 1, got 0"):
        small(tiny, late_steps=0)
    with pytest.raises(ValueError, match=r"images must be of shape \[B, 1, 28, 28\], got \[1, 3, 28, 28\]"):
        small(tiny)(torch.zeros(1, 3, 28, 28))
