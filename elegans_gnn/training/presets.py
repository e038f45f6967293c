"""The recipes behind `--preset`: what differs from the defaults, by data set or by family of data sets.

Options in them (`encoder_width`, `width`, `core_steps`) are those of the recipe's model, `elegans` where it names none;
other models ignore those that they do not take, and a test holds each recipe to the model's class.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

# Data set or family -> preset -> settings; "" is for all without an entry of their own.
Recipes: TypeAlias = Mapping[str, Mapping[str, Mapping[str, Any]]]

_TINY = {"steps": 6, "validate_every": 3, "warmup": 2, "batch_size": 32}

AUTOENCODER: Recipes = {
    "": {
        "smoke": {**_TINY, "encoder_width": 16, "decoder_width": 16},
        "demo": {},
        "headline": {
            "augment": "strong",
            "augment_share": 0.5,
            "weight_decay": 0.1,
            "ema": 0.999,
            "steps": 8000,
            "validate_every": 400,
        },
    }
}
_GREY = {"augment": "strong", "augment_share": 0.9, "weight_decay": 0.1, "muon_learning_rate": 0.01}
_SMALL = {**_GREY, "shift": 0, "ema": 0.99}
_COLOUR = {"augment": "crop-flip", "shift": 4, "weight_decay": 0.05, "muon_learning_rate": 0.02, "label_smoothing": 0.1}
# Filters of synapses want a rate far above that of dense matrices.
_FASHION = {
    "model": "elegansnet",
    "learning_rate": 0.01,
    "synapse_learning_rate": 0.01,
    "batch_size": 64,
    "weight_decay": 0.0,
}
CLASSIFIER: Recipes = {
    "": {
        "smoke": {**_GREY, **_TINY},
        "demo": {**_GREY, "steps": 1000},
        "headline": {**_GREY, "steps": 2000, "ema": 0.999},
    },
    "fashion-mnist": {
        "smoke": {**_FASHION, **_TINY, "core_steps": 1, "late_steps": 2},
        "demo": {**_FASHION, "steps": 2500, "validate_every": 500},
        "headline": {
            **_FASHION,
            "steps": 30_000,
            "validate_every": 1000,
            "augment": "crop-flip",
            "shift": 2,
            "flip": "alternating",
            "erase": 0.25,
        },
    },
    "digits": {
        "smoke": {**_SMALL, **_TINY},
        "demo": {**_SMALL, "steps": 500, "validate_every": 50},
        "headline": {**_SMALL, "steps": 1500, "validate_every": 50},
    },
    "cifar": {
        "smoke": {**_COLOUR, **_TINY, "width": 16},
        "demo": {**_COLOUR, "steps": 3500, "validate_every": 350},
        "headline": {
            **_COLOUR,
            "steps": 35_000,
            "validate_every": 700,
            "ema": 0.999,
            "cutout": 8,
            "width": 128,
            "blocks": 2,
        },
    },
}
