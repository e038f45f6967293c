"""Train a small classifier on CIFAR-10 whose features pass through the worm's wiring diagram.

A convolutional stem writes one 4 x 4 map on every sensory neuron, the recurrent core carries the maps along the
synapses, and a linear head reads the motor neurons. The data set is torchvision's: it is downloaded into --data-dir
unless it is there. The model is small and its recipe plain, so take the accuracy as a starting point, not as a result.

    python examples/cifar10.py
    python examples/cifar10.py --smoke        # generated images, seconds
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from elegans_gnn import ElegansClassifier, load_connectome
from elegans_gnn.datasets import Images, ImageSource, load_cifar10
from elegans_gnn.errors import DataUnavailableError
from elegans_gnn.training import MuonAdamW, parameter_groups, warmup_cosine

CLASSES = 10
MEAN, STD = (0.491, 0.482, 0.447), (0.247, 0.243, 0.262)
PADDING = 4
NO_DATA = 2  # exit code


def arguments() -> argparse.ArgumentParser:
    """What can be chosen from the command line."""
    parser = argparse.ArgumentParser(
        description="Train a small connectome classifier on CIFAR-10.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--data-dir", type=Path, default=Path("downloads"), help="folder with cifar-10-batches-py, or where to put it")
    add("--no-download", action="store_true", help="use what is on disk or give up")
    add("--connectome", default="varshney2011", help="which wiring diagram, see `elegans-gnn connectome list`")
    add("--core-steps", type=int, default=4, help="how many synapses far a signal travels")
    add("--width", type=int, default=64, help="channels of the convolutional stem")
    add("--epochs", type=int, default=10, help="passes over the 45,000 training images")
    add("--batch-size", type=int, default=128, help="images a step")
    add("--learning-rate", type=float, default=2e-3, help="peak rate of AdamW: synapses, biases, norms")
    add("--muon-learning-rate", type=float, default=0.02, help="peak rate of Muon: convolution and dense matrices")
    add("--weight-decay", type=float, default=0.02, help="of all matrices")
    add("--seed", type=int, default=0, help="of everything random")
    add("--device", default="cpu", help="cpu or cuda")
    add("--smoke", action="store_true", help="one pass over a few generated images, to see that all works")
    return parser


def generated_images(train: int = 512, held_out: int = 128) -> ImageSource:
    """Stand-ins of CIFAR-10's shape: every class is one random pattern, every image that pattern under noise."""
    patterns = torch.rand(CLASSES, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    def part(count: int, seed: int) -> Callable[[], Images]:
        def make() -> Images:
            generator = torch.Generator().manual_seed(seed)
            labels = torch.randint(CLASSES, (count,), generator=generator)
            noise = torch.rand(count, 3, 32, 32, generator=generator)
            return Images(0.5 * (patterns[labels] + noise), labels)

        return make

    return ImageSource("generated", part(train, 1), part(held_out, 2), part(held_out, 3))


def normalised(pixels: Tensor) -> Tensor:
    """Zero mean and unit variance for each colour."""
    return (pixels - torch.tensor(MEAN)[:, None, None]) / torch.tensor(STD)[:, None, None]


def augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the images mirrored, and the batch moved by up to four pixels each way."""
    mirror = torch.rand(len(images), generator=generator) < 0.5
    images = torch.where(mirror[:, None, None, None], images.flip(-1), images)
    top, left = torch.randint(0, 2 * PADDING + 1, (2,), generator=generator).tolist()
    padded = torch.nn.functional.pad(images, [PADDING] * 4)
    return padded[..., top : top + images.shape[-2], left : left + images.shape[-1]]


@torch.no_grad()
def accuracy(model: ElegansClassifier, images: Images, device: str, batch: int = 500) -> float:
    """Share of images whose class the model names."""
    model.eval()
    parts = zip(images.pixels.split(batch), images.labels.split(batch), strict=True)
    right = sum((model(normalised(x).to(device)).argmax(1).cpu() == y).sum().item() for x, y in parts)
    model.train()
    return right / len(images.labels)


def train(options: argparse.Namespace, source: ImageSource) -> ElegansClassifier:
    """The loop: each epoch in a new order, one line of figures each."""
    torch.manual_seed(options.seed)
    worm = load_connectome(options.connectome)
    print(worm)
    model = ElegansClassifier(worm, CLASSES, width=options.width, steps=options.core_steps).to(options.device)
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters")
    groups = parameter_groups(
        model,
        matrix_parts=[model.stem, model.head],
        lr=options.learning_rate,
        muon_lr=options.muon_learning_rate,
        weight_decay=options.weight_decay,
    )
    optimizer = MuonAdamW(groups)
    images, validation = source.train(), source.validation()
    pixels = normalised(images.pixels)
    per_epoch = max(1, len(pixels) // options.batch_size)
    total = options.epochs * per_epoch
    schedule = LambdaLR(optimizer, lambda step: warmup_cosine(step, warmup=min(200, total // 5), total=total))
    generator = torch.Generator().manual_seed(options.seed)
    for epoch in range(1, options.epochs + 1):
        order = torch.randperm(len(pixels), generator=generator)
        started, mean_loss = time.perf_counter(), torch.zeros((), device=options.device)
        for index in order[: per_epoch * options.batch_size].split(options.batch_size):
            batch = augmented(pixels[index], generator).to(options.device)
            loss = model.loss(batch, images.labels[index].to(options.device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            mean_loss += loss.detach() / per_epoch
        shown = f"loss {mean_loss.item():.4f}"  # waits for the device, so it comes before the clock is read
        rate = per_epoch * options.batch_size / (time.perf_counter() - started)
        share = accuracy(model, validation, options.device)
        print(f"epoch {epoch:3d}  {shown}  validation accuracy {100 * share:.2f} %  {rate:.0f} images/s", flush=True)
    return model


def main(argv: Sequence[str] | None = None) -> int:
    """Train, then open the test images once."""
    options = arguments().parse_args(argv)
    if options.smoke:
        options.epochs, options.batch_size, options.width = 2, 64, 16
        source = generated_images()
    else:
        try:
            source = load_cifar10(options.data_dir, download=not options.no_download)
        except DataUnavailableError as error:
            print(f"cifar10.py: {error}\nTo see the example run without the data set: --smoke", file=sys.stderr)
            return NO_DATA
    model = train(options, source)
    share = accuracy(model, source.test(), options.device)
    print(f"test accuracy {100 * share:.2f} % ({source.name}; chance is {100 / CLASSES:.0f} %)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
