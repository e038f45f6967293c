"""`elegans-gnn train` after a mistake: one line, exit code 2, and nothing is written."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from elegans_gnn import cli
from elegans_gnn.training import AutoencoderConfig, ClassifierConfig
from elegans_gnn.training.checkpoint import read_plain

AUTO, DIGITS, MNIST = "mnist-autoencoder", "digits-classifier", "mnist-classifier"
IDLE = ".* has no effect with {}, got .*; omit it"


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


MISTAKES: dict[str, tuple[list[str], str]] = {
    "unknown connectome": (
        [AUTO, "--connectome", "varshney2012"],
        "connectome must be one of varshney2011, .*, got 'varshney2012'; did you mean 'varshney2011'.",
    ),
    "negative steps": ([AUTO, "--steps", "-3"], r"steps must be >= 1, got -3; use steps=\d+"),
    "unreachable outputs": ([AUTO, "--core-steps", "1"], "outputs .*"),
    "unknown unit": ([AUTO, "--unit", "roles"], "unit must be one of .*, got 'roles'; did you mean 'role'."),
    "no channels": ([AUTO, "--channels", "0"], "channels must be .*, got 0; .*"),
    "no number": ([AUTO, "--learning-rate", "nan"], "learning_rate must be positive, got nan; use learning_rate=0.002"),
    "negative decay": ([AUTO, "--weight-decay", "-1"], "weight_decay must be >= 0, got -1.0; .*"),
    "unknown accelerator": ([AUTO, "--accelerator", "tpu"], "accelerator must be one of cpu, gpu, auto, got 'tpu'; .*"),
    "a folder that is not MNIST": ([AUTO, "--data", "."], "data must be mnist5k, mnist, or a folder .*, got '.' .*"),
    "no such folder": (
        [AUTO, "--data", "pictures"],
        "data must be .*, got 'pictures' .no such folder.; put the four .*",
    ),
    "existing run": ([AUTO, "--name", "old"], "name must be a new run's name, got 'old', which exists in runs; .*"),
    "a path as a name": ([AUTO, "--name", "../out"], "name must be a plain folder name, got '../out'; .*"),
    "a file for the runs": ([AUTO, "--runs", "notes.txt"], "runs must be a folder, got notes.txt, which is a file; .*"),
    "resume of nothing": (
        [AUTO, "--resume", "runs/new"],
        "--resume must be the folder of a run, with config.json and last.ckpt, got runs/new; start a new run .*",
    ),
    "resume of no run": ([AUTO, "--resume", "runs/old"], "--resume must be the folder of a run, .*, got runs/old; .*"),
    "resume of a damaged checkpoint": (
        [AUTO, "--resume", "runs/damaged"],
        r"resume must be a readable checkpoint, got runs/damaged/last\.ckpt, which is damaged .*; use another .*",
    ),
    "resume of another task": (
        [AUTO, "--resume", "runs/classifier"],
        "--resume must be a run of mnist-autoencoder, got runs/classifier, one of mnist-classifier; use elegans-gnn "
        "train mnist-classifier --resume runs/classifier",
    ),
    "unknown preset": (
        [AUTO, "--preset", "headlines"],
        "preset must be one of smoke, demo, headline, got 'headlines'; did you mean 'headline'.",
    ),
    "no configuration file": ([AUTO, "--config", "none.yaml"], "--config must be a YAML file, got none.yaml: .*"),
    "not YAML": (
        [AUTO, "--config", "broken.yaml"],
        "--config must be a YAML file, got broken.yaml: .*; write lines .*",
    ),
    "YAML without settings": (
        [AUTO, "--config", "notes.txt"],
        "--config must be a file with one setting a line, .*: str; .*",
    ),
    "unknown setting": (
        [AUTO, "--config", "unknown.yaml"],
        "unknown.yaml: setting 'step' is unknown; did you mean 'steps'. It must be one of data, .*",
    ),
    "wrong type in a file": ([AUTO, "--config", "words.yaml"], "steps must be of type int, got 'many'; use steps=1400"),
    "wrong type in a file and smoke": (
        [AUTO, "--config", "quoted.yaml", "--smoke"],
        "steps must be of type int, got '4'; use steps=1400",
    ),
    "batch norms in two processes": (
        [DIGITS, "--smoke", "--backbone", "resnet18", "--resize", "16", "--devices", "2"],
        "devices must be 1 on the CPU for a model whose batch norms train, got 2 processes; use --frozen .*",
    ),
    "half of the files": (
        [AUTO, "--data", "half"],
        "data must be mnist5k, mnist, or a folder .*a folder without t10k-images-idx3-ubyte, .*; put the four .*",
    ),
    "small digits": (
        [AUTO, "--data", "digits"],
        "data must be of images with 1 channel and 28 x 28 pixels, got 1 x 8 x 8; .*",
    ),
    "unknown model": ([AUTO, "--model", "mpl"], "model must be one of .*, got 'mpl'; did you mean 'mlp'."),
    "unknown core": ([AUTO, "--core", "denes"], "core must be one of .*, got 'denes'; did you mean 'dense'."),
    "unknown random graph": (
        [AUTO, "--graph", "watts"],
        "graph must be one of original, .*, got 'watts'; did you mean 'watts-strogatz'.",
    ),
    "resume of a broken run": (
        [AUTO, "--resume", "runs/broken"],
        "--resume must be the folder of a run with a readable config.json, got runs/broken/config.json: Expecting .*",
    ),
    "resume with other settings": (
        [AUTO, "--resume", "runs/old", "--seed", "1"],
        "--resume must be alone, .*",
    ),
    "resume under another name": (
        [AUTO, "--resume", "runs/old", "--name", "b"],
        "--resume must be alone, .*",
    ),
    "above the runs": ([AUTO, "--name", ".."], "name must be a plain folder name, got '..'; .*"),
    "the runs themselves": ([AUTO, "--name", "."], "name must be a plain folder name, got '.'; .*"),
    "no name": ([AUTO, "--name", ""], "name must be a plain folder name, got ''; .*"),
    "a file above the runs": ([AUTO, "--runs", "notes.txt/sub"], "runs must be a folder, got .*notes.txt, which is .*"),
    "a name too long": ([AUTO, "--name", "a" * 300], ".* must be a folder that can be .*: File name too long; .*"),
    "a name too long for new runs": (
        [AUTO, "--runs", "new/runs", "--name", "a" * 300],
        "folder must be a folder that can be .*: File name too long; .*",
    ),
    "a list in JSON": ([AUTO, "--resume", "runs/list"], "--resume must be .*readable config.json, got .*: list; .*"),
    "other settings": (
        [AUTO, "--resume", "runs/foreign"],
        "--resume must be a run of mnist-autoencoder, got runs/foreign, .*",
    ),
    "another data set": (
        [MNIST, "--resume", "runs/digits"],
        "--resume must be a run of mnist-classifier, got runs/digits, one of digits-classifier; use elegans-gnn train "
        "digits-classifier --resume runs/digits",
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


def lay_out(folder: Path) -> None:
    """Runs, files and folders that the mistakes are about."""
    (folder / "runs" / "old").mkdir(parents=True)
    (folder / "half").mkdir()
    files = {
        "broken.yaml": "steps: [3",
        "unknown.yaml": "step: 3",
        "words.yaml": "steps: many",
        "quoted.yaml": "steps: '4'",
    }
    for name, text in {**files, "notes.txt": "mine", "list.yaml": "data: [mnist5k]"}.items():
        (folder / name).write_text(text)
    for kind in ("images-idx3", "labels-idx1"):
        (folder / "half" / f"train-{kind}-ubyte").write_bytes(b"")
    runs = {
        "broken": "{",
        "list": json.dumps(["steps"]),
        "foreign": json.dumps({"layers": 3}),
        "damaged": json.dumps(AutoencoderConfig().to_dict()),
        "classifier": json.dumps(ClassifierConfig().to_dict()),
        "digits": json.dumps(ClassifierConfig(data="digits").to_dict()),
    }
    for name, settings in runs.items():
        (folder / "runs" / name).mkdir()
        (folder / "runs" / name / "last.ckpt").write_bytes(b"PK cut off")
        (folder / "runs" / name / "config.json").write_text(settings)


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_costs_one_line_and_nothing_is_written(
    case: str, refused: Callable[..., str], tmp_path: Path
) -> None:
    lay_out(tmp_path)
    arguments, message = MISTAKES[case]
    line = refused(*arguments)
    assert re.fullmatch(message, line), line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cifar100-classifier"], "CIFAR-100 is not in downloads and could not be downloaded; unpack .*"),
        ([AUTO, "--data", "mnist"], "MNIST is not in downloads .*; put its files .*data='mnist5k'"),
    ],
)
def test_data_that_no_network_brings_is_said_in_one_line(
    arguments: list[str],
    message: str,
    offline: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.fullmatch(f"elegans-gnn: {message}", line), line
    assert offline
    assert not Path("runs").exists()


def test_a_gpu_that_is_not_there_is_refused(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    line = refused(AUTO, "--accelerator", "gpu")
    got = "gpu on a machine where it finds none"
    assert line == f"accelerator must be a GPU that torch finds, got {got}; use accelerator=cpu"


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
        for name in ("..", ".", "", "../old"):
            line = refused(AUTO, "--devices", "2", "--name", name)
            assert line.startswith(f"name must be a plain folder name, got {name!r}")
        assert refused(AUTO, "--devices", "2").startswith("--name must be given when the processes are started from")
    monkeypatch.setenv("RANK", "0")
    assert refused(AUTO, "--devices", "2", "--name", "old").startswith("name must be a new run's name, got 'old'")


@pytest.mark.parametrize("content", [b"\x80\x02}", b"junk", b"(", b"\x80\x02K", b"Ra", b"", b"cos\nsystem\n", b"\x80"])
def test_junk_for_a_checkpoint_is_said_so(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(content)
    with pytest.raises(
        ValueError, match=r"resume must be a (readable checkpoint|checkpoint of a run), got .*last\.ckpt"
    ):
        read_plain(tmp_path / "last.ckpt", "resume")
