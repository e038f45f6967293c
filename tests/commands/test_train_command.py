"""`elegans-gnn train`: what is refused before anything is written, and what wins among preset, file and options."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from elegans_gnn import cli, load_connectome
from elegans_gnn.commands import train as command
from elegans_gnn.commands._tasks import TASKS, read_settings
from elegans_gnn.connectome import write_connectome
from elegans_gnn.training import AutoencoderConfig, ClassifierConfig, new_run_folder, run
from elegans_gnn.training.load import graph_of, read_plain

AUTO, DIGITS, MNIST = "mnist-autoencoder", "digits-classifier", "mnist-classifier"
IDLE = ".* must be .* beside {}, which makes no use of it, got .*; leave it away"


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must be refused in one line and without a trace; the line."""
    monkeypatch.chdir(tmp_path)

    def attempt(*arguments: str) -> str:
        before = sorted(tmp_path.rglob("*"))
        assert cli.main(["train", *arguments]) == 2
        printed = capsys.readouterr()
        assert (printed.out, printed.err.count("\n")) == ("", 1)
        assert sorted(tmp_path.rglob("*")) == before
        return printed.err.removeprefix("elegans-gnn: ").rstrip("\n")

    return attempt


CASES: dict[str, tuple[list[str], str]] = {
    "above the runs": ([AUTO, "--name", ".."], "name must be a plain folder name, got '..'; .*"),
    "the runs themselves": ([AUTO, "--name", "."], "name must be a plain folder name, got '.'; .*"),
    "no name": ([AUTO, "--name", ""], "name must be a plain folder name, got ''; .*"),
    "a file above the runs": ([AUTO, "--runs", "notes.txt/sub"], "runs must be a folder, got .*notes.txt, which is .*"),
    "a name too long": ([AUTO, "--name", "a" * 300], "folder must be a folder that can be .*: File name too long; .*"),
    "a list in JSON": ([AUTO, "--resume", "list"], "--resume must be .*readable config.json, got .*: list; .*"),
    "other settings": ([AUTO, "--resume", "foreign"], "--resume must be a run of mnist-autoencoder, got foreign, .*"),
    "another data set": (
        [MNIST, "--resume", "digits"],
        "--resume must be a run of mnist-classifier, got digits, one of digits-classifier; use elegans-gnn train "
        "digits-classifier --resume digits",
    ),
    "a list of data": ([AUTO, "--config", "list.yaml"], r"data must be of type str, got \['mnist5k'\]; .*"),
    "data of another task": ([MNIST, "--data", "digits"], "data must be .*, got 'digits'; use the task digits-class.*"),
    "a backbone for large images": (
        [DIGITS, "--backbone", "alexnet", "--batch-size", "4"],
        "backbone must be one that can be trained on batches of 2 images of 8 x 8 pixels, got alexnet .*; .*",
    ),
    "width": ([AUTO, "--width", "8"], IDLE.format("model=elegans")),
    "depth": ([AUTO, "--depth", "1"], IDLE.format("model=elegans")),
    "encoder": ([AUTO, "--model", "mlp", "--encoder-width", "8"], IDLE.format("model=mlp")),
    "core": ([AUTO, "--model", "mlp", "--core", "none"], IDLE.format("model=mlp")),
    "graph": ([DIGITS, "--model", "vit", "--graph", "watts-strogatz"], IDLE.format("model=vit")),
    "channels": ([DIGITS, "--model", "vit", "--channels", "2"], IDLE.format("model=vit")),
    "core steps": ([DIGITS, "--model", "vit", "--core-steps", "5"], IDLE.format("model=vit")),
    "graph seed": ([DIGITS, "--graph-seed", "5"], IDLE.format("graph=original")),
    "wiring": ([DIGITS, "--wiring", "er"], IDLE.format("model=elegans")),
    "model": ([DIGITS, "--backbone", "resnet18", "--model", "vit"], IDLE.format("backbone=resnet18")),
    "no such model": ([DIGITS, "--backbone", "resnet18", "--model", "vti"], IDLE.format("backbone=resnet18")),
    "width of a backbone": ([DIGITS, "--backbone", "resnet18", "--width", "9"], IDLE.format("backbone=resnet18")),
    "no connectome there": ([AUTO, "--connectome", "none.graphml"], "none.graphml: .*"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_costs_one_line_and_nothing_is_written(
    case: str, refused: Callable[..., str], tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "list.yaml").write_text("data: [mnist5k]")
    configs = {
        "list": ["steps"], "foreign": {"layers": 3}, "digits": ClassifierConfig(data="digits").to_dict()
    }  # fmt: skip
    for name, plain in configs.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "last.ckpt").write_bytes(b"")
        (tmp_path / name / "config.json").write_text(json.dumps(plain))
    arguments, message = CASES[case]
    line = refused(*arguments)
    assert re.fullmatch(message, line), line


def test_a_folder_that_cannot_be_written_is_said_in_one_line(
    refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = Path.mkdir

    def mkdir(self: Path, *arguments: object, **options: object) -> None:
        if self.name == "locked":
            raise PermissionError(13, "Permission denied")
        made(self, *arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "mkdir", mkdir)
    line = refused(DIGITS, "--runs", "locked")
    assert re.fullmatch("folder must be a folder that can be read and written, got .*: Permission denied; .*", line)


def test_the_name_is_checked_in_every_process(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """As torchrun starts them; the folder of the others may exist, the first one's must not."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    (Path("runs") / "old").mkdir(parents=True)
    for rank in ("0", "1"):
        monkeypatch.setenv("RANK", rank)
        assert refused(AUTO, "--devices", "2", "--name", "..").startswith("name must be a plain folder name")
    monkeypatch.setenv("RANK", "0")
    assert refused(AUTO, "--devices", "2", "--name", "old").startswith("name must be a new run's name, got 'old'")


@pytest.mark.parametrize("content", [b"\x80\x02}", b"junk", b"(", b"\x80\x02K", b"Ra", b"", b"cos\nsystem\n", b"\x80"])
def test_junk_for_a_checkpoint_is_said_so(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"resume must be a (readable checkpoint|checkpoint of a run), got .*last\.ckpt"
    ):
        read_plain(tmp_path / "last.ckpt", "resume")


def test_what_comes_later_wins(tmp_path: Path) -> None:
    task = TASKS[AUTO]
    (tmp_path / "mine.yaml").write_text("steps: 4000\nseed: 3")
    in_file = read_settings(tmp_path / "mine.yaml", task)
    assert task.configuration(None, in_file, {}, smoke=True).steps == 6
    config = task.configuration("headline", in_file, {"steps": 12}, smoke=True)
    assert (config.steps, config.seed, config.augment, config.encoder_width) == (12, 3, "strong", 16)  # type: ignore[attr-defined]
    # What a recipe says of the connectome's model is no setting of a baseline.
    assert task.configuration("smoke", {}, {"model": "mlp"}).encoder_width == 64  # type: ignore[attr-defined]
    assert AutoencoderConfig(model="mlp").smoke().encoder_width == 64
    assert TASKS["cifar10-classifier"].configuration("headline", {}, {"backbone": "resnet18"}).width == 0
    assert TASKS["cifar10-classifier"].configuration("headline").width == 128


def test_twelve_steps_are_twelve_and_nothing_stays_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two devices are announced; the run itself is a stand-in."""
    monkeypatch.chdir(tmp_path)
    seen: list[tuple[int, str | None]] = []

    def stand_in(config: ClassifierConfig, folder: Path, **_: object) -> None:
        seen.append((config.steps, os.environ.get(command._FOLDER)))

    monkeypatch.setattr(run, "train", stand_in)
    monkeypatch.setattr("elegans_gnn.training.train", stand_in, raising=False)
    monkeypatch.setattr("elegans_gnn.training.print_result", lambda result: None, raising=False)
    assert cli.main(["train", DIGITS, "--steps", "12", "--smoke", "--devices", "2"]) == 0
    assert seen == [(12, "runs/digits-classifier-001")]
    assert command._FOLDER not in os.environ


def test_a_connectome_may_be_a_file(tmp_path: Path) -> None:
    worm = load_connectome("varshney2011")
    write_connectome(worm, tmp_path / "worm.graphml")
    write_connectome(worm, tmp_path / "tables")
    for path in (tmp_path / "worm.graphml", tmp_path / "tables"):
        read = graph_of(AutoencoderConfig(connectome=str(path)))
        assert read.num_edges == worm.num_edges
        assert read.names.tolist() == worm.names.tolist()


def test_the_first_free_number_is_found(tmp_path: Path) -> None:
    (tmp_path / "a-001").mkdir()
    assert new_run_folder(tmp_path, None, "a") == tmp_path / "a-002"
