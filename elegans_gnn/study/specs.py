"""A study in plain values: what a YAML file states, and the ready-made ones, one row each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from elegans_gnn._text import read_yaml
from elegans_gnn.errors import invalid, unknown_name

_KINDS: Mapping[str, tuple[type, ...]] = {
    "str": (str,), "bool": (bool,), "int": (int,), "float": (int, float), "Plain": (dict,), "int | list[int]": (int, list),
    "list[str] | Plain": (list, dict), "float | None": (int, float, type(None)),
}  # fmt: skip
Plain = dict[str, Any]


def _of(default: Any) -> Any:
    return field(default_factory=lambda: type(default)(default))


@dataclass(frozen=True)
class Spec:
    """What a study compares, and how; each field is a line of its YAML file.

    Args:
        title: one line, also the report's title.
        graphs: label -> a connectome by its name or path.
        merged: whether kinds of synapses are merged, so that null models keep the number of merged edges.
        shared_neurons: whether graphs are cut to the neurons that all of them have.
        nulls: names of null models, or label -> ``{model: NAME, p: 0.1}``.
        controls: names of substitutes for the trained synapses (frozen, silent, none, dense, random), or label -> the
            settings that differ.
        lesions: ``classes``, ``neurons`` or ``all``: also score the trained model without each of them.
        axis: what the graphs are sorted along, for the report's curve.
        places: label of a graph or null model -> its place on the axis.
        metric, larger_is_better, margin, alpha, graphs_per_null, seeds, seeds_per_null, strict, chance, ceiling: see
            :func:`elegans_gnn.study.compare`; a number of seeds stands for 0, 1, ...
        spread: ``{graphs: SD, seeds: SD}`` of the metric in a pilot.
        learn: ``classifier`` or ``autoencoder``.
        images, validation_images: how many are used; 0: all.
        tune: setting -> values to choose from on validation images, for each family of graphs; empty: fixed before.
        tune_trials: how many combinations each family tries, the same ones; 0: all.
        tune_seeds: seeds for each combination.
        settings: of the training runs: data, model, steps, learning_rate, options of the model, ...
    """

    title: str = ""
    graphs: Plain = _of({"worm": "varshney2011"})
    merged: bool = True
    shared_neurons: bool = False
    nulls: list[str] | Plain = _of([])
    controls: list[str] | Plain = _of([])
    lesions: str = ""
    axis: str = ""
    places: Plain = _of({})
    metric: str = "accuracy"
    larger_is_better: bool = True
    margin: float = 0.01
    alpha: float = 0.05
    graphs_per_null: int = 19
    seeds: int | list[int] = 19
    seeds_per_null: int = 1
    strict: bool = True
    chance: float | None = 0.1
    ceiling: float | None = 1.0
    spread: Plain = _of({})
    learn: str = "classifier"
    images: int = 6000
    validation_images: int = 2000
    tune: Plain = _of({})
    tune_trials: int = 0
    tune_seeds: int = 2
    settings: Plain = _of({"data": "fashion-mnist", "model": "elegansnet", "steps": 500})

    def __post_init__(self) -> None:
        for item in fields(self):
            kinds, value = _KINDS[str(item.type)], getattr(self, item.name)
            if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
                raise invalid(item.name, f"of type {item.type}", repr(value), "see docs/fair-comparison.md")

    @property
    def seed_list(self) -> list[int]:
        """The seeds one by one."""
        return list(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds

    def plain(self) -> Plain:
        """All fields by name."""
        return asdict(self)

    def changed(self, **values: Any) -> Spec:
        """A copy with other fields; a name that is no field is a setting of the training runs."""
        own = {name: value for name, value in values.items() if name in FIELDS}
        settings = {name: value for name, value in values.items() if name not in FIELDS}
        return replace(self, **{**own, "settings": {**own.get("settings", self.settings), **settings}})

    def smoke(self) -> Spec:
        """The same study cut to seconds, on data that need no download; its figures mean nothing."""
        settings = {
            "data": "digits",
            "model": "elegans",
            "steps": 2,
            "batch_size": 16,
            "warmup": 1,
            "validate_every": 1,
        }
        cut: Plain = {"images": 32, "validation_images": 32, "graphs_per_null": 2, "seeds": 2, "strict": False}
        few = {"lesions": "classes"} if self.lesions else {}
        return replace(self, title=f"{self.title} (smoke)", settings=settings, **cut, **few)


FIELDS = tuple(item.name for item in fields(Spec))
_MATCHED = ["erdos-renyi", "configuration", "degree-preserving", "reciprocity-preserving", "role-degree", "role-block"]
_SHARES = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_REWIRED: Plain = {f"{share:.0%} rewired": {"model": "rewired", "p": share} for share in _SHARES}
_AGES = {f"witvliet {number}": f"witvliet2020-{number}" for number in range(1, 9)}
_PAPER = ["erdos-renyi", "barabasi-albert", "watts-strogatz"]
_COMMAND = ",".join(f"{name}{side}" for name in ("AVA", "AVB", "AVD", "AVE", "PVC") for side in "LR")
_READOUTS: Plain = {"interneurons": {"outputs": "inter"}, "command interneurons": {"outputs": _COMMAND}}

READY: Mapping[str, Spec] = {
    "paper": Spec(
        "The worm against the random graphs of the paper: ER, BA, WS", nulls=_PAPER, controls=["frozen", "silent"]
    ),
    "nulls": Spec("The worm against matched null models, from edges alone to degrees and roles", nulls=_MATCHED),
    "rewire": Spec(
        "Score against the share of links that are rewired", nulls=_REWIRED, axis="share of links rewired",
        places={"worm": 0.0, **{label: row["p"] for label, row in _REWIRED.items()}},
    ),
    "development": Spec(
        "Eight animals from birth to adulthood (Witvliet 2021), on the neurons that all have", graphs=_AGES,
        shared_neurons=True, axis="animal, by age", places={label: n for n, label in enumerate(_AGES, 1)},
    ),
    "sex": Spec(
        "Hermaphrodite and male (Cook 2019), on the neurons that both have", shared_neurons=True,
        graphs={"hermaphrodite": "cook2019-hermaphrodite", "male": "cook2019-male"},
    ),
    "core": Spec(
        "Trained synapses against frozen, silent, none and dense ones, where the model has them",
        controls=["frozen", "silent", "none", "dense"],
    ),
    "lesion": Spec(
        "A trained model without each neuron and each class of neurons", lesions="all", validation_images=500
    ),
    "readout": Spec("Which neurons are read: motor neurons, interneurons, or command interneurons", controls=_READOUTS),
}  # fmt: skip


def named_spec(name: str) -> Spec:
    """A ready-made study, or that of a YAML file.

    A file has the fields of :class:`Spec`; ``study: NAME`` starts from a ready-made one, and ``settings`` are then
    added to its own.

    Raises:
        ValueError: no such study or file, or a field that cannot be used; the message names it.
    """
    if name in READY:
        return READY[name]
    path = Path(name)
    if path.suffix.lower() not in (".yaml", ".yml"):
        raise unknown_name("study", name, [*READY, "FILE.yaml"])
    plain = read_yaml(path, "study")
    if not isinstance(plain, dict):
        raise invalid("study", "a YAML file of fields", f"{path}: {type(plain).__name__}", "such as study: paper")
    base = plain.pop("study", None)
    if base is not None and base not in READY:
        raise unknown_name(f"study in {path}", str(base), READY)
    settings = plain.pop("settings", None) or {}
    for field_name in plain:
        if field_name not in FIELDS:
            raise unknown_name(f"field in {path}", str(field_name), (*FIELDS, "study"))
    start = READY[base] if base is not None else Spec()
    return start.changed(**plain).changed(settings={**start.settings, **settings})
