"""Parts and rearrangements: what selecting, merging and relabelling keep."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elegans_gnn.connectome import Connectome, Neurons, load_connectome, select_neurons
from tests.connectome.strategies import chain, connectomes

EXAMPLES = settings(max_examples=60, deadline=None)


def test_select_by_role_kind_name_and_component() -> None:
    graph = chain(visit_rank=[3, 0, 2, 1])
    assert graph.select(roles=["inter", "motor"]).names.tolist() == ["AVA", "DA1"]
    assert graph.select(roles="inter").edge_index.tolist() == [[0], [0]]
    assert graph.select(kinds="gap").names.tolist() == graph.names.tolist()
    assert graph.select(kinds="gap").num_edges == 2
    assert graph.select(names=["DVA", "ASH"]).names.tolist() == ["ASH", "DVA"]
    assert graph.select(names=["DVA", "ASH"]).visit_rank.tolist() == [1, 0]
    assert graph.select(component="weak").names.tolist() == ["ASH", "AVA", "DA1"]
    assert graph.select(component="strong").names.tolist() == ["AVA", "DA1"]
    assert graph.select(kinds="chemical", component="weak").names.tolist() == ["ASH", "AVA"]
    assert graph.select() == graph
    assert graph.select(roles="polymodal").num_neurons == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"roles": "motors"},
            "roles must be one of sensory, inter, motor, polymodal, unknown, got 'motors'; did you mean",
        ),
        ({"kinds": ["gap", "merged"]}, "kinds must be one of chemical, gap, got 'merged'"),
        ({"names": ["AVB"]}, "names must be one of"),
        ({"component": "giant"}, "component must be one of weak, strong, got 'giant'"),
    ],
)
def test_select_refusals(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        chain().select(**arguments)  # type: ignore[arg-type]


def test_subset_takes_indices_or_a_mask() -> None:
    graph = chain(visit_rank=[3, 0, 2, 1])
    part = graph.subset([2, 0])
    assert part.names.tolist() == ["ASH", "DA1"]
    assert part.visit_rank.tolist() == [1, 0]
    assert part.num_edges == 0
    assert graph.subset(np.array([True, False, True, False])) == part
    assert graph.subset([]).num_neurons == 0
    with pytest.raises(ValueError, match=r"neurons must be a mask of shape \[4\], got \[2\]"):
        graph.subset([True, False])
    with pytest.raises(ValueError, match=r"neurons must be indices in 0..3, got \[-1\]"):
        graph.subset([-1])
    with pytest.raises(ValueError, match=r"neurons must be indices or a mask, got dtype <U3; use connectome.index"):
        graph.subset(["ASH"])


def test_merged_adds_up_counts_and_weights() -> None:
    graph = Connectome.from_edges(
        "g",
        ["a", "b"],
        [0, 0, 1, 1],
        [1, 1, 0, 1],
        kinds=["chemical", "gap", "gap", "chemical"],
        counts=[3, 2, 2, 1],
        weights=[0.5, 0.25, 0.25, 4.0],
        visit_rank=[1, 0],
    )
    merged = graph.merged()
    assert merged.edge_index.tolist() == [[0, 1, 1], [1, 0, 1]]
    assert merged.counts.tolist() == [5, 2, 1]
    assert merged.weights is not None
    assert merged.weights.tolist() == [0.75, 0.25, 4.0]
    assert merged.kind_names == ("merged",)
    assert merged.visit_rank.tolist() == [1, 0]
    assert merged.merged() == merged


@EXAMPLES
@given(connectomes(), st.randoms(use_true_random=False))
def test_relabelling_is_only_a_change_of_order(graph: Connectome, random: object) -> None:
    order = np.random.default_rng(random.getrandbits(32)).permutation(graph.num_neurons)  # type: ignore[attr-defined]
    turned = graph.relabel(order)
    assert turned.names.tolist() == graph.names[order].tolist()
    found = turned.diff(graph)
    assert not found.visit_order_differs
    assert found.order_differs == (turned != graph)
    assert replace(graph, visit_rank=turned.visit_rank).diff(graph).visit_order_differs == (
        turned.visit_rank.tolist() != graph.visit_rank.tolist()
    )
    # The visiting order, as names, is untouched.
    by_rank = [connectome.names[np.argsort(connectome.visit_rank)].tolist() for connectome in (graph, turned)]
    assert by_rank[0] == by_rank[1]
    assert turned.relabel(np.argsort(order)) == graph
    assert turned.merged() == graph.merged().relabel(order)


@EXAMPLES
@given(connectomes(), st.data())
def test_subsets_keep_entries_columns_and_the_visiting_order(graph: Connectome, data: st.DataObject) -> None:
    keep = np.array(
        data.draw(st.lists(st.booleans(), min_size=graph.num_neurons, max_size=graph.num_neurons)), dtype=bool
    )
    part = graph.subset(keep)
    kept = set(graph.names[keep].tolist())
    found = part.diff(graph)
    assert found.neurons_only == ((), tuple(name for name in graph.names.tolist() if name not in kept))
    assert (found.roles, found.annotations, found.counts, found.weights, found.edges_only[0]) == ((),) * 5
    assert (found.order_differs, found.visit_order_differs) == (False, False)
    assert all(pre not in kept or post not in kept for pre, post, _ in found.edges_only[1])
    assert part.subset(np.arange(part.num_neurons)) == part


@pytest.mark.parametrize("order", [[0, 1, 2], [0, 1, 2, 2], [0, 1, 2, 4]])
def test_relabel_refuses_what_is_no_permutation(order: list[int]) -> None:
    with pytest.raises(ValueError, match=r"order must be a permutation of 0..3"):
        chain().relabel(order)


@pytest.mark.parametrize(
    ("neurons", "expected"),
    [
        ("motor", [2, 4]),
        ("DA1", [2]),
        ("DA01", [2]),
        ("DA1,ASH", [2, 0]),
        ("DA01, AVA", [2, 1]),
        ("A,B", [4]),
        (["DA01"], [2]),
        (("DVA", "ASH"), [3, 0]),
        (iter(["DVA"]), [3]),
        (np.array(["DVA", "A,B"]), [3, 4]),
        ([3, 0], [3, 0]),
        (np.array([4, 1], dtype=np.int32), [4, 1]),
        ([False, True, False, True, False], [1, 3]),
    ],
)
def test_neurons_are_meant_by_role_name_index_or_mask(neurons: Neurons, expected: list[int]) -> None:
    """A role comes before a name, a name before names separated by commas."""
    graph = Connectome.from_edges(
        "g", ["ASH", "AVA", "DA1", "DVA", "A,B"], [], [], roles=["sensory", "inter", "motor", "unknown", "motor"]
    )
    found = select_neurons(graph, neurons, "inputs")
    assert found.tolist() == expected
    assert found.dtype == np.int64


@pytest.mark.parametrize(
    ("neurons", "message"),
    [
        (
            "polymodal",
            "at least one neuron, got 'polymodal': none; the roles present are sensory, inter, motor, unknown; "
            "inputs='A,B' names neurons, a list of indices or a mask works too, and so do 'all', 'sources', 'sinks'",
        ),
        ([], r"at least one neuron, got \[\]: none"),
        (np.zeros(4, dtype=bool), "at least one neuron, got none"),
        ("", "one of sensory, inter, motor, unknown, all, sources, sinks, the name of a neuron, got ''"),
        ("motr", "one of sensory, .* got 'motr'; did you mean 'motor'"),
        ("ASH,AVB", "names of neurons, one role, .*got 'AVB'; did you mean 'AVA'"),
        ("ASH,", "names of neurons, one role, or one of all, sources, sinks, got ''"),
        (["ASH", "AVB"], "one of ASH, AVA, DA1, DVA, got 'AVB'"),
        (["motor"], "one of ASH, AVA, DA1, DVA, got 'motor'"),
        ("ASH,ASH", "each neuron once, got ASH 2 times; drop the repetition"),
        (["DA1", "DA01"], "each neuron once, got DA1 2 times"),
        ([1, 1, 1], "each neuron once, got AVA 3 times"),
        ([0, 4, -1], r"indices in 0..3, got \[4, -1\]"),
        ([True, False], r"a mask of shape \[4\], got \[2\]"),
        ([0.5], "names, indices or a mask, got dtype float64"),
        (3, "a role, a name, names, indices or a mask, got 3; pass several neurons as one list"),
        (np.eye(4, dtype=bool), "a role, a name, names, indices or a mask, got array"),
    ],
)
def test_neurons_that_cannot_be_meant_are_refused(neurons: Neurons, message: str) -> None:
    with pytest.raises(ValueError, match=f"inputs must be {message}"):
        select_neurons(chain(), neurons, "inputs")


def test_a_reversed_graph_sends_what_it_received() -> None:
    worm = load_connectome("varshney2011")
    back = worm.reverse()
    entries = zip(worm.pre, worm.post, worm.kinds, worm.counts, strict=True)
    turned = sorted((v, u, kind, count) for u, v, kind, count in entries)
    assert list(zip(back.pre, back.post, back.kinds, back.counts, strict=True)) == turned
    assert back.reverse() == worm
    assert back != worm
    assert worm.select(kinds="gap").reverse() == worm.select(kinds="gap")
