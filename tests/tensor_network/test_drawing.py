"""The picture of a schedule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from elegans_gnn.nn.tensor_network import Schedule
from elegans_gnn.viz import plot_schedule, wavefront_widths
from tests.tensor_network.cases import golden_graph


def test_widths_count_every_visit_once() -> None:
    schedule = Schedule.compile(golden_graph(), outputs="all")
    widths = wavefront_widths(schedule.wavefront, schedule.phase, len(schedule.phases))
    assert widths.shape == (6, 95)
    assert widths.sum() == 2967
    np.testing.assert_array_equal(widths.sum(0), schedule.widths)
    assert widths[0, 0] == ((schedule.phase == 0) & (schedule.wavefront == 1)).sum()


def test_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    schedule = Schedule.compile(golden_graph())
    names = [phase.name for phase in schedule.phases]
    figure = plot_schedule(schedule.wavefront, schedule.phase, names, tmp_path / "schedule.png")
    assert (tmp_path / "schedule.png").stat().st_size > 1000
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert [text.split()[0] for text in legend] == ["S->O", "I->O", "M->M"]


def test_unequal_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match="of one length"):
        wavefront_widths(np.array([1, 2]), np.array([0]), 1)
