"""What a newcomer tries in the first hour, right and wrong: every call either works as expected or says what to do.

Each row is a line of code and what comes of it: an expression that must be true, or a pattern of the message. Run as a
script, this file prints the outcomes as JSON, or with --table the table of docs/first-calls.md.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

# What the calls use; `work` is an empty folder.
PREPARE = """
import networkx as nx, numpy as np, scipy.sparse as sp, torch
from torch_geometric.data import Data
import elegans_gnn
from elegans_gnn import *
from elegans_gnn.training import AutoencoderConfig, ClassifierConfig, train

torch.manual_seed(0)
(work / "edges.csv").write_text("source,target,synapses\\na,b,2\\nb,c,3.0\\nc,d,1\\n")
(work / "wrong.csv").write_text("source,target,colour\\na,b,red\\n")
(work / "half.csv").write_text("source,target,n\\na,b,2.5x\\n")
worm = load_connectome("varshney2011")
graph = Connectome.from_edges("chain", ["a", "b", "c", "d"], ["a", "b", "c"], ["b", "c", "d"])
conv = ConnectomeConv(graph, 3, 2)
own, x, flat, karate = conv.edge_index, torch.randn(5, 4, 3), torch.randn(4, 3), nx.karate_club_graph()
"""


# (call, what comes of it): True for "must be true", or a pattern of the message.
CALLS: list[tuple[str, str | bool]] = [
    # Getting a graph.
    ("load_connectome('varshney2011').num_neurons == 279", True),
    ("load_connectome('varshney')", "name must be one of .*did you mean 'varshney2011'"),
    ("load_connectome(work / 'edges.csv').num_edges == 3", True),
    ("load_connectome(str(work / 'edges.csv')).counts.tolist() == [2, 3, 1]", True),
    ("load_connectome(work / 'none.csv')", "none.csv"),
    ("load_connectome(work / 'wrong.csv')", "colour"),
    ("load_connectome(work / 'half.csv')", "line 2"),
    ("load_connectome('')", "name must be a name or a path, got ''"),
    ("load_connectome('celegans')", "or the path of a file, such as celegans.csv"),
    ("load_connectome(3)", "name must be"),
    ("Connectome.from_networkx(karate)", "kind="),
    ("Connectome.from_networkx(karate, kind='gap').num_edges == 156", True),
    ("Connectome.from_networkx(nx.DiGraph([(1, 2), (2, 3)])).num_neurons == 3", True),
    ("Connectome.from_networkx(nx.DiGraph()).num_neurons == 0", True),
    ("Connectome.from_networkx('karate')", "networkx|NetworkX"),
    ("Connectome.from_scipy(sp.csr_array(np.eye(3, k=1))).num_edges == 2", True),
    ("Connectome.from_scipy(np.zeros((2, 3)))", "square|shape"),
    ("Connectome.from_pyg(Data(edge_index=own, num_nodes=4)).num_edges == 3", True),
    ("Connectome.from_edges('g', ['a', 'b'], ['a'], ['z'])", "z"),
    ("Connectome.from_edges('g', ['a', 'a'], ['a'], ['a'])", "names"),
    ("Connectome.from_edges('g', ['a', 'b'], ['a', 'a'], ['b', 'b'])", "repeat|twice"),
    ("Connectome.from_edges('g', ['a', 'b'], ['a'], ['b'], counts=-1)", "counts"),
    ("random_connectome('role-degree', like=worm, seed=0).num_edges == worm.num_edges", True),
    ("random_connectome('small-world', like=worm, seed=0)", "watts-strogatz"),
    ("random_connectome('watts-strogatz', like=worm)", "seed"),
    ("worm.select(roles='sensor')", "did you mean 'sensory'"),
    ("worm.index(['AVAL', 'XYZ'])", "XYZ"),
    # A layer.
    ("tuple(conv(x).shape) == (5, 4, 2)", True),
    ("tuple(conv(flat).shape) == (4, 2)", True),
    ("torch.equal(conv(x, own), conv(x))", True),
    ("torch.allclose(conv(x, own.flip(1)), conv(x))", True),
    ("torch.allclose(conv(torch.cat([flat, flat]), torch.cat([own, own + 4], 1))[4:], conv(flat))", True),
    ("conv(x, torch.tensor([[0], [3]]))", "edge_weight"),
    ("tuple(conv(x, torch.tensor([[0], [3]]), torch.ones(1)).shape) == (5, 4, 2)", True),
    ("conv(x, torch.tensor([[0], [3]]), torch.ones(2))", "edge_weight"),
    ("conv(x, torch.tensor([[0], [9]]), torch.ones(1))", "9|edge_index"),
    ("conv(x[:, :3])", "4"),
    ("conv(x[..., :2])", "3"),
    ("conv(x[..., None])", "axes|axis|shape"),
    ("conv(x.long())", "dtype|float|type"),
    ("conv(x.numpy())", "tensor|Tensor"),
    ("ConnectomeConv(own, 3, 2)", "Connectome"),
    ("ConnectomeConv('varshney2011', 3, 2)", "load_connectome|Connectome"),
    ("ConnectomeConv(graph, 0, 2)", "in_channels"),
    ("ConnectomeConv(graph, 4.0, 2)", "in_channels must be an int, got 4.0; pass a whole number"),
    ("ConnectomeConv(graph, (4, 4), 2)", "one set of neurons"),
    ("ConnectomeConv(graph, 3, 2, activation='silu')(x).shape[2] == 2", True),
    ("ConnectomeConv(graph, 3, 2, activation='swish')", "silu"),
    ("ConnectomeConv(graph, 3, 2, signs='transmitter')", "transmitter"),
    ("ConnectomeConv(worm, 3, 2, signs='transmitter').connectome is worm", True),
    ("ConnectomeConv(graph, 3, 2, init='weights')", "weights"),
    ("ConnectomeConv(graph, 3, 2, unit='neurons')", "did you mean 'neuron'"),
    ("tuple(ConnectomeConv(graph, -1, 2)(x).shape) == (5, 4, 2)", True),
    ("conv.lesion(neurons=['zz'])", "zz"),
    ("conv.lesion(edges=[99])", "edges must be"),
    ("conv.load_state_dict(ConnectomeConv(worm, 3, 2).state_dict())", "wiring|graph|size mismatch"),
    ("tuple(conv(torch.zeros(0, 4, 3)).shape) == (0, 4, 2)", True),
    ("elegans_gnn.ops.aggregate(x, conv.edge_weight(), graph)", "SparseAdjacency"),
    ("elegans_gnn.ops.synaptic_conv2d(torch.zeros(1, 4, 1, 5, 5), torch.zeros(3, 3, 3), own)", "SparseAdjacency"),
    # The core and models.
    ("RecurrentCore(graph, 3)", "sources|all"),
    ("RecurrentCore(graph, 3, inputs='sources', outputs='sinks').num_outputs == 1", True),
    ("RecurrentCore(graph, 3, inputs='a', outputs=['c', 'd']).num_outputs == 2", True),
    ("RecurrentCore(graph, 3, inputs='a,b', outputs=[3]).num_inputs == 2", True),
    ("RecurrentCore(graph, 3, inputs='a', outputs='d', steps=2)", "steps >= 3"),
    ("RecurrentCore(graph, 3, inputs='e', outputs='d')", "inputs must be"),
    ("RecurrentCore(worm, 3, steps=0)", "steps must be"),
    ("RecurrentCore(worm, 3, leak=1.5)", "leak must be"),
    ("RecurrentCore(worm, 3, leak='learn')", "leak must be"),
    ("RecurrentCore(worm, 3, inputs='AVAL,AVAX')", "inputs must be names of neurons, .*sources.*did you mean 'AVA"),
    ("RecurrentCore(worm, 3, inputs='sensory,motor')", "inputs must be names of neurons, one role"),
    ("RecurrentCore(worm, 3)(torch.randn(2, 5, 3))", "signal must be"),
    ("TensorNetwork(graph, 4)", "sensory|inputs"),
    ("ElegansAutoencoder(worm)(torch.zeros(2, 1, 28, 28)).shape[0] == 2", True),
    ("ElegansAutoencoder(worm)(torch.zeros(1, 28, 28))", "batch axis"),
    ("ElegansAutoencoder(worm, core='dens')", "did you mean 'dense'"),
    ("ElegansAutoencoder(worm, steps=1)", "outputs must be"),
    ("ElegansAutoencoder()", "connectome"),
    ("ElegansClassifier(worm, 1)", "num_classes must be"),
    ("ElegansHead(worm, 8, 3)(torch.zeros(2, 9))", "features must be"),
    ("attach_head('resnet19', worm, 10)", "resnet18"),
    ("attach_head(torch.nn.Sequential(torch.nn.Linear(6, 4)), worm, 3)(torch.zeros(2, 6))", "images must be"),
    ("tuple(RecurrentCore(worm, 3)(torch.zeros(0, 83, 3)).shape) == (0, 115, 3)", True),
    # Training.
    ("AutoencoderConfig(stepz=3)", "did you mean 'steps'"),
    ("AutoencoderConfig(steps='many')", "steps must be of type int"),
    ("ClassifierConfig(model='vit', leak=0.3)", "no effect with model=vit"),
    ("AutoencoderConfig(keep=0.3, leak=0.4)", "keep must be omitted with leak"),
    ("AutoencoderConfig(core='tensor-network', reapply='SI,IM').core.options['reapply'] == ('SI', 'IM')", True),
    ("ClassifierConfig(backbone='resnet18', mean=[0.5, 0.5, 0.5]).model.options['mean'] == (0.5, 0.5, 0.5)", True),
    ("ClassifierConfig(backbone='resnet18', mean='a,b,c')", "mean must be a list of numbers"),
    ("AutoencoderConfig(inputs=[1, 2]).core.options['inputs'] == (1, 2)", True),
    ("AutoencoderConfig().resolved().changed(core='none').core.core == 'none'", True),
    ("AutoencoderConfig(devices=3, batch_size=129).smoke().optim.batch_size == 33", True),
    ("train(AutoencoderConfig, work / 'run')", "config must be"),
    ("train(AutoencoderConfig(), work)", "folder must be new or empty"),
    ("elegans_gnn.Conectome", "no attribute"),
]


def outcome(call: str, work: Path) -> str:
    """``works``, or the error that the user reads, in one line."""
    from elegans_gnn.errors import ConnectomeFormatError, InvalidArgumentError

    known: dict[str, Any] = {"work": work}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(PREPARE, known)
        try:
            return "works" if eval(call, known) else "a wrong result"
        except Exception as error:
            ours = isinstance(error, InvalidArgumentError | ConnectomeFormatError)
            kind = "ValueError" if ours else type(error).__name__
            return f"{kind}: {' '.join(str(error).split())}".replace(str(work), "work")


def main() -> None:
    """Print the outcome of every call."""
    with tempfile.TemporaryDirectory() as folder:
        found = {call: outcome(call, Path(folder)) for call, _ in CALLS}
    if "--table" not in sys.argv:
        print(json.dumps(found))
        return
    print("| call | outcome |\n|---|---|")
    for call, said in found.items():
        shown = said if len(said) <= 300 else f"{said[:300]} ..."
        print("| `{}` | {} |".format(call.replace("|", "\\|"), shown.replace("|", "\\|").replace("<", "&lt;")))


if __name__ == "__main__":
    main()
