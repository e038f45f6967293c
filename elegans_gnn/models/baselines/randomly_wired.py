"""Randomly wired neural networks: stages of convolutions connected by a random graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import networkx as nx
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from elegans_gnn._shapes import Float
from elegans_gnn.errors import Range, unknown_name
from elegans_gnn.models._base import ANY_NUMBER, ONE_OR_MORE, Classifier, keeps_arguments
from elegans_gnn.models._blocks import SMALL_IMAGE, check_images, use_channels_last
from elegans_gnn.models.baselines.resnet import group_norm

# The settings the authors report as their best: ER(0.2), BA(5), WS(4, 0.75).
WIRINGS: dict[str, Callable[[int, int], nx.Graph]] = {
    "er": lambda nodes, seed: nx.gnp_random_graph(nodes, 0.2, seed=seed),
    "ba": lambda nodes, seed: nx.barabasi_albert_graph(nodes, 5, seed=seed),
    "ws": lambda nodes, seed: nx.watts_strogatz_graph(nodes, 4, 0.75, seed=seed),
}
_LEAST_NODES = 6
_STAGES = 3
# Images at least this large are halved by the first convolution.
_LARGE = 16


def sources_of_nodes(wiring: str, nodes: int, seed: int) -> list[list[int]]:
    """For each node its source nodes: a random undirected graph, every edge from the lower to the higher number."""
    graph = WIRINGS[wiring](nodes, seed)
    return [sorted(other for other in graph.neighbors(node) if other < node) for node in range(nodes)]


class WiredNode(nn.Module):
    """norm(separable3x3(relu(sum of sigmoid(w_i) h_i))) over the node's sources.

    Args:
        sources: number of source nodes.
        before, after: channels of the input and of the output.
        stride: 2 halves the maps.
    """

    def __init__(self, sources: int, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(sources)) if sources > 1 else None
        self.depthwise = nn.Conv2d(before, before, 3, stride=stride, padding=1, groups=before, bias=False)
        self.pointwise = nn.Conv2d(before, after, 1, bias=False)
        self.norm = group_norm(after)

    def forward(
        self, arriving: list[Float[Tensor, "batch channel height width"]]
    ) -> Float[Tensor, "batch after height2 width2"]:
        """Combine the sources' maps and transform them."""
        h = arriving[0]
        if self.weight is not None:
            share = torch.sigmoid(self.weight)
            h = sum((share[number] * maps for number, maps in enumerate(arriving)), start=torch.zeros_like(h))
        return self.norm(self.pointwise(self.depthwise(F.relu(h))))


class WiredStage(nn.Module):
    """One random graph of :class:`WiredNode` between an input node, which copies, and an output node, which averages.

    Args:
        sources: for each node its source nodes; nodes without a source take the stage's input.
        before, after: channels of the stage's input and of its nodes.
        stride: of the nodes that take the stage's input.
    """

    def __init__(self, sources: list[list[int]], before: int, after: int, stride: int) -> None:
        super().__init__()
        self.sources = sources
        used = {source for of_node in sources for source in of_node}
        self.last = [node for node in range(len(sources)) if node not in used]
        self.nodes = nn.ModuleList(
            WiredNode(len(of_node), after, after, 1) if of_node else WiredNode(1, before, after, stride)
            for of_node in sources
        )

    def forward(self, h: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch after height2 width2"]:
        """Run the nodes in order."""
        outputs: list[Tensor] = []
        for node, of_node in zip(self.nodes, self.sources, strict=True):
            outputs.append(node([outputs[source] for source in of_node] or [h]))
        return torch.stack([outputs[node] for node in self.last]).mean(0)


class RandomlyWiredNetwork(Classifier, name="randomly-wired", place=3):
    """Three stages, each a random graph of separable convolutions, with w, 2 w and 4 w channels.

    Args:
        num_classes, in_channels, image_size: see :class:`Classifier`.
        wiring: ``"er"``, ``"ba"`` or ``"ws"``: Erdos-Renyi (p = 0.2), Barabasi-Albert (m = 5) or Watts-Strogatz
            (k = 4, p = 0.75) graphs.
        wiring_seed: seed of the three graphs; different seeds share no graph.
        width: w, channels of the first stage; by default 24, and 20 on images up to 24 x 24. Erdos-Renyi graphs, which
            have more nodes without a source and so fewer weights, get 25 and 22.
        depth: nodes per stage, >= 6.

    Source: Xie et al., "Exploring randomly wired neural networks for image recognition" (2019), arXiv:1904.01569, with
    group normalisation in place of batch normalisation and sizes for small images.
    """

    PARTS: ClassVar = {"stem": ("stem",), "stages": ("stages",), "head": ("head", "classify")}
    MATRICES = ("stem", "stages", "head", "classify")
    ranges: ClassVar = {
        **Classifier.ranges,
        "wiring_seed": ANY_NUMBER,
        "width": ONE_OR_MORE,
        "depth": Range(least=_LEAST_NODES, whole=True),
    }

    @keeps_arguments
    def __init__(
        self,
        num_classes: int = 10,
        *,
        in_channels: int = 3,
        image_size: int = 32,
        wiring: str = "ws",
        wiring_seed: int = 0,
        width: int | None = None,
        depth: int = 10,
    ) -> None:
        super().__init__()
        if wiring not in WIRINGS:
            raise unknown_name("wiring", wiring, WIRINGS)
        if width is None:
            small, large = (22, 25) if wiring == "er" else (20, 24)
            width = small if image_size <= SMALL_IMAGE else large
        self.chosen = {"width": width}
        self.num_classes, self.in_channels, self.image_size = num_classes, in_channels, image_size
        stride = 2 if image_size >= _LARGE else 1
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, width, 3, stride=stride, padding=1, bias=False), group_norm(width)
        )
        self.stages = nn.Sequential(
            *[
                WiredStage(
                    sources_of_nodes(wiring, depth, _STAGES * wiring_seed + stage),
                    width * 2 ** max(0, stage - 1),
                    width * 2**stage,
                    2 if stage else 1,
                )
                for stage in range(_STAGES)
            ]
        )
        last = width * 2 ** (_STAGES - 1)
        self.head = nn.Sequential(nn.ReLU(), nn.Conv2d(last, 2 * last, 1, bias=False), group_norm(2 * last), nn.ReLU())
        self.classify = nn.Linear(2 * last, num_classes)
        use_channels_last(self)

    def forward(self, images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch cls"]:
        check_images(images, self.in_channels, self.image_size)
        return self.classify(self.head(self.stages(self.stem(images))).mean((2, 3)))
