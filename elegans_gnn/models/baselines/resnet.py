"""A small residual network, scaled by its width."""

from __future__ import annotations

import math
from typing import ClassVar

from torch import Tensor, nn
from torch.nn import functional as F

from elegans_gnn._shapes import Float
from elegans_gnn.models._base import ONE_OR_MORE, Classifier, keeps_arguments
from elegans_gnn.models._blocks import SMALL_IMAGE, check_images, use_channels_last

_MOST_GROUPS = 8


def group_norm(channels: int) -> nn.GroupNorm:
    """Normalisation over up to 8 groups of channels."""
    return nn.GroupNorm(math.gcd(channels, _MOST_GROUPS), channels)


class BasicBlock(nn.Module):
    """relu(shortcut(h) + norm(conv(relu(norm(conv(h)))))), where the shortcut is a 1 x 1 convolution if shapes change.

    Shapes:
        h: [B, before, H, W]; output: [B, after, H / stride, W / stride].
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.norm1, self.norm2 = group_norm(after), group_norm(after)
        same = before == after and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(before, after, 1, stride=stride)

    def forward(self, h: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch after height2 width2"]:
        """Refine the maps."""
        inner = F.relu(self.norm1(self.conv1(h)))
        return F.relu(self.shortcut(h) + self.norm2(self.conv2(inner)))


class SmallResNet(Classifier, name="resnet", place=2):
    """Three stages of residual blocks with w, 2 w and 4 w channels, the mean over places, a linear head.

    The first stage keeps the size of the image, the second and the third halve it.

    Args:
        num_classes, in_channels, image_size: see :class:`Classifier`.
        width: w, channels of the first stage; by default 22, and 20 on images up to 24 x 24.
        depth: residual blocks per stage.

    Source: He et al., "Deep residual learning for image recognition" (2016), arXiv:1512.03385, the form for CIFAR-10,
    with group normalisation.
    """

    PARTS: ClassVar = {"stem": ("stem",), "blocks": ("blocks",), "head": ("head",)}
    MATRICES = ("stem", "blocks", "head")
    ranges: ClassVar = {**Classifier.ranges, "width": ONE_OR_MORE, "depth": ONE_OR_MORE}

    @keeps_arguments
    def __init__(
        self,
        num_classes: int = 10,
        *,
        in_channels: int = 3,
        image_size: int = 32,
        width: int | None = None,
        depth: int = 1,
    ) -> None:
        super().__init__()
        width = (20 if image_size <= SMALL_IMAGE else 22) if width is None else width
        self.chosen = {"width": width}
        self.num_classes, self.in_channels, self.image_size = num_classes, in_channels, image_size
        self.stem = nn.Sequential(nn.Conv2d(in_channels, width, 3, padding=1, bias=False), group_norm(width), nn.ReLU())
        blocks, before = [], width
        for stage in range(3):
            for number in range(depth):
                after = width * 2**stage
                blocks.append(BasicBlock(before, after, 2 if stage and number == 0 else 1))
                before = after
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(before, num_classes)
        use_channels_last(self)

    def forward(self, images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch cls"]:
        check_images(images, self.in_channels, self.image_size)
        return self.head(self.blocks(self.stem(images)).mean((2, 3)))
