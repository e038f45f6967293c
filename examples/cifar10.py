"""Train a classifier on CIFAR-10 whose features pass through the worm's wiring diagram, with the loop written out.

A convolutional stem writes one 4 x 4 map on every sensory neuron, the recurrent core carries the maps along the
synapses, and a linear head reads the motor neurons. With --backbone the maps come from a network of torchvision or timm
whose own head is taken off. The data set is torchvision's: it is downloaded into --data-dir unless it is there.

    python examples/cifar10.py                                           # from scratch
    python examples/cifar10.py --backbone resnet18 --weights DEFAULT     # on a backbone trained on ImageNet
    python examples/cifar10.py --smoke                                   # no data: 64 generated images, seconds

Backbones know images larger than 32 x 32; --resize 64 enlarges these, at four times the price. The first two do what
`elegans-gnn train cifar10-classifier` does, without checkpoints and averaged weights. Take the accuracy as a starting
point, not as a result.
"""

from __future__ import annotations

import argparse
import re
import resource
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import update_bn

from elegans_gnn import ElegansClassifier, attach_head
from elegans_gnn.connectome import open_connectome
from elegans_gnn.datasets import Images, ImageSource, load_cifar10
from elegans_gnn.errors import DataUnavailableError, InvalidArgumentError, MissingExtraError, invalid
from elegans_gnn.models import Classifier
from elegans_gnn.training import ClassifierConfig, MuonAdamW, TrainingBatches, parameter_groups, warmup_cosine

CLASSES = 10
RECIPE = ClassifierConfig.preset("demo", data="cifar10")
SMOKE = {"steps": 30, "batch_size": 64, "width": 32}
NOT_LEARNED, USER_ERROR = 1, 2  # exit codes


def arguments() -> argparse.ArgumentParser:
    """What can be chosen from the command line."""
    parser = argparse.ArgumentParser(
        description="Train a connectome classifier on CIFAR-10.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--data-dir", type=Path, default=Path("downloads"), help="folder with cifar-10-batches-py, or where to put it")
    add("--no-download", action="store_true", help="use what is on disk or give up")
    add("--connectome", default="varshney2011", help="a name of `elegans-gnn connectome list`, or a path")
    add("--core", default="message-passing", help="what connects sensory and motor neurons")
    add("--width", type=int, default=64, help="channels of the convolutional stem, which a backbone replaces")
    add("--backbone", default="", help="a network of torchvision, or timm/NAME, instead of the stem")
    add("--weights", default="", help="of the backbone, such as DEFAULT")
    add("--frozen", action="store_true", help="train the head alone")
    add("--resize", type=int, default=0, help="height and width to which the backbone's images are brought, 0: as is")
    add("--steps", type=int, default=RECIPE.optim.steps, help="optimiser steps; an epoch has about 350")
    add("--batch-size", type=int, default=RECIPE.optim.batch_size, help="images a step")
    add("--learning-rate", type=float, default=RECIPE.optim.learning_rate, help="peak rate of AdamW: synapses, biases")
    add("--muon-learning-rate", type=float, default=RECIPE.optim.muon_learning_rate, help="peak rate of Muon: matrices")
    add("--weight-decay", type=float, default=RECIPE.optim.weight_decay, help="of all matrices")
    add("--seed", type=int, default=0, help="of everything random")
    add("--device", default="cpu", help="cpu or cuda")
    add(
        "--smoke",
        action="store_true",
        help="learn 64 generated images by heart in 30 steps, to see that everything works",
    )
    return parser


def chosen(argv: Sequence[str] | None) -> argparse.Namespace:
    """The options; --smoke changes what is usual, and a backbone has no width to choose.

    Raises:
        ValueError: options that do not go together, or a device that is not there.
    """
    parser = arguments()
    options = parser.parse_args(argv)
    parser.set_defaults(**(SMOKE if options.smoke else {}) | ({"width": 0} if options.backbone else {}))
    options = parser.parse_args(argv)
    if not options.backbone and (options.weights or options.frozen or options.resize):
        given = "weights" if options.weights else "frozen" if options.frozen else "resize"
        raise invalid(f"--{given}", "omitted without a backbone", getattr(options, given), "add --backbone resnet18")
    if options.backbone and options.width:
        raise invalid("--width", "omitted with a backbone, which has its own", options.width, "omit it")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", options.device):
        raise invalid("--device", "cpu, cuda or cuda:NUMBER", repr(options.device), "use --device cpu")
    kind, _, number = options.device.partition(":")
    if kind == "cuda" and int(number or 0) >= (count := torch.cuda.device_count()):
        got = f"{options.device} on a machine where torch finds {count or 'none'}"
        raise invalid("--device", "cpu, or a GPU that torch finds", got, "use --device cpu")
    return options


