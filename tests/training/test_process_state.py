"""Training from Python leaves the process as it found it, and says what it cannot train."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from elegans_gnn.errors import InvalidArgumentError
from elegans_gnn.training import TrainingConfig, train

# In a process of its own, since the checks of array shapes in these tests draw random numbers themselves.
LEAVES = """
import os, random, signal
import numpy as np
import torch
from elegans_gnn.training import ClassifierConfig, train

def state():
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    drawn = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()
    return {"threads": torch.get_num_threads(), "environment": dict(os.environ), "handlers": handlers, "random": drawn}

config = ClassifierConfig(
    data="digits", steps=2, validate_every=2, warmup=1, width=4, batch_size=16, threads=1, seed=7
)
torch.set_num_threads(2)
signal.signal(signal.SIGTERM, lambda *_: None)
before = state()
train(config, "run", progress=False)
print([name for name, value in state().items() if value != before[name]])
try:
    train(config, "run", progress=False)
except ValueError as error:
    print(error)
print([name for name, value in state().items() if value != before[name]])
"""


def test_a_run_leaves_threads_random_states_environment_and_signal_handlers(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", LEAVES], cwd=tmp_path, capture_output=True, text=True, check=True)
    unchanged, refused, unchanged_again = done.stdout.splitlines()
    assert unchanged == unchanged_again == "[]"
    assert refused == "folder must be new or empty, got run; choose another folder, or resume the run in it"


def test_a_configuration_without_a_task_is_refused(tmp_path: Path) -> None:
    message = "config must be an AutoencoderConfig or a ClassifierConfig, got TrainingConfig; such as AutoencoderConfig"
    with pytest.raises(InvalidArgumentError, match=message):
        train(TrainingConfig(), tmp_path / "run")
    with pytest.raises(InvalidArgumentError, match=r"got dict; such as AutoencoderConfig\(\)"):
        train({"steps": 3}, tmp_path / "run")  # type: ignore[arg-type]
    assert not (tmp_path / "run").exists()
