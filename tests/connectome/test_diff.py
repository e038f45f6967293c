"""Comparison: what is reported, what counts as the same neuron, and label slips found - and not imagined."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elegans_gnn.connectome import Connectome, diff, list_connectomes, load_connectome, read_graphml
from tests.connectome.strategies import connectomes

DATA = Path(__file__).resolve().parents[1] / "data"


def _script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_slipped_graphml", DATA / "make_slipped_graphml.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SCRIPT = _script()


@pytest.fixture(scope="module")
def worm() -> Connectome:
    return load_connectome("varshney2011")


def small(**columns: object) -> Connectome:
    given = {"kinds": ["chemical", "gap", "gap"], "counts": [3, 1, 1], "roles": ["sensory", "inter", "motor"]} | columns
    return Connectome.from_edges("small", ["ASH", "AVA", "DA1"], [0, 1, 2], [1, 2, 1], **given)  # type: ignore[arg-type]


@settings(max_examples=60, deadline=None)
@given(connectomes(), connectomes())
def test_identical_means_equal_and_both_sides_mirror(a: Connectome, b: Connectome) -> None:
    assert a.diff(a).identical
    forward, backward = a.diff(b), b.diff(a)
    assert forward.identical == (a == b)
    assert forward.edges_common == backward.edges_common
    assert forward.edges_only == backward.edges_only[::-1]
    assert forward.neurons_only == backward.neurons_only[::-1]
    assert len(forward.counts) == len(backward.counts)
    assert forward.edges_common + len(forward.edges_only[0]) == a.num_edges
    assert forward.edges_common + len(forward.edges_only[1]) == b.num_edges
    json.dumps(forward.to_dict())
    assert str(forward)


def test_every_difference_is_reported(worm: Connectome) -> None:
    a = small(weights=[0.5, 1.0, 1.0], classes=["ASH", "AVA", "DA"])
    b = Connectome.from_edges(
        "other",
        ["AVA", "ASH", "RIA"],
        [1, 0, 0],
        [0, 2, 0],
        kinds="chemical",
        counts=[4, 1, 2],
        weights=[0.25, 1, 1],
        roles=["motor", "sensory", "inter"],
        visit_rank=[1, 0, 2],
    )
    found = a.diff(b)
    assert found.names == ("small", "other")
    assert found.neurons_only == (("DA1",), ("RIA",))
    assert found.roles == (("AVA", "inter", "motor"),)
    assert found.annotations == (("ASH", "classes", "ASH", ""), ("AVA", "classes", "AVA", ""))
    assert found.edges_only == (
        (("AVA", "DA1", "gap"), ("DA1", "AVA", "gap")),
        (("AVA", "AVA", "chemical"), ("AVA", "RIA", "chemical")),
    )
    assert found.edges_common == 1
    assert found.counts == (("ASH", "AVA", "chemical", 3, 4),)
    assert found.weights == (("ASH", "AVA", "chemical", 0.5, 0.25),)
    assert found.order_differs
    assert not found.visit_order_differs
    assert found.label_slip is None
    assert not found.identical
    assert str(found).splitlines() == [
        "small | other",
        "  neurons only in small: 1 (DA1)",
        "  neurons only in other: 1 (RIA)",
        "  roles: 1 (AVA inter | motor)",
        "  annotations: 2 (ASH ASH | -, AVA AVA | -)",
        "  the neuron axis is in another order",
        "  edges in common: 1",
        "  edges only in small: 2 (AVA -> DA1 gap, DA1 -> AVA gap)",
        "  edges only in other: 2 (AVA -> AVA chemical, AVA -> RIA chemical)",
        "  counts: 1 (ASH -> AVA chemical 3 | 4); lower in 1, higher in 0",
        "  weights: 1 (ASH -> AVA chemical 0.5 | 0.25); lower in 0, higher in 1",
    ]
    with pytest.raises(FrozenInstanceError):
        found.edges_common = 2  # type: ignore[misc]


def test_one_column_at_a_time() -> None:
    a = small()
    assert a.diff(a.relabel([2, 0, 1])).order_differs
    assert not a.diff(a.relabel([2, 0, 1])).visit_order_differs
    assert a.diff(replace(a, visit_rank=np.array([2, 0, 1]))).visit_order_differs
    weighted = small(weights=[1.0, 2.0, 2.0])
    assert a.diff(weighted).weights[0] == ("ASH", "AVA", "chemical", None, 1.0)
    assert "weights: 3" in str(weighted.diff(a))
    assert a.diff(small(kinds="chemical")).edges_only[1] == (("AVA", "DA1", "chemical"), ("DA1", "AVA", "chemical"))


def test_names_with_and_without_leading_zeros_are_the_same_neuron() -> None:
    padded = Connectome.from_edges(
        "padded", ["ASH", "AVA", "DA01"], [0, 1, 2], [1, 2, 1], kinds=["chemical", "gap", "gap"]
    )
    found = padded.diff(small())
    assert found.neurons_only == ((), ())
    assert found.edges_common == 3
    both = Connectome.from_edges("both", ["DA1", "DA01"], [], [])
    assert both.diff(both.rename("again")).identical
    assert both.diff(Connectome.from_edges("one", ["DA1"], [], [])).neurons_only == (("DA01",), ())


def test_long_lists_are_cut_in_print_but_not_in_the_result(worm: Connectome) -> None:
    found = worm.diff(worm.select(kinds="gap"))
    assert len(found.edges_only[0]) == 2194
    assert max(map(len, str(found).splitlines())) < 300
    assert ", ... 2,189 more)" in str(found)


def test_the_slip_of_the_circulating_file(worm: Connectome) -> None:
    """From DD6 on, 172 of 279 names are shifted by one row; undone, the edges are Varshney's exactly."""
    slip = SCRIPT.with_slip(worm).diff(worm).label_slip
    assert slip is not None
    assert (slip.first, slip.last, slip.neurons, slip.shift) == ("DD6", "VD13", 172, 1)
    assert (slip.common_before, slip.common_after) == (1390, 3225)
    assert slip.repaired == worm
    assert slip.after.identical


