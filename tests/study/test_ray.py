"""The same study with Ray: the same records, a two-node cluster, workers that die. Needs Ray: ``pytest -m study``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.study import scores
from tests.study.scores import run

pytestmark = [
    pytest.mark.study,
    pytest.mark.filterwarnings("ignore::elegans_gnn.study.design.WeakDesignWarning"),
    # Ray's own: sockets and files that it leaves to the garbage collector, and what its next release will do.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def records(folder: Path) -> dict[str, dict[str, Any]]:
    """All but times."""
    found = {path.name: json.loads(path.read_text()) for path in (folder / "trials").iterdir()}
    for record in found.values():
        del record["seconds"], record["finished"], record["conditions"]["versions"]
    return found


@pytest.fixture
def two_nodes() -> Iterator[str]:
    """The address of a cluster of two nodes with one processor each, on this machine."""
    utilities = pytest.importorskip("ray.cluster_utils")
    cluster = utilities.Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    cluster.add_node(num_cpus=1)
    yield cluster.address
    cluster.shutdown()


def test_ray_and_local_workers_give_the_same_records(tmp_path: Path) -> None:
    run(tmp_path / "local", workers=2)
    study = run(tmp_path / "ray", workers=2, ray=True)
    assert study.status == {"done": 12}
    assert records(tmp_path / "ray") == records(tmp_path / "local")
    assert list((tmp_path / "ray" / "locks").iterdir()) == []


def test_a_study_on_two_nodes(tmp_path: Path, two_nodes: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from elegans_gnn.study.engine_ray import RayEngine

    most = []
    slots = RayEngine.slots.fget
    assert slots is not None
    monkeypatch.setattr(RayEngine, "slots", property(lambda engine: most.append(slots(engine)) or most[-1]))
    study = run(tmp_path / "ray", ray=two_nodes)
    assert study.status == {"done": 12}
    assert max(most) == 2
    run(tmp_path / "local", workers=0)
    assert records(tmp_path / "ray") == records(tmp_path / "local")


def test_failures_are_those_of_local_workers(tmp_path: Path) -> None:
    options: dict[str, Any] = {"graphs_per_null": 2, "seeds": range(2), "metric": "score"}
    raising = run(tmp_path / "raising", scores.raising, **options, ray=True, workers=2)
    assert raising.status == {"done": 2, "failed": 2}
    assert {row["reason"] for row in raising.rows} == {"", "FloatingPointError: the loss is infinite"}


def test_a_worker_that_dies_each_time_is_a_failure_of_its_trial(tmp_path: Path) -> None:
    options: dict[str, Any] = {"graphs_per_null": 2, "seeds": range(2), "metric": "score"}
    study = run(tmp_path, scores.dying, **options, ray=True, workers=2)
    assert study.status == {"done": 2, "failed": 2}
    assert {row["reason"] for row in study.rows} == {"", "the worker process died 3 times: WorkerCrashedError"}


def test_a_worker_that_dies_once_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(scores.LOG, str(tmp_path / "mark"))
    options: dict[str, Any] = {"graphs_per_null": 2, "seeds": range(2), "metric": "score"}
    study = run(tmp_path / "out", scores.dying_once, **options, ray=True, workers=2)
    assert study.status == {"done": 4}
    assert (tmp_path / "mark").exists()
