"""The CIFAR-10 example: on generated images, on files of the data set, and what it says when they are not there."""

from __future__ import annotations

import re
from urllib.error import URLError

import pytest
import torchvision

from elegans_gnn.connectome import load_connectome, write_connectome
from tests.examples.cases import load, ran
from tests.image_files import write_cifar10


def test_it_counts_images_and_memory(folder):
    printed = ran("cifar10.py", "--smoke", cwd=str(folder)).stdout
    rate, peak = re.search(r"(\d+) images/s in training, peak memory (\d+) MiB", printed).groups()
    assert int(rate) > 0
    # PyTorch alone takes more than 100 MiB; a count in the wrong unit is off by 1,024.
    assert 100 < int(peak) < 20_000


def test_a_backbone_learns_the_generated_images(capsys):
    """In evaluation mode, with the averages of its batch norms."""
    pytest.importorskip("timm")
    assert load("cifar10.py").main(["--smoke", "--backbone", "timm/test_resnet"]) == 0
    assert "100 % of 64 generated images learned by heart" in capsys.readouterr().out


def test_a_connectome_of_ones_own(tmp_path, capsys):
    write_connectome(load_connectome("white1986"), tmp_path / "mine.graphml")
    load("cifar10.py").main(["--smoke", "--steps", "1", "--connectome", str(tmp_path / "mine.graphml")])
    assert capsys.readouterr().out.splitlines()[0] == str(load_connectome("white1986"))


def test_smoke_takes_other_sizes_and_fails_unless_all_is_learned(capsys):
    assert load("cifar10.py").main(["--smoke", "--steps", "2", "--batch-size", "16", "--width", "8"]) == 1
    printed = capsys.readouterr().out
    assert [line.split()[1] for line in printed.splitlines() if line.startswith("step")] == ["1", "2"]
    assert int(re.search(r"(\d+) % of 64 generated images learned", printed)[1]) < 100
    few = int(re.search(r"stem ([\d,]+)", printed)[1].replace(",", ""))
    load("cifar10.py").main(["--smoke", "--steps", "1"])
    assert few < int(re.search(r"stem ([\d,]+)", capsys.readouterr().out)[1].replace(",", ""))


def test_the_clock_stands_still_in_validation(monkeypatch, capsys):
    """A clock on which drawing a batch takes a second, a training step two and a validation a thousand."""
    module, now = load("cifar10.py"), [0.0]

    def taking(seconds, function):
        def call(*arguments, **more):
            now[0] += seconds
            return function(*arguments, **more)

        return call

    class Slow(module.TrainingBatches):
        def __iter__(self):
            for batch in super().__iter__():
                now[0] += 1
                yield batch

    monkeypatch.setattr(module, "TrainingBatches", Slow)
    monkeypatch.setattr(module, "accuracy", taking(1000, module.accuracy))
    monkeypatch.setattr(module.MuonAdamW, "step", taking(2, module.MuonAdamW.step))
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    options = module.arguments().parse_args(["--steps", "5", "--batch-size", "30", "--width", "8"])
    module.train(options, module.generated_images())
    assert "10 images/s in training" in capsys.readouterr().out


@pytest.mark.parametrize(
    "more", [["--width", "8"], ["--backbone", "resnet18", "--frozen"], ["--backbone", "resnet18", "--resize", "24"]]
)
def test_it_reads_the_files_of_the_data_set(more, tmp_path, monkeypatch, capsys, offline):
    write_cifar10(tmp_path, monkeypatch)
    monkeypatch.chdir(tmp_path)
    assert load("cifar10.py").main(["--data-dir", str(tmp_path), "--steps", "3", "--batch-size", "30", *more]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"step     3  loss [\d.]+  validation accuracy [\d.]+ %", printed)
    assert re.search(r"\d+ images/s in training, peak memory \d+ MiB", printed)
    assert "(cifar10; chance is 10 %)" in printed
    assert offline == []


