"""Residual networks for 32 x 32 images: ResNet-8, 20, 32, 44, 56, 110."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from instar.checks import Count, Depth, checked
from instar.models.architecture import Architecture, require_image, units_of_depth
from instar.models.layers import GlobalMean


class BasicBlock(nn.Module):
    """y = ReLU(shortcut(x) + BN(conv(ReLU(BN(conv(x)))))) with a shortcut without parameters (option A)."""

    def __init__(self, channels: int, wider: int, stride: int) -> None:
        super().__init__()
        self.stride, self.added = stride, wider - channels
        self.residual = nn.Sequential(
            nn.Conv2d(channels, wider, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(wider),
            nn.ReLU(),
            nn.Conv2d(wider, wider, 3, padding=1, bias=False),
            nn.BatchNorm2d(wider),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Return `[batch, wider, height / stride, width / stride]`."""
        shortcut = inputs
        if self.added:
            # option A: every second pixel, and zeros for the new channels; pads are listed from the last axis backwards
            shortcut = F.pad(inputs[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.added))
        return F.relu(shortcut + self.residual(inputs))


@checked
class ResNet(Architecture):
    """Depth 6n + 2: a convolution, three groups of n basic blocks with w, 2w and 4w channels, average pooling, logits.

    Source: He, Zhang, Ren and Sun 2016, "Deep residual learning for image recognition", section 4.2.

    Args:
        depth: 8, 14, 20, 32, 44, 56, 110, ...
        width: w, channels of the first group.
        input_shape: (channels, height, width).
        num_classes: number of logits.

    Raises:
        ConfigError: when depth is not 6n + 2, or width is below 1.
        MismatchError: when the inputs are not images.

    >>> model = ResNet(20, input_shape=(3, 32, 32), num_classes=10)
    >>> sum(p.numel() for p in model.parameters())
    269722
    """

    def __init__(
        self,
        depth: Depth = 20,
        width: Count = 16,
        *,
        input_shape: tuple[int, ...] | None = None,
        num_classes: int | None = None,
    ) -> None:
        self.units, self.width = units_of_depth("ResNet", depth, 6, 2), width
        super().__init__({"depth": depth, "width": width}, input_shape, num_classes)

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        """Make the layers."""
        require_image(input_shape, "ResNet")
        channels = self.width
        self.stem = nn.Sequential(
            nn.Conv2d(input_shape[0], channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU()
        )
        blocks = []
        for group in range(3):
            for block in range(self.units):
                wider = self.width * 2**group
                # the first block of the second and third group halves height and width
                blocks.append(BasicBlock(channels, wider, stride=2 if group and not block else 1))
                channels = wider
        self.blocks = nn.Sequential(*blocks)
        self.pool = GlobalMean()
        self.classifier = nn.Linear(channels, num_classes)

    def groups(self) -> list[tuple[str, nn.Module]]:
        """Return stem, stage1, stage2, stage3, pooled and logits; the blocks of a group share its name."""
        blocks = [(f"stage{1 + number // self.units}", block) for number, block in enumerate(self.blocks)]
        return [("stem", self.stem), *blocks, ("pooled", self.pool), ("logits", self.classifier)]