def generated_images(count: int = 64) -> ImageSource:
    """Noise with labels drawn by chance: nothing to understand, so whoever is right has learned them by heart."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(count, 3, 32, 32, generator=generator)
    images = Images(pixels, torch.randint(CLASSES, (count,), generator=generator))
    return ImageSource("generated", lambda: images, lambda: images, lambda: images)


def build_model(options: argparse.Namespace) -> Classifier:
    """The stem, or a backbone, in front of the connectome."""
    torch.manual_seed(options.seed)
    worm = open_connectome(options.connectome)
    print(worm)
    if options.backbone:
        head = {"weights": options.weights or None, "frozen": options.frozen, "resize": options.resize}
        return attach_head(options.backbone, worm, CLASSES, core=options.core, **head)
    return ElegansClassifier(worm, CLASSES, width=options.width, core=options.core)


@torch.no_grad()
def accuracy(model: Classifier, images: Images, device: str, batch: int = 500) -> float:
    """Share of images whose class the model names."""
    model.eval()
    parts = zip(images.pixels.split(batch), images.labels.split(batch), strict=True)
    right = sum((model(pixels.to(device)).argmax(1).cpu() == labels).sum().item() for pixels, labels in parts)
    model.train()
    return right / len(images.labels)


def peak_memory(device: str) -> float:
    """The most this process (or its GPU) has held, in MiB."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 2**20
    unit = 1 if sys.platform == "darwin" else 2**10  # macOS counts bytes, Linux KiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def train(options: argparse.Namespace, source: ImageSource) -> Classifier:
    """The loop, with a line of figures from time to time."""
    config = ClassifierConfig(
        data="cifar10",
        steps=options.steps,
        validate_every=options.steps,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        muon_learning_rate=options.muon_learning_rate,
        weight_decay=options.weight_decay,
        seed=options.seed,
        **({"augment": "none"} if options.smoke else {"augment": "crop-flip", "shift": RECIPE.augment.shift}),
    )
    model = build_model(options).to(options.device)
    print(", ".join(f"{part} {count:,}" for part, count in model.parameters_by_part().items()) + " parameters")
    groups = parameter_groups(
        model,
        matrix_parts=model.matrix_parts(),
        lr=options.learning_rate,
        muon_lr=options.muon_learning_rate,
        weight_decay=options.weight_decay,
    )
    optimizer = MuonAdamW(groups)
    warmup = min(RECIPE.optim.warmup, options.steps // 5)
    schedule = LambdaLR(optimizer, lambda step: warmup_cosine(step, warmup=warmup, total=options.steps))
    validation, every = source.validation(), max(1, options.steps // 10)
    batches = enumerate(TrainingBatches(source.train(), config), start=1)
    seconds, seen, started = 0.0, 0, time.perf_counter()
    for step, (pixels, labels) in batches:
        loss = model.loss(pixels.to(options.device), labels.to(options.device), RECIPE.optim.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        shown = loss.item()  # waits for the device, so it comes before the clock is read
        seconds, seen = seconds + time.perf_counter() - started, seen + len(labels)
        if step % every == 0 or step == options.steps:
            share = accuracy(model, validation, options.device)
            print(f"step {step:5d}  loss {shown:.4f}  validation accuracy {100 * share:.2f} %", flush=True)
        started = time.perf_counter()  # validation is not counted, drawing the next batch is
    print(f"{seen / seconds:.0f} images/s in training, peak memory {peak_memory(options.device):.0f} MiB")
    return model


def main(argv: Sequence[str] | None = None) -> int:
    """On generated images or on CIFAR-10: train, then open the test images once."""
    try:
        options = chosen(argv)
        return smoke(options) if options.smoke else run(options)
    except (DataUnavailableError, InvalidArgumentError, MissingExtraError) as error:
        print(f"cifar10.py: {error}", file=sys.stderr)
        return USER_ERROR


def smoke(options: argparse.Namespace) -> int:
    """Train on generated images and look whether they have been learned."""
    source = generated_images()
    model, images = train(options, source), source.train()
    if not options.frozen:
        # A few steps are too few for the running averages of batch norms: they are taken anew.
        update_bn([images.pixels], model, options.device)
    share = accuracy(model, images, options.device)
    print(f"{100 * share:.0f} % of {len(images.labels)} generated images learned by heart")
    return 0 if share == 1 else NOT_LEARNED


def run(options: argparse.Namespace) -> int:
    """Train on CIFAR-10."""
    try:
        source = load_cifar10(options.data_dir, download=not options.no_download)
    except DataUnavailableError as error:
        raise DataUnavailableError(f"{error}; --smoke runs without the data set") from error
    model = train(options, source)
    share = accuracy(model, source.test(), options.device)
    print(f"test accuracy {100 * share:.2f} % ({source.name}; chance is {100 / CLASSES:.0f} %)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
