"""The compiler: what it keeps, how deep it is, what it reports, and what it refuses."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings

from elegans_gnn.connectome import Connectome
from elegans_gnn.nn.tensor_network import Schedule
from elegans_gnn.nn.tensor_network.plan import make_plan
from elegans_gnn.nn.tensor_network.rules import parse_order
from elegans_gnn.nn.tensor_network.schedule import FIRST, FUSE, REAPPLY
from elegans_gnn.ops.codes import OP_ADD, OP_FUSE
from tests.tensor_network.cases import golden_graph, graphs, make_graph, orders, relation_sets


def wavefronts(**options: object) -> int:
    return Schedule.compile(golden_graph(), **options).num_wavefronts  # type: ignore[arg-type]


def test_depth_of_the_published_graph() -> None:
    """Without barriers between phases, for all visits and for those that motor states depend on."""
    whole = Schedule.compile(golden_graph(), commuting=True, outputs="all")
    assert whole.num_visits == whole.fired == 2967
    assert wavefronts(commuting=True, outputs="all") == 22
    assert wavefronts(outputs="all") == 95
    assert wavefronts(commuting=True) == 19
    assert wavefronts() == 52


def test_less_than_half_of_the_visits_matter() -> None:
    """M->O, S->S and I->I come after the last visit that motor states depend on."""
    schedule = Schedule.compile(golden_graph())
    assert (schedule.num_visits, schedule.fired) == (1275, 2967)
    assert {schedule.phases[i].name for i in np.unique(schedule.phase)} == {"S->O", "I->O", "M->M"}
    plan = make_plan(schedule, np.arange(279))
    assert [len(stage.neurons) for stage in plan.stages] == [121, 26, 2, 1]


def test_one_chain_by_hand() -> None:
    """S0 -> I1 -> M2, S0 -> M2: two units in a row, then a sum that waits for both."""
    graph = make_graph("SIM", [(0, 1), (1, 2), (0, 2)])
    schedule = Schedule.compile(graph, order="S->I, I->M, S->M")
    assert schedule.kind.tolist() == [FIRST, FIRST, FUSE]
    assert schedule.wavefront.tolist() == [1, 2, 3]
    again = Schedule.compile(graph, order="S->I, I->M, S->M", reapply=("SM",))
    assert again.kind.tolist() == [FIRST, FIRST, REAPPLY]


def test_sums_into_one_neuron_share_a_wavefront() -> None:
    graph = make_graph("SSSM", [(0, 3), (1, 3), (2, 3)])
    assert Schedule.compile(graph, commuting=True).wavefront.tolist() == [1, 2, 2]
    assert Schedule.compile(graph).wavefront.tolist() == [1, 2, 3]


def test_a_state_is_not_overwritten_before_it_is_read() -> None:
    """I1's first state is read by M2 (third visit) before the last visit changes it; both may share a wavefront."""
    graph = make_graph("SIMS", [(0, 1), (0, 2), (1, 2), (3, 1), (2, 2)])
    schedule = Schedule.compile(graph, order="S->M, S->I, I->M, M->M", outputs="all", commuting=True)
    depth = {
        (int(u), int(v)): int(d) for u, v, d in zip(schedule.source, schedule.target, schedule.wavefront, strict=True)
    }
    assert depth[1, 2] > depth[3, 1], "in this order the second sum into I1 comes before M2 reads it"
    assert depth[2, 2] > depth[1, 2], "a self-loop doubles the finished sum"


@settings(max_examples=60, deadline=None)
@given(graph=graphs(), order=orders(), reapply=relation_sets())
def test_depths_respect_every_dependence(graph: Connectome, order: str, reapply: tuple[str, ...]) -> None:
    """Brute force: replay the visits and check each pair that may not swap."""
    schedule = Schedule.compile(graph, order=order, reapply=reapply, outputs="all")
    visits = list(
        zip(*(a.tolist() for a in (schedule.source, schedule.target, schedule.kind, schedule.wavefront)), strict=True)
    )
    arrived: set[int] = set()
    # Whether each visit reads what earlier visits wrote; a sensory neuron that nothing reached holds the input.
    reads_sum: list[bool] = []
    for later, (u, v, kind, depth) in enumerate(visits):
        for (u0, v0, _, before), read_sum in zip(visits[:later], reads_sum, strict=True):
            if v0 == u or (v0 == v and kind != FIRST):
                assert depth > before, "reads or changes what the earlier visit wrote"
            if u0 == v and read_sum:
                assert depth >= before, "overwrites what the earlier visit reads"
        reads_sum.append(u in arrived)
        arrived.add(v)


