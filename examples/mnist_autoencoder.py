"""Teach the worm's wiring diagram to redraw handwritten digits, with the training loop written out.

The same training as `elegans-gnn train mnist-autoencoder`, to the last digit on the same machine, without Lightning:
no checkpoints and no resuming, but a loop to read in one sitting and to change. Try another connectome, more synapses
far (--core-steps), your own graph in place of `load_connectome`, another loss.

    python examples/mnist_autoencoder.py                 # the full run
    python examples/mnist_autoencoder.py --steps 300     # a first impression
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel

from elegans_gnn import ElegansAutoencoder, load_connectome
from elegans_gnn.datasets import ImageSource, ink, load_digits
from elegans_gnn.training import (
    AutoencoderConfig,
    MuonAdamW,
    TrainingBatches,
    evaluate_reconstruction,
    exponential_average,
    parameter_groups,
    pca_reconstruction,
    warmup_cosine,
)
from elegans_gnn.viz import plot_edge_weights, plot_reconstructions

# Every default is the command's own; the settings without an option here can be changed in `configuration`.
RECIPE = AutoencoderConfig().resolved()
SHOWN = 16


def arguments() -> argparse.ArgumentParser:
    """What can be chosen from the command line."""
    parser = argparse.ArgumentParser(
        description="Train an autoencoder whose only path from image to code is a connectome.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add(
        "--data",
        default=RECIPE.data.data,
        help="mnist5k (5,000 digits, no download), mnist, or a folder with MNIST",
    )
    add("--connectome", default=RECIPE.graph.connectome, help="which wiring diagram, see `elegans-gnn connectome list`")
    add(
        "--core-steps",
        type=int,
        default=RECIPE.core.options["core_steps"],
        help="largest number of synapses a signal crosses",
    )
    add("--code", type=int, default=RECIPE.model.options["code"], help="length of the code in floats")
    add("--steps", type=int, default=RECIPE.optim.steps, help="optimiser steps")
    add("--batch-size", type=int, default=RECIPE.optim.batch_size, help="images a step")
    add("--learning-rate", type=float, default=RECIPE.optim.learning_rate, help="peak rate of AdamW: synapses, biases")
    add("--muon-learning-rate", type=float, default=RECIPE.optim.muon_learning_rate, help="peak rate of Muon: matrices")
    add("--validate-every", type=int, default=RECIPE.optim.validate_every, help="steps between validations")
    add("--seed", type=int, default=RECIPE.optim.seed, help="seed of everything random")
    add("--out", type=Path, default=Path("runs/example-mnist-autoencoder"), help="folder for the two pictures")
    add("--smoke", action="store_true", help="a few small steps on the real digits, to see that all works")
    return parser


def configuration(options: argparse.Namespace) -> AutoencoderConfig:
    """The options as the one object that the model, the batches and the optimiser are built from."""
    config = AutoencoderConfig(
        data=options.data,
        connectome=options.connectome,
        core_steps=options.core_steps,
        code=options.code,
        steps=options.steps,
        batch_size=options.batch_size,
        learning_rate=options.learning_rate,
        muon_learning_rate=options.muon_learning_rate,
        validate_every=options.validate_every,
        seed=options.seed,
    )
    return config.smoke() if options.smoke else config


def build_model(config: AutoencoderConfig) -> ElegansAutoencoder:
    """Encoder -> sensory neurons -> `core_steps` steps along the synapses -> motor neurons -> code -> decoder."""
    torch.manual_seed(config.optim.seed)
    worm = load_connectome(config.graph.connectome)
    print(worm)
    return ElegansAutoencoder(worm, **config.model_keywords())


def build_optimizer(model: ElegansAutoencoder, config: AutoencoderConfig) -> tuple[MuonAdamW, LambdaLR]:
    """Muon on the dense matrices, AdamW on the rest (the synapses too), one warm-up and one cosine over both."""
    settings = config.optim
    optimizer = MuonAdamW(
        parameter_groups(
            model,
            matrix_parts=model.matrix_parts(),
            lr=settings.learning_rate,
            muon_lr=settings.muon_learning_rate,
            weight_decay=settings.weight_decay,
        )
    )
    schedule = LambdaLR(optimizer, lambda step: warmup_cosine(step, warmup=settings.warmup, total=settings.steps))
    return optimizer, schedule


def train(config: AutoencoderConfig, digits: ImageSource) -> ElegansAutoencoder:
    """Train, and return the averaged weights that were best on the validation digits."""
    model = build_model(config)
    optimizer, schedule = build_optimizer(model, config)
    # A moving average of the weights is what gets judged and kept; it redraws better than the weights of any one step.
    averaged = AveragedModel(model, multi_avg_fn=exponential_average(config.optim.ema))
    validation = ink(digits.validation().pixels)
    best, best_weights = -1.0, averaged.module.state_dict()
    started = time.perf_counter()
    for step, images in enumerate(TrainingBatches(digits.train(), config), start=1):
        loss = model.loss(images)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        averaged.update_parameters(model)
        if step % config.validation_interval == 0:
            figures = evaluate_reconstruction(averaged.module, validation)
            if figures["accuracy"] > best:
                best = figures["accuracy"]
                best_weights = {name: value.clone() for name, value in averaged.module.state_dict().items()}
            print(
                f"step {step:5d}  loss {loss.item():.5f}  validation accuracy {100 * figures['accuracy']:.3f} %"
                f"  {time.perf_counter() - started:.0f} s"
            )
    model.load_state_dict(best_weights)
    return model.eval()


def report(label: str, logits_of: Callable[[Tensor], Tensor], test: Tensor) -> None:
    """One line of test figures."""
    figures = evaluate_reconstruction(logits_of, test)
    print(
        f"{label:>20}: pixel accuracy {100 * figures['accuracy']:.3f} %  F1 {figures['f1']:.4f}  "
        f"BCE {figures['bce']:.5f}  SSIM {figures['ssim']:.4f}"
    )


@torch.no_grad()
def draw(model: ElegansAutoencoder, test: Tensor, folder: Path) -> None:
    """The two pictures: originals over reconstructions, and what the synapses learned."""
    folder.mkdir(parents=True, exist_ok=True)
    # Spread over the test digits, which are sorted.
    shown = test[torch.linspace(0, len(test) - 1, SHOWN).long()]
    redrawn = torch.sigmoid(model(shown))
    plot_reconstructions(shown[:, 0].numpy(), redrawn[:, 0].numpy(), folder / "reconstructions.png")
    plot_edge_weights(model.connectome, model.core.conv.edge_weight().numpy(), folder / "edge_weights.png")
    print(f"pictures in {folder}")


def main(argv: Sequence[str] | None = None) -> None:
    """Train, then open the test digits once."""
    options = arguments().parse_args(argv)
    config = configuration(options)
    digits = load_digits(config.data.data)
    model = train(config, digits)
    print("parameters: " + ", ".join(f"{part} {count:,}" for part, count in model.parameters_by_part().items()))

    test = ink(digits.test().pixels)
    code = model.code_length
    report(f"{model.connectome.name}, code {code}", model, test)
    report(f"PCA, {code} components", pca_reconstruction(ink(digits.train().pixels), code), test)
    edges = model.connectome.num_edges
    model.core.lesion(edges=range(edges))
    report(f"all {edges:,} edges cut", model, test)
    model.core.heal()
    draw(model, test, options.out)


if __name__ == "__main__":
    main()