def test_the_slipped_excerpt(tmp_path: Path, worm: Connectome) -> None:
    SCRIPT.main(tmp_path)
    assert (tmp_path / SCRIPT.FILE).read_bytes() == (DATA / SCRIPT.FILE).read_bytes()
    excerpt = read_graphml(DATA / SCRIPT.FILE)
    truth = worm.select(names=excerpt.names)
    found = excerpt.diff(truth)
    assert found.neurons_only == ((), ())
    assert not found.roles
    slip = found.label_slip
    assert slip is not None
    assert (slip.first, slip.last, slip.neurons, slip.shift) == ("DD6", "PHAL", 33, 1)
    assert (found.edges_common, slip.common_before, slip.common_after, truth.num_edges) == (60, 60, 151, 151)
    assert slip.roles_misplaced == 10
    assert len(slip.after.counts) == 18
    assert all(kind == "chemical" and low < right for *_, kind, low, right in slip.after.counts)
    assert not any(slip.after.edges_only)
    text = "33 names from DD6 to PHAL are shifted in a ring: each has the wiring of the name 1 row further down\n"
    assert f"LABEL SLIP: {text}" in str(found)
    assert "undone: edges in common: 151" in str(found)
    assert json.loads(json.dumps(found.to_dict()))["label_slip"]["neurons"] == 33
    # Against the whole worm, of which the excerpt has only a part, it is found as well.
    whole = excerpt.diff(worm).label_slip
    assert whole is not None
    assert (whole.first, whole.last) == ("DD6", "PHAL")


@pytest.mark.parametrize("shift", [-3, -1, 2])
@pytest.mark.parametrize(("first", "last"), [(0, 279), (40, 90), (250, 279), (100, 112)])
def test_slips_of_other_runs_and_shifts_are_found(worm: Connectome, first: int, last: int, shift: int) -> None:
    rows = np.arange(279)
    rows[first:last] = np.roll(rows[first:last], shift)
    slipped = Connectome.from_edges(
        "slipped", worm.names, rows[worm.pre], rows[worm.post], kinds=worm.kinds, counts=worm.counts, roles=worm.roles
    )
    slip = slipped.diff(worm).label_slip
    assert slip is not None
    assert (slip.neurons, slip.shift, slip.common_after) == (last - first, shift, 3225)
    assert (slip.first, slip.last) == (worm.names[first], worm.names[last - 1])


def test_a_slip_is_found_through_other_differences(worm: Connectome) -> None:
    rng = np.random.default_rng(0)
    chemical = worm.select(kinds="chemical")
    keep = rng.random(chemical.num_edges) < 0.8
    thinned = Connectome.from_edges("thinned", worm.names, chemical.pre[keep], chemical.post[keep], roles=worm.roles)
    slip = SCRIPT.with_slip(thinned).diff(worm).label_slip
    assert slip is not None
    assert (slip.first, slip.neurons, slip.common_after) == ("DD6", 172, int(keep.sum()))


def test_no_slip_is_imagined(worm: Connectome) -> None:
    shuffled = worm.relabel(np.random.default_rng(1).permutation(279))
    assert shuffled.diff(worm).label_slip is None
    rng = np.random.default_rng(2)
    for _ in range(5):
        pre, post = np.divmod(rng.choice(279 * 279, 3000, replace=False), 279)
        assert Connectome.from_edges("random", worm.names, pre, post).diff(worm).label_slip is None
    rotated = Connectome.from_edges("two", ["a", "b"], ["a"], ["b"])
    assert rotated.diff(Connectome.from_edges("two", ["a", "b"], ["b"], ["a"])).label_slip is None


@pytest.mark.parametrize("name", [name for name in list_connectomes() if name != "varshney2011"])
def test_other_published_connectomes_have_not_slipped(worm: Connectome, name: str) -> None:
    other = load_connectome(name)
    assert other.diff(worm).label_slip is None
    assert worm.diff(other).label_slip is None


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(20, 40), st.data())
def test_slips_of_random_graphs_are_undone(seed: int, size: int, data: st.DataObject) -> None:
    """From 20 neurons on: in smaller graphs another shift may explain as much by chance."""
    rng = np.random.default_rng(seed)
    pre, post = np.divmod(rng.choice(size * size, size * size // 4, replace=False), size)
    names = [f"n{row:02d}" for row in range(size)]
    graph = Connectome.from_edges("g", names, pre, post)
    first = data.draw(st.integers(0, size - 8))
    last = data.draw(st.integers(first + 8, size))
    shift = data.draw(st.sampled_from([-2, -1, 1, 2]))
    rows = np.arange(size)
    rows[first:last] = np.roll(rows[first:last], shift)
    slip = Connectome.from_edges("g", names, rows[pre], rows[post]).diff(graph).label_slip
    assert slip is not None
    assert slip.repaired == graph
    assert (slip.neurons, abs(slip.shift)) == (last - first, abs(shift))


def test_the_function_and_the_method_agree(worm: Connectome) -> None:
    gap = worm.select(kinds="gap")
    assert diff(gap, worm).to_dict() == gap.diff(worm).to_dict()