def test_programs_hold_every_visit_once() -> None:
    schedule = Schedule.compile(golden_graph(), reapply=("IM", "SI"))
    plan = make_plan(schedule, np.arange(279))
    codes = np.concatenate([stage.code[:, 0] for stage in plan.stages])
    assert (codes == OP_FUSE).sum() == (schedule.kind == FUSE).sum()
    assert (codes == OP_ADD).sum() == (schedule.kind == REAPPLY).sum()
    assert sorted(plan.outputs.tolist()) == schedule.outputs.tolist()


def test_equal_products_are_done_once() -> None:
    """With one unit per role, all first arrivals from the input at one role are one product."""
    graph = golden_graph()
    letters = Schedule.compile(graph).letters
    plan = make_plan(Schedule.compile(graph), np.unique(letters, return_inverse=True)[1])
    assert len(plan.stages[0].neurons) == 2


def test_silent_synapses_are_reported_by_relation() -> None:
    schedule = Schedule.compile(golden_graph(), ignored_relations=("MI",))
    assert dict(schedule.silent) == {"IS": 4, "IM": 3, "II": 5, "MM": 11}
    graph, letters = golden_graph(), schedule.letters
    ignored = (letters[graph.pre] == "M") & (letters[graph.post] == "I")
    assert dict(schedule.unvisited) == {"MI": int(ignored.sum())}
    text = schedule.summary()
    for line in ("1275 visits in 52 wavefronts", "II 5, IM 3, IS 4, MM 11", "output neurons with a state: 89"):
        assert line in text


def test_order_and_rank_matter() -> None:
    graph = golden_graph()
    base = Schedule.compile(graph)
    swapped = Schedule.compile(graph, order="I->O, S->O, M->O, S->S, I->I, M->M")
    assert swapped.num_visits != base.num_visits
    rank = np.arange(279)[::-1].copy()
    assert not np.array_equal(Schedule.compile(graph, visit_rank=rank).edge, base.edge)


def test_kinds_are_united() -> None:
    one = make_graph("SM", [(0, 1)])
    two = Connectome.from_edges("g", one.names, [0, 0], [1, 1], kinds=["chemical", "merged"], roles=one.roles)
    assert Schedule.compile(two).num_visits == Schedule.compile(one).num_visits == 1


def test_phases() -> None:
    assert [phase.relations for phase in parse_order("S->O, M -> M")] == [("SI", "SM"), ("MM",)]
    assert parse_order(["I->S"])[0].relations == ("IS",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": "S->X"}, "order must be phases like S->O or M->M, got 'S->X'"),
        ({"order": ""}, "order must be phases"),
        ({"reapply": ("SQ",)}, "reapply must be one of SS, SI"),
        ({"reapply": "SI"}, r"write reapply=\('SI',\)"),
        ({"ignored_relations": ("MOTOR",)}, "ignored_relations must be one of"),
        ({"outputs": "muscle"}, "outputs must be 'motor' or 'all'"),
        ({"visit_rank": [0, 0, 1]}, r"visit_rank must be a permutation of 0..2"),
        ({"order": "S->I"}, "signals reach a motor neuron, got none of 1 reached"),
    ],
)
def test_refused_options(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Schedule.compile(make_graph("SIM", [(0, 1), (1, 2)]), **options)  # type: ignore[arg-type]


def test_a_graph_without_inputs_is_refused() -> None:
    with pytest.raises(ValueError, match="a graph with sensory neurons, got none"):
        Schedule.compile(make_graph("IM", [(0, 1)]))


def test_compiling_is_fast() -> None:
    graph = golden_graph()
    start = time.process_time()
    make_plan(Schedule.compile(graph), np.arange(279))
    assert time.process_time() - start < 0.3
