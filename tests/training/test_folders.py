"""A run's folder: new or empty, made by one run alone, and gone again when its start fails."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import Callback

from elegans_gnn.datasets import Images, ImageSource
from elegans_gnn.training import AutoencoderConfig, ClassifierConfig, train, train_autoencoder
from elegans_gnn.training.folder import named_run_folder, new_folder, plain_path


class Fail(Callback):
    """Breaks the run off in one hook."""

    def __init__(self, hook: str, error: type[BaseException]) -> None:
        self.error = error
        setattr(self, hook, self._fail)

    def _fail(self, *_: object, **__: object) -> None:
        raise self.error("broken off")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("standing", [[], ["new"], ["new", "run"]])
def test_a_start_that_fails_leaves_what_was_there(
    standing: list[str], error: type[BaseException], few: ImageSource, tiny: AutoencoderConfig, tmp_path: Path
) -> None:
    tmp_path.joinpath(*standing).mkdir(parents=True, exist_ok=True)
    before = sorted(tmp_path.rglob("*"))
    fail = Fail("on_fit_start", error)
    with pytest.raises(error):
        train_autoencoder(tiny, tmp_path / "new" / "run", source=few, progress=False, callbacks=(fail,))
    assert sorted(tmp_path.rglob("*")) == before


def test_a_run_that_can_be_resumed_keeps_its_folder(few: ImageSource, tiny: AutoencoderConfig, tmp_path: Path) -> None:
    fail = Fail("on_before_optimizer_step", RuntimeError)
    with pytest.raises(RuntimeError, match="broken off"):
        train_autoencoder(tiny, tmp_path / "run", source=few, progress=False, callbacks=(fail,))
    assert torch.load(tmp_path / "run" / "last.ckpt", weights_only=True)["global_step"] == 0
    result = train_autoencoder(tiny, tmp_path / "run", source=few, progress=False, resume=True)
    assert (result.folder / "summary.json").is_file()


def test_a_run_that_begins_in_the_same_moment_keeps_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other run makes the folder between the look at it and its making."""
    folder = tmp_path / "runs" / "run"
    made = Path.mkdir

    def mkdir(self: Path, *arguments: object, **options: object) -> None:
        made(self, *arguments, **options)  # type: ignore[arg-type]
        if self == folder.parent and not folder.exists():
            made(folder)
            (folder / "config.json").write_text("theirs")

    monkeypatch.setattr(Path, "mkdir", mkdir)
    message = "folder must be a folder that can be read and written, got .*run: File exists"
    with pytest.raises(ValueError, match=message), new_folder(folder, folder / "last.ckpt"):
        pytest.fail("two runs in one folder")
    assert (folder / "config.json").read_text() == "theirs"


def test_a_folder_that_holds_something_is_refused_whatever_the_task(few: ImageSource, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for config in (AutoencoderConfig(), ClassifierConfig()):
        for folder in (tmp_path, tmp_path / "notes.txt"):
            with pytest.raises(ValueError, match="folder must be new or empty"):
                train(config, folder, source=few)
    with pytest.raises(ValueError, match="folder must be a folder that can be read and written"):
        train(AutoencoderConfig(), tmp_path / ("a" * 300), source=few)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "../a", "/a"])
def test_a_name_is_a_plain_one(name: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="name must be a plain folder name"):
        named_run_folder(tmp_path, name)


def test_the_folder_here_and_the_one_above_have_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert plain_path(Path()) == tmp_path / "here"
    assert plain_path(Path("..")) == tmp_path
    assert plain_path(Path("a/b")) == Path("a/b")


@pytest.mark.parametrize(
    ("part", "labels", "message"),
    [
        ("train", [0, 10], "source.classes must be a name for each label up to 10, got 10"),
        ("train", [-1, 3], "labels must be 0 or larger, got -1"),
        ("validation", [0, 10], "source.classes must be a name for each label up to 10, got 10"),
        ("validation", [-1, 3], "labels must be 0 or larger, got -1"),
    ],
)
def test_labels_out_of_range_are_refused_before_anything_is_written(
    part: str, labels: list[int], message: str, few: ImageSource, tmp_path: Path
) -> None:
    wrong = Images(few.train().pixels[:2], torch.tensor(labels))
    parts = {"train": few.train, "validation": few.validation, part: lambda: wrong}
    source = ImageSource("wrong", parts["train"], parts["validation"], few.test)
    with pytest.raises(ValueError, match=message):
        train(ClassifierConfig(steps=2, warmup=1, batch_size=2), tmp_path / "run", source=source, progress=False)
    assert list(tmp_path.iterdir()) == []