@pytest.fixture
def refused(capsys):
    """Runs the example on a mistake; the one line it says."""

    def run(*options):
        assert load("cifar10.py").main([str(option) for option in options]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line.removeprefix("cifar10.py: ")

    return run


def test_without_data_it_says_what_to_do(folder):
    result = ran("cifar10.py", "--no-download", cwd=str(folder))
    assert result.returncode == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    for words in ("CIFAR-10 is not in downloads", "cifar-10-python.tar.gz", "cifar-10-batches-py", "--smoke"):
        assert words in line


def test_without_network_it_says_the_same(tmp_path, monkeypatch, refused):
    def no_route(self: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torchvision.datasets.CIFAR10, "download", no_route)
    assert f"CIFAR-10 is not in {tmp_path} and could not be downloaded" in refused("--data-dir", tmp_path)


def test_a_file_is_no_folder_of_data(tmp_path, refused, offline):
    (tmp_path / "file").write_text("text")
    assert "CIFAR-10 is not in" in refused("--data-dir", tmp_path / "file")


@pytest.mark.parametrize("kept", [["test_batch", "batches.meta", "data_batch_1"], []])
def test_half_the_files_are_refused(kept, tmp_path, monkeypatch, refused, offline):
    write_cifar10(tmp_path, monkeypatch)
    for path in (tmp_path / "cifar-10-batches-py").iterdir():
        if path.name not in kept:
            path.unlink()
    line = refused("--data-dir", tmp_path)
    assert "cifar-10-batches-py is incomplete or damaged" in line
    assert "unpack cifar-10-python.tar.gz" in line
    assert offline == []


MISTAKES = {
    "backbone": (["--backbone", "resnet81"], "backbone must be .*got 'resnet81'; did you mean 'resnet18'.*"),
    "weights": (["--backbone", "resnet18", "--weights", "X"], "weights must be DEFAULT or one of IMAGENET1K_V1, .*"),
    "weights alone": (
        ["--weights", "DEFAULT"],
        "--weights must be omitted without a backbone, got DEFAULT; add .*",
    ),
    "core": (["--core", "dens"], "core must be one of .*, got 'dens'; did you mean 'dense'.*"),
    "connectome": (["--connectome", "varshney"], ".*varshney2011.*"),
    "device": (
        ["--device", "cuda"],
        "--device must be cpu, or a GPU that torch finds, got cuda on a machine where torch finds none; .*",
    ),
    "far device": (["--device", "cuda:7"], "--device must be .* finds, got cuda:7 on a machine where torch finds .*"),
    "no device": (["--device", "foo"], "--device must be cpu, cuda or cuda:NUMBER, got 'foo'; use --device cpu"),
    "other device": (["--device", "mps"], "--device must be cpu, cuda or cuda:NUMBER, got 'mps'; use --device cpu"),
    "rate": (["--learning-rate", "-1"], "learning_rate must be positive, got -1.0; .*"),
    "rate of Muon": (["--muon-learning-rate", "nan"], "muon_learning_rate must be >= 0, got nan; .*"),
    "decay": (["--weight-decay", "-0.1"], "weight_decay must be >= 0, got -0.1; .*"),
    "smoke rate": (["--smoke", "--learning-rate", "-1"], "learning_rate must be positive, got -1.0; .*"),
    "smoke steps": (["--smoke", "--steps", "0"], "steps must be >= 1, got 0; .*"),
    "width": (
        ["--backbone", "resnet18", "--width", "64"],
        "--width must be omitted with a backbone, which has its own, got 64; omit it",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_cost_one_line(case, tmp_path, monkeypatch, refused):
    options, message = MISTAKES[case]
    write_cifar10(tmp_path, monkeypatch)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    line = refused("--data-dir", tmp_path, *options)
    assert re.fullmatch(message, line), line


def test_weights_that_cannot_be_fetched_are_said_so(tmp_path, monkeypatch, capsys, offline):
    write_cifar10(tmp_path, monkeypatch)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    options = ["--data-dir", str(tmp_path), "--backbone", "resnet18", "--weights", "IMAGENET1K_V1"]
    assert load("cifar10.py").main(options) == 2
    *notice, line = capsys.readouterr().err.splitlines()
    assert all(words.startswith("Downloading: ") for words in notice)
    assert line.startswith("cifar10.py: the weights 'IMAGENET1K_V1' of resnet18 are not on disk and cannot be fetched")
