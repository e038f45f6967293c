"""From a study in plain values to a finished one: its graphs, its score functions, and one call of `compare`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial, reduce
from pathlib import Path
from typing import Any

from elegans_gnn._text import read_json
from elegans_gnn.connectome import Connectome, open_connectome
from elegans_gnn.errors import invalid, unknown_name
from elegans_gnn.study.design import Spread
from elegans_gnn.study.engine import Score
from elegans_gnn.study.ledger import make_folder, replace_file
from elegans_gnn.study.report import Study
from elegans_gnn.study.run import Source, compare, draw, engine_of
from elegans_gnn.study.scores import config_of, lesion_groups, score
from elegans_gnn.study.specs import Spec
from elegans_gnn.study.tuning import MEMBER, candidates, tune

SPEC = "study.json"
# What takes the place of trained synapses.
SUBSTITUTES = ("frozen", "silent", "none", "dense", "random")


def run_spec(
    spec: Spec,
    out: Path,
    *,
    workers: int = 1,
    ray: bool | str | None = None,
    retry: bool = False,
    progress: bool = True,
) -> Study:
    """Run what is missing of a study, see :func:`elegans_gnn.study.compare`.

    Raises:
        ValueError: a study that cannot work, or another one than that of the folder.
        LedgerError: the folder cannot be written.
    """
    graphs = graphs_of(spec)
    # Settings that cannot work are refused before anything is written.
    config_of(spec.learn, spec.settings)
    controls = {label: _score(spec, changes) for label, changes in control_settings(spec).items()}
    nulls = _nulls(spec)
    state(spec, out)
    tuned = {}
    if spec.tune:
        first = next(iter(graphs.values()))
        families = {**graphs, **{label: draw(source, first, MEMBER) for label, source in nulls.items()}}
        chosen = tune(
            families, candidates(spec.tune, spec.tune_trials), lambda changes: _score(spec, changes, lesions=""), out,
            engine_of(workers, ray), metric=spec.metric, larger_is_better=spec.larger_is_better, seeds=spec.tune_seeds,
            retry=retry, progress=progress,
        )  # fmt: skip
        tuned = {label: _score(spec, changes) for label, changes in chosen.items()}
        # Controls stand beside the graphs in question and take the settings of the first.
        best = chosen[next(iter(graphs))]
        controls = {label: _score(spec, {**best, **changes}) for label, changes in control_settings(spec).items()}
    return compare(
        _score(spec), graphs, nulls=nulls, controls=controls, tuned=tuned,
        readings=tuple(lesion_groups(next(iter(graphs.values())), spec.lesions)),
        axis=(spec.axis, spec.places) if spec.axis else None, metric=spec.metric,
        larger_is_better=spec.larger_is_better, margin=spec.margin, alpha=spec.alpha,
        graphs_per_null=spec.graphs_per_null, seeds=spec.seed_list, seeds_per_null=spec.seeds_per_null,
        strict=spec.strict, chance=spec.chance, ceiling=spec.ceiling, task=spec.title,
        spread=Spread(**spec.spread) if spec.spread else None, out=out, workers=workers, ray=ray, retry=retry,
        progress=progress,
    )  # fmt: skip


def state(spec: Spec, out: Path) -> None:
    """Write the study's fields into its folder, or hold them against those under which it has begun.

    Raises:
        ValueError: the folder has begun with other fields; the message names the first that differs.
    """
    path = out / SPEC
    begun = path.exists() and ((out / "design.json").exists() or (out / "tuning").exists())
    if begun:
        before, now = spec_in(out).plain(), spec.plain()
        for name in now:
            if isinstance(now[name], dict) and isinstance(before[name], dict):
                pairs = [(key, before[name].get(key), now[name].get(key)) for key in {**before[name], **now[name]}]
            else:
                pairs = [("", before[name], now[name])]
            for key, old, new in pairs:
                if old != new:
                    label = f"{name}[{key}]" if key else name
                    expected = f"a folder of this study: {path} states {label} = {old!r}"
                    raise invalid("--out", expected, f"{label} = {new!r}", "choose a new folder, or the old study")
        return
    make_folder(out)
    replace_file(path, spec.plain())


def spec_in(folder: Path) -> Spec:
    """The study that a folder was begun with."""
    path = folder / SPEC
    if not path.exists():
        raise invalid("DIR", f"the folder of `elegans-gnn study run`, with {SPEC}", folder, "name that folder")
    return Spec(**read_json(path, "DIR"))


def graphs_of(spec: Spec) -> dict[str, Connectome]:
    """The graphs in question, merged and cut as the study says."""
    graphs = {label: open_connectome(name, argument=f"graphs[{label!r}]") for label, name in spec.graphs.items()}
    if spec.shared_neurons:
        shared = reduce(set.intersection, (set(graph.names.tolist()) for graph in graphs.values()))
        graphs = {
            label: graph.select(names=[name for name in graph.names.tolist() if name in shared])
            for label, graph in graphs.items()
        }
    return {label: graph.merged() for label, graph in graphs.items()} if spec.merged else graphs


def control_settings(spec: Spec) -> dict[str, dict[str, Any]]:
    """Label -> the settings in which a control differs; substitutes that the model does not have are left out.

    A model says with ``synapses=`` what becomes of its synapses, or takes another core in their place.

    Raises:
        ValueError: an unknown substitute.
    """
    if isinstance(spec.controls, dict):
        return {label: dict(changes) for label, changes in spec.controls.items()}
    from elegans_gnn.training.model_options import class_of

    takes = class_of(spec.learn, config_of(spec.learn, spec.settings).model).options()
    found: dict[str, dict[str, Any]] = {}
    for name in spec.controls:
        if name not in SUBSTITUTES:
            raise unknown_name("controls", str(name), SUBSTITUTES)
        if "synapses" in takes and name in ("frozen", "silent"):
            found[name] = {"synapses": name}
        elif "core" in takes:
            found[name] = {"core": name}
    return found


def _nulls(spec: Spec) -> dict[str, Source]:
    return dict(spec.nulls) if isinstance(spec.nulls, Mapping) else {name: name for name in spec.nulls}


def _score(spec: Spec, changes: Mapping[str, Any] | None = None, *, lesions: str | None = None) -> Score:
    """The score function with all its settings, which name the trial in the ledger."""
    settings = {**spec.settings, **(changes or {})}
    # The recipe of the data set is written out, so that a trial's name says everything that differs from the defaults.
    given = config_of(spec.learn, settings).given()
    own = {"images": spec.images, "validation_images": spec.validation_images}
    wanted = spec.lesions if lesions is None else lesions
    return partial(score, learn=spec.learn, **own, **({"lesions": wanted} if wanted else {}), **given)
