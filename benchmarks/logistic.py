"""Logistic regression, fitted to convergence: the accuracy of a linear map on the data of the comparisons.

    python benchmarks/logistic.py --json docs/results/logistic.json

It is fitted to the training images with several penalties. The best one on validation images is tested once.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from measure import conditions
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from elegans_gnn.datasets import Images, load_images

STRENGTHS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
ITERATIONS = 5000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="output file for the figures")
    path: Path = parser.parse_args().json
    warnings.simplefilter("error", ConvergenceWarning)
    runs = [fit("mnist5k")] + [fit("digits", fold) for fold in range(5)]
    for name in ("mnist5k", "digits"):
        found = [100 * run["accuracy"] for run in runs if run["data"] == name]
        spread = f" ± {np.std(found, ddof=1):.3f}" if found[1:] else ""
        print(f"{name}: {np.mean(found):.3f}{spread} % (n = {len(found)})")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"runs": runs, "conditions": conditions()}, indent=1) + "\n")


def fit(data: str, fold: int = 0) -> dict[str, Any]:
    """Choose the penalty on the validation part, and measure the accuracy on the test part."""
    source = load_images(data, fold=fold)
    training, validation = flat(source.train()), flat(source.validation())
    models = [LogisticRegression(C=strength, max_iter=ITERATIONS).fit(*training) for strength in STRENGTHS]
    scores = [model.score(*validation) for model in models]
    best = int(np.argmax(scores))
    accuracy = float(models[best].score(*flat(source.test())))
    return {"data": data, "fold": fold, "C": STRENGTHS[best], "validation": float(scores[best]), "accuracy": accuracy}


def flat(images: Images) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [B, P] between 0 and 1, and labels [B]."""
    return images.pixels.flatten(1).numpy(), images.labels.numpy()


if __name__ == "__main__":
    main()
