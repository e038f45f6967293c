"""Eight threads at once, a forked process, and the end of a process: each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

START = """
import os, signal, threading
import torch
from elegans_gnn import ops
from elegans_gnn.nn import TensorNetwork
from elegans_gnn.ops import _buffers
from elegans_gnn.sparse import SparseAdjacency
from tests.tensor_network.cases import small

network = TensorNetwork(small(), 16)
generator = torch.Generator().manual_seed(0)
adjacency = SparseAdjacency(torch.randint(0, 99, (2, 900), generator=generator), 99)
x, weight, rows = torch.randn(3, 99, 40, generator=generator), torch.randn(900, generator=generator), torch.randn(5, 16)

def step():
    with torch.no_grad():
        return ops.aggregate(x, weight, adjacency), network(rows)

def gradients():
    mine, own = weight.clone().requires_grad_(), rows.clone().requires_grad_()
    total = ops.aggregate(x, mine, adjacency).square().sum() + network(own).square().sum()
    return torch.autograd.grad(total, (mine, own))

def same(found, expected):
    return all(map(torch.equal, found, expected))
"""


def run(script: str) -> str:
    command = [sys.executable, "-W", "ignore", "-c", START + script]
    ran = subprocess.run(
        command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, timeout=120
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    return ran.stdout.strip()


def test_eight_threads_that_call_at_once() -> None:
    script = """
torch.set_num_threads(2)
expected, wrong = (step(), gradients()), []
def work():
    for _ in range(10):
        if not (same(step(), expected[0]) and same(gradients(), expected[1])):
            wrong.append(threading.current_thread().name)
workers = [threading.Thread(target=work) for _ in range(8)]
for worker in workers: worker.start()
for worker in workers: worker.join()
print(wrong)
"""
    assert run(script) == "[]"


def test_eight_threads_inside_a_call() -> None:
    script = """
torch.set_num_threads(1)
expected = step(), gradients()
torch.set_num_threads(8)
print(same(step(), expected[0]), same(gradients(), expected[1]))
"""
    assert run(script) == "True True"


def test_a_forked_process_with_one_thread_as_data_loaders_have() -> None:
    """Another thread holds the lock of the kept memory at that moment: the child must not wait for it."""
    script = """
torch.set_num_threads(2)
expected = step()
held, done = threading.Event(), threading.Event()
def hold():
    with _buffers._lock:
        held.set(); done.wait()
threading.Thread(target=hold).start()
held.wait()
child = os.fork()
if child == 0:
    signal.alarm(60)
    torch.set_num_threads(1)
    large = _buffers.empty(torch.ones(1), torch.Size([10_000_000])).fill_(1)
    del large
    os._exit(0 if same(step(), expected) and _buffers.unused_bytes() else 3)
done.set()
print(os.waitpid(child, 0)[1])
"""
    assert run(script) == "0"


def test_a_process_ends_while_results_on_kept_memory_are_alive() -> None:
    script = """
alive = _buffers.empty(torch.ones(1), torch.Size([10_000_000])).fill_(1)
class Cycle: pass
cycle = Cycle(); cycle.self, cycle.tensor = cycle, _buffers.empty(torch.ones(1), torch.Size([10_000_000]))
threading.Thread(target=threading.Event().wait, daemon=True).start()
print("end")
"""
    assert run(script) == "end"
