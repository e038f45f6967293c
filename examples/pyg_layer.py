"""Compare ConnectomeConv with PyG's own layers: does the wiring of a neuron predict its role?

The worm's graph is PyG `Data`, and one two-layer model runs with different layers: none, GCNConv, SAGEConv, GATConv,
ConnectomeConv, and SAGEConv followed by ConnectomeConv. The model classifies neurons as sensory, inter or motor from
features of connectivity alone. The split is by neuron class: AVAL and AVAR have similar wiring, so left and right stay
together. Otherwise the training set would contain the twins of the test neurons.

What to expect: one graph with 279 labels is too little data for a weight per synapse. With free signs the model
memorises the training neurons, since the weights into the other neurons keep their initial values. Started from the
synapse counts and kept positive, it is about as good as PyG's layers, not better. Then PyG's GNNExplainer lists the
synapses on which the prediction for one held-out neuron depends, and a lesion checks the answer. The check is needed:
for RIAL, cutting them removes much of the probability; for others (try --neuron LUAR) it does not.

    python examples/pyg_layer.py
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data
from torch_geometric.explain import Explainer, GNNExplainer
from torch_geometric.nn import GATConv, GCNConv, SAGEConv

from elegans_gnn import Connectome, ConnectomeConv, load_connectome
from elegans_gnn.connectome import ROLES, to_pyg
from elegans_gnn.errors import invalid

CLASSES = ("sensory", "inter", "motor")
FREE, POSITIVE = "ConnectomeConv, free", "ConnectomeConv, positive"
TOP = 5
Layer = Callable[[int], nn.Module]  # makes a layer of a width


def arguments() -> argparse.ArgumentParser:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description="Compare ConnectomeConv with PyG's layers on the roles of the worm's neurons.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--connectome", default="varshney2011", help="which wiring diagram, see `elegans-gnn connectome list`")
    add("--hidden", type=int, default=32, help="features per neuron between the layers")
    add("--epochs", type=int, default=120, help="full-graph steps of each training")
    add("--learning-rate", type=float, default=5e-3, help="of AdamW")
    add("--weight-decay", type=float, default=0.05, help="of AdamW")
    add("--dropout", type=float, default=0.5, help="share of hidden features silenced while training")
    add("--folds", type=int, default=5, help="parts of the cross-validation")
    add("--repeats", type=int, default=3, help="cross-validations with other splits and initial weights")
    add("--neuron", default="RIAL", help="whose prediction is explained")
    add("--explainer-epochs", type=int, default=150, help="steps of GNNExplainer")
    add("--seed", type=int, default=0, help="of splits, weights and dropout")
    add("--smoke", action="store_true", help="one small cross-validation, as a quick test")
    return parser


class RoleNet(nn.Module):
    """Features -> two rounds of message passing, each parallel to a dense path -> one score per role.

    The dense path carries a neuron's own features, since ConnectomeConv has no root term. The comparison is about what
    each layer adds to it.
    """

    def __init__(self, features: int, hidden: int, layers: Sequence[Layer], dropout: float) -> None:
        super().__init__()
        self.lift = nn.Linear(features, hidden)
        self.own = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(2))
        self.passing = nn.ModuleList(layer(hidden) for layer in layers)
        self.norms = nn.ModuleList(nn.LayerNorm(hidden) for _ in range(2))
        self.score = nn.Linear(hidden, len(CLASSES))
        self.dropout = dropout

    def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
        """[N, features] -> [N, roles]"""
        x = self.lift(x)
        for number, (own, norm) in enumerate(zip(self.own, self.norms, strict=True)):
            arrived = self.passing[number](x, edge_index) if self.passing else 0.0
            x = F.dropout(F.gelu(norm(own(x) + arrived)), self.dropout, self.training)
        return self.score(x)


def contenders(worm: Connectome) -> dict[str, list[Layer]]:
    """The layers to compare, by name; each is called as `layer(x, edge_index)`."""

    def free(width: int) -> ConnectomeConv:
        return ConnectomeConv(worm, width, width, bias="unit")

    def positive(width: int) -> ConnectomeConv:
        signs = np.ones(worm.num_edges, dtype=np.int64)
        return ConnectomeConv(worm, width, width, init="counts", signs=signs, reduce="mean", bias="unit")

    own: dict[str, Layer] = {
        "GCNConv": lambda width: GCNConv(width, width),
        "SAGEConv": lambda width: SAGEConv(width, width),
        "GATConv": lambda width: GATConv(width, width),
        FREE: free,
        POSITIVE: positive,
    }
    table: dict[str, list[Layer]] = {"no graph (MLP)": []}
    table |= {name: [layer, layer] for name, layer in own.items()}
    return table | {"SAGEConv, then the last": [own["SAGEConv"], positive]}


def connectivity_features(data: Data) -> Tensor:
    """[N, 4 K] for each of K kinds of synapse: partners in and out, synapses in and out; logarithms, standardised."""
    pre, post = data.edge_index
    columns = [
        torch.bincount(end[kind], amount[kind].float(), minlength=data.num_nodes)
        for kind in (data.edge_kind == number for number in range(len(data.kind_names)))
        for end in (pre, post)
        for amount in (torch.ones_like(data.edge_count), data.edge_count)
    ]
    table = torch.stack(columns, 1).log1p()
    return (table - table.mean(0)) / table.std(0).clamp_min(1e-6)


def fit(model: RoleNet, data: Data, chosen: Tensor, options: argparse.Namespace) -> RoleNet:
    """Train on the roles of the chosen neurons; the model sees the graph and features of all neurons."""
    optimizer = torch.optim.AdamW(model.parameters(), options.learning_rate, weight_decay=options.weight_decay)
    model.train()
    for _ in range(options.epochs):
        loss = F.cross_entropy(model(data.x, data.edge_index)[chosen], data.y[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def splits(data: Data, options: argparse.Namespace) -> list[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
    """(seed, training neurons, test neurons); neurons of one class are all on the same side."""
    known = np.flatnonzero((data.y >= 0).numpy())
    roles, groups = data.y.numpy()[known], np.array(data.neuron_class)[known]
    found = []
    for repeat in range(options.repeats):
        seed = options.seed + repeat
        folds = StratifiedGroupKFold(options.folds, shuffle=True, random_state=seed)
        found += [(seed, known[train], known[test]) for train, test in folds.split(known, roles, groups)]
    return found


@torch.no_grad()
def share_right(model: RoleNet, data: Data, chosen: Tensor) -> float:
    """Share of the chosen neurons whose role the model predicts."""
    return (model(data.x, data.edge_index)[chosen].argmax(1) == data.y[chosen]).float().mean().item()


def compare(worm: Connectome, data: Data, options: argparse.Namespace) -> None:
    """Print the cross-validated accuracy of each layer on the same splits."""
    folds = splits(data, options)
    print(f"{'layer':>25}  {'parameters':>10}  train %  test % (mean and standard deviation of {len(folds)} folds)")
    for name, layers in contenders(worm).items():
        results, parameters = [], 0
        for seed, train, test in folds:
            torch.manual_seed(seed)
            model = RoleNet(data.num_features, options.hidden, layers, options.dropout)
            parameters = sum(p.numel() for p in model.parameters())
            chosen = torch.from_numpy(train)
            fit(model, data, chosen, options)
            results.append((share_right(model, data, chosen), share_right(model, data, torch.from_numpy(test))))
        on_train, on_test = 100 * np.array(results).T
        print(f"{name:>25}  {parameters:>10,}  {on_train.mean():7.1f}  {on_test.mean():.1f} +- {on_test.std():.1f}")
    most = [np.bincount(data.y.numpy()[train]).argmax() for _, train, _ in folds]
    guess = [100 * (data.y.numpy()[test] == role).mean() for role, (_, _, test) in zip(most, folds, strict=True)]
    print(f"{'always the commonest role':>25}  {0:>10}  {'':7}  {np.mean(guess):.1f} +- {np.std(guess):.1f}")


def explain(worm: Connectome, data: Data, neuron: int, options: argparse.Namespace) -> None:
    """Print the synapses on which the prediction for one held-out neuron depends, and the effect of cutting them."""
    seed, train, _ = next(fold for fold in splits(data, options) if neuron in fold[2])
    torch.manual_seed(seed)
    model = RoleNet(data.num_features, options.hidden, contenders(worm)[POSITIVE], options.dropout)
    fit(model, data, torch.from_numpy(train), options)
    explainer = Explainer(
        model,
        # A small price for each edge, so that few stay; the graph has 3,225.
        algorithm=GNNExplainer(epochs=options.explainer_epochs, lr=0.05, edge_size=1e-3, edge_ent=0.0),
        explanation_type="model",
        edge_mask_type="object",
        model_config={"mode": "multiclass_classification", "task_level": "node", "return_type": "raw"},
    )
    importance = explainer(data.x, data.edge_index, index=neuron).edge_mask
    named = importance.argsort(descending=True)[:TOP].tolist()
    print(f"\nGNNExplainer: the prediction for {options.neuron} depends on")
    for edge in named:
        ends = f"{worm.names[worm.pre[edge]]} -> {worm.names[worm.post[edge]]}"
        print(f"{ends:>16}  {worm.kinds[edge]:8}  synapses {worm.counts[edge]:3d}  importance {importance[edge]:.2f}")

    predicted = int(probabilities(model, data, [])[neuron].argmax())
    incoming = np.flatnonzero(worm.post == neuron)
    draws = np.random.default_rng(options.seed)
    random = [draws.choice(incoming, min(TOP, len(incoming)), replace=False).tolist() for _ in range(20)]
    others = [float(probabilities(model, data, edges)[neuron, predicted]) for edges in random]
    print(f"probability of {CLASSES[predicted]} ({options.neuron} is {worm.roles[neuron]}):")
    print(f"  {probabilities(model, data, [])[neuron, predicted]:.3f} intact")
    print(f"  {probabilities(model, data, named)[neuron, predicted]:.3f} without these {len(named)} edges")
    print(
        f"  {np.mean(others):.3f} +- {np.std(others):.3f} without {len(random[0])} random ones of its "
        f"{len(incoming)} incoming edges (20 draws)"
    )


@torch.no_grad()
def probabilities(model: RoleNet, data: Data, cut: list[int]) -> Tensor:
    """[N, roles] the model's prediction with some edges cut in all its ConnectomeConv layers."""
    layers = [layer for layer in model.passing if isinstance(layer, ConnectomeConv)]
    for layer in layers:
        layer.lesion(edges=cut)
    result = model(data.x, data.edge_index).softmax(1)
    for layer in layers:
        layer.heal()
    return result


def main(argv: Sequence[str] | None = None) -> None:
    """Compare the layers, then explain one prediction."""
    options = arguments().parse_args(argv)
    if options.smoke:
        options.epochs, options.folds, options.repeats, options.explainer_epochs = 3, 2, 1, 10
    worm = load_connectome(options.connectome)
    print(worm)
    neuron = int(worm.index(options.neuron)[0])
    data = to_pyg(worm)
    data.x = connectivity_features(data)
    # Positions in CLASSES; polymodal and unknown neurons are in the graph and in no training or test set.
    positions = torch.tensor([CLASSES.index(role) if role in CLASSES else -1 for role in ROLES])
    data.y = positions[data.role]
    if data.y[neuron] < 0:
        got = f"{options.neuron} ({worm.roles[neuron]})"
        raise invalid("--neuron", f"of a role in {CLASSES}", got, "choose another")
    compare(worm, data, options)
    explain(worm, data, neuron, options)


if __name__ == "__main__":
    main()
