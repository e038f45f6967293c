"""The tables of the package: every row works, agrees with what it describes, and is named in the documents."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from pkgutil import resolve_name

import pytest

from elegans_gnn import datasets
from elegans_gnn.cli import main
from elegans_gnn.commands._settings import TASKS
from elegans_gnn.datasets import DATA, DATA_SETS, DataSet, data_set_of, load_images, may_overlap
from elegans_gnn.errors import DataUnavailableError
from elegans_gnn.graphs import RANDOM_MODELS
from elegans_gnn.models import CORES, MODELS
from elegans_gnn.ops.codes import REDUCES
from elegans_gnn.study.specs import READY
from elegans_gnn.training.model_options import known_options
from elegans_gnn.training.settings import Core, Model

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
NULL_MODELS = ROOT / "docs" / "null-models.md"
KERNELS = ROOT / "docs" / "kernels.md"
FAIR = ROOT / "docs" / "fair-comparison.md"

# Every table of the package -> the documents that must name all its rows.
TABLES: Mapping[str, tuple[Iterable[str], tuple[Path, ...]]] = {
    "data sets": (DATA, (README, ARCHITECTURE)),
    "autoencoders": (MODELS["autoencoder"], (ARCHITECTURE,)),
    "classifiers": (MODELS["classifier"], (ARCHITECTURE,)),
    "cores": (CORES, (ARCHITECTURE,)),
    "null models": (RANDOM_MODELS, (NULL_MODELS,)),
    "reduces": (REDUCES, (KERNELS,)),
    "studies": (READY, (FAIR,)),
}


def missing(names: Iterable[str], text: str) -> list[str]:
    """The names that a text does not have as whole words: `mnist5k` does not name `mnist`."""
    return [name for name in names if not re.search(rf"(?<![\w-]){re.escape(name)}(?!\w)", text)]


def code(text: str) -> str:
    """The names that a document marks as code: `random` is a core, "random" a word."""
    return " ".join(re.findall(r"`\"?([\w-]+)\"?`", text))


@pytest.mark.parametrize("table", TABLES)
def test_every_row_of_a_table_is_named_in_the_documents(table: str) -> None:
    names, documents = TABLES[table]
    for document in documents:
        text = document.read_text(encoding="utf-8")
        assert missing(names, text if table == "data sets" else code(text)) == [], document.name


def test_a_name_counts_as_a_whole_word_and_in_a_table_of_words_as_code() -> None:
    assert missing(["mnist", "cifar10"], "mnist5k, fashion-mnist, cifar100, cifar10-classifier") == ["mnist"]
    assert missing(["random", "none"], code("a random graph, `none` and `random_connectome`")) == ["random"]


@pytest.mark.parametrize("name", TASKS)
def test_the_help_of_a_task_offers_every_name_and_option(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "10000")  # so that no name is broken at its dash
    with pytest.raises(SystemExit):
        main(["train", name, "--help"])
    entries = re.split(r"^  --", capsys.readouterr().out, flags=re.MULTILINE)[1:]
    shown = {entry.split()[0].rstrip(","): entry.partition("\n\n")[0] for entry in entries}
    task, data = TASKS[name].config.task, DATA[TASKS[name].data]
    assert missing(MODELS[task], shown["model"]) == []
    assert missing(CORES, shown["core"]) == []
    assert missing(("original", *RANDOM_MODELS), shown["graph"]) == []
    if TASKS[name].chooses_data:
        assert missing([row.name for row in DATA.values() if row.family == data.family], shown["data"]) == []
    for name, build in MODELS[task].items():
        for core in CORES if "core" in build.options() else ("message-passing",):
            taken = known_options(task, Model(name), Core(core))
            assert {option.replace("_", "-") for option in taken} <= shown.keys()


def test_every_data_set_belongs_to_a_task() -> None:
    chosen = {DATA[task.data].family for task in TASKS.values() if task.chooses_data}
    assert {name for name, row in DATA.items() if row.family not in chosen} <= {task.data for task in TASKS.values()}


@pytest.mark.parametrize("row", DATA.values(), ids=DATA)
def test_every_data_set_loads_as_its_row_says(row: DataSet, tmp_path: Path, offline: list[str]) -> None:
    if row.downloads:
        with pytest.raises(DataUnavailableError, match=f"^{re.escape(row.title)} is not in {re.escape(str(tmp_path))}"):
            row.load(tmp_path)
        assert offline
        return
    source = row.load(tmp_path / "none")
    channels, size = row.shape
    for part in (source.train(), source.validation(), source.test()):
        assert part.pixels.shape[1:] == (channels, size, size)
        assert part.labels.unique().tolist() == list(range(row.num_classes))
    assert (source.name, len(source.classes)) == (row.name, row.num_classes)
    assert load_images(row.name).name == row.name
    assert offline == []


@pytest.mark.parametrize("row", DATA.values(), ids=DATA)
def test_a_row_is_plain_and_points_to_a_reader_here(row: DataSet) -> None:
    assert row.reader.startswith("elegans_gnn.datasets._")
    given, *others = [*inspect.signature(resolve_name(row.reader)).parameters.values(), None]
    wanted = "data_dir" if row.downloads else "fold" if row.folds else None
    assert (given.name if given else None) == wanted
    assert all(parameter.default is not parameter.empty for parameter in others if parameter)
    assert row.help
    assert "\n" not in row.help
    assert not row.help.endswith(".")
    assert {other for other, _ in row.overlaps} <= DATA.keys() - {row.name}
    assert {part for _, part in row.overlaps} <= {"train", "validation", "test"}


@pytest.mark.parametrize("name", [name for name, row in DATA.items() if row.folds])
def test_a_data_set_has_as_many_folds_as_its_row_says(name: str) -> None:
    folds = DATA[name].folds
    tests = [load_images(name, fold=fold).test().pixels for fold in range(folds)]
    everything = sum(len(part().labels) for part in vars(load_images(name)).values() if callable(part))
    assert sum(map(len, tests)) == everything
    with pytest.raises(ValueError, match=f"fold must be 0 to {folds - 1}, got {folds}"):
        load_images(name, fold=folds)


def test_names_are_those_of_the_table() -> None:
    assert tuple(DATA) == DATA_SETS == tuple(row.name for row in DATA.values())
    assert [data_set_of(name) for name in DATA] == list(DATA)
    assert data_set_of("a/folder") == "mnist"


FOLDS = "the model was trained on images of the other folds"


@pytest.mark.parametrize(
    ("trained_on", "trained_fold", "name", "fold", "part", "reason"),
    [
        ("digits", 1, "digits", 2, "test", FOLDS),
        ("digits", 1, "digits", 0, "validation", FOLDS),
        ("digits", 1, "digits", 1, "validation", None),
        ("digits", 1, "digits", 1, "test", None),
        ("mnist", None, "mnist", 0, "validation", None),
        ("mnist", None, "mnist5k", 0, "test", "some of its images may be among those of mnist"),
        ("mnist", None, "mnist5k", 0, "validation", "some of its images may be among those of mnist"),
        ("mnist5k", None, "mnist", 0, "validation", "some of its images may be among those of mnist5k"),
        ("mnist5k", None, "mnist", 0, "test", None),
        ("mnist5k", None, "mnist5k", 3, "test", None),
        ("mnist", None, "fashion-mnist", 0, "validation", None),
        ("mnist5k", None, "digits", 3, "test", None),
        ("digits", 1, "mnist5k", 0, "test", None),
    ],
)
def test_overlaps(
    trained_on: str, trained_fold: int | None, name: str, fold: int, part: str, reason: str | None
) -> None:
    assert may_overlap(trained_on, trained_fold, name, fold, part) == reason


def test_mnist5k_is_the_only_data_set_with_images_of_another() -> None:
    overlapping = {
        (seen, name, part)
        for seen, row in DATA.items()
        for name in DATA
        for part in ("validation", "test")
        if may_overlap(seen, 0 if row.folds else None, name, 0, part)
    }
    assert overlapping == {
        ("mnist", "mnist5k", "validation"), ("mnist", "mnist5k", "test"), ("mnist5k", "mnist", "validation"),
    }  # fmt: skip


def test_the_table_loads_no_torch(tmp_path: Path) -> None:
    """So that `--help` can list the data sets at once."""
    code = (
        "import sys, elegans_gnn.datasets as d\n"
        "print(*(row.help for row in d.DATA.values()), d.DATA_SETS, d.may_overlap)\n"
        "print({'torch', 'numpy', 'torchvision'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1] == "set()"


def test_the_package_offers_the_table_and_its_readers() -> None:
    assert {"DATA", "DataSet", "may_overlap", "load_images"} <= set(datasets.__all__)
    assert set(datasets.__all__) == set(datasets._HOME)
