"""DenseNet-BC for small images: 40-12 and 100-12, and 90-60, 80-80 and 80-120 of "Born-again neural networks"."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from instar.checks import Count, Depth, Layers, checked
from instar.errors import ConfigError
from instar.models.architecture import Architecture, require_image
from instar.models.layers import activation, convolution, initialise_like_he, pooled, transition


class DenseUnit(nn.Module):
    """y = [x, conv3(ReLU(BN(conv1(ReLU(BN(x))))))] with 4k inner channels and k new channels."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *activation(channels),
            convolution(channels, 4 * growth, 1),
            *activation(4 * growth),
            convolution(4 * growth, growth, 3),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Return `[batch, channels + growth, height, width]`."""
        # a copy of all inputs in each unit: memory grows with the square of the depth
        return torch.cat((inputs, self.layers(inputs)), 1)


@checked
class DenseNet(Architecture):
    """conv3 - block - transition - block - transition - block - (transition) - BN - ReLU - mean over pixels - logits.

    A block is a sequence of units that each append k channels. A transition is BN - ReLU - conv1 to `compression` times
    the channels, followed by 2 x 2 average pooling (except in the third). Features are `stem`, `block1`, `transition1`,
    `block2`, ..., `pooled`. Convolutions start as in `initialise_like_he`, which is the published recipe.

    Source: Huang, Liu, van der Maaten and Weinberger 2017, "Densely connected convolutional networks", section 3;
    Furlanello, Lipton, Tschannen, Itti and Anandkumar 2018, "Born-again neural networks", tables 1 and 4.

    DenseNet-L-k of Furlanello et al. is `DenseNet(L, k, third_transition=True)`. Their text does not mention the third
    transition, but the published sizes need it. With it and 10 classes, 90-60, 80-80 and 80-120 have 16.17M, 22.42M and
    50.36M parameters (published: 16.1, 22.4, 50.4). The BN and ReLU after it are our reading; at 0.003M parameters, the
    published sizes cannot confirm it. Variants of table 4 keep the hidden sizes of 90-60 with m times the units:
    `DenseNet(units=[14 * m] * 3, growth=60 / m, stem=120, third_transition=True)`. "DenseNet-7-1-2" is m = 1/2.

    Two sizes remain unexplained. DenseNet-112-33 (published: 6.3M) has 7.45M parameters; 106-33 without the third
    transition has 6.27M, and the text also writes 106-33. We read "compression times c" as `compression=c / 2`, which
    gives 12.4M, 14.1M and 21.9M for c = 0.5, 0.75, 1.5. The paper has 5.1M, 10.1M and 80.5M, which no reading that we
    tried gives.

    Args:
        depth: L, even and at least 10; each of the three blocks has floor((L - 4) / 6) units. None: 40, or see `units`.
        growth: k, channels that a unit appends.
        units: units of each block, in place of `depth`; allows another number of blocks.
        compression: share of the channels that a transition keeps, above 0 and at most 1; rounded down.
        stem: channels of the first convolution; None means 2k.
        third_transition: whether a transition follows the last block.
        input_shape: (channels, height, width).
        num_classes: number of logits.

    Raises:
        ConfigError: when depth is odd or below 10, or given with `units`; or another argument is outside its range.
        MismatchError: when the inputs are not images.

    >>> model = DenseNet(40, 12, input_shape=(3, 32, 32), num_classes=10)
    >>> sum(p.numel() for p in model.parameters())
    176122
    """

    def __init__(
        self,
        depth: Depth | None = None,
        growth: Count = 12,
        units: Sequence[Layers] | None = None,
        compression: float = 0.5,
        stem: Count | None = None,
        third_transition: bool = False,
        *,
        input_shape: tuple[int, ...] | None = None,
        num_classes: int | None = None,
    ) -> None:
        if depth is not None and units is not None:
            raise ConfigError(f"DenseNet takes depth or units, not both; got {depth} and {list(units)}.")
        if not 0 < compression <= 1:
            raise ConfigError(f"DenseNet(compression) must be above 0 and at most 1, got {compression}.")
        self.units = list(units) if units is not None else [_units_per_block(40 if depth is None else depth)] * 3
        if not self.units:
            raise ConfigError("DenseNet(units) must contain the units of at least one block, got none.")
        self.stem_channels = 2 * growth if stem is None else stem
        self.growth, self.compression, self.third_transition = growth, compression, third_transition
        # as they were given, because depth and units together are refused when the network is built again
        arguments = {
            "depth": depth,
            "growth": growth,
            "units": None if units is None else self.units,
            "compression": compression,
            "stem": stem,
            "third_transition": third_transition,
        }
        super().__init__(arguments, input_shape, num_classes)

    @property
    def widths(self) -> list[int]:
        """Output channels of each block, after its transition if it has one."""
        found, channels = [], self.stem_channels
        for number, units in enumerate(self.units, start=1):
            channels += units * self.growth
            if number < len(self.units) or self.third_transition:
                channels = max(1, int(channels * self.compression))  # floor(theta m), section 3
            found.append(channels)
        return found

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        """Make the layers."""
        require_image(input_shape, "DenseNet")
        channels, last = self.stem_channels, len(self.units)
        self.stem = convolution(input_shape[0], channels, 3)
        for number, (units, width) in enumerate(zip(self.units, self.widths, strict=True), start=1):
            # unit u reads the input of its block and what the u units before it have appended
            block = [DenseUnit(channels + unit * self.growth, self.growth) for unit in range(units)]
            self.add_module(f"block{number}", nn.Sequential(*block))
            channels += units * self.growth
            if number < last or self.third_transition:
                self.add_module(f"transition{number}", transition(channels, width, halve=number < last))
                channels = width
        self.pooled = pooled(channels)
        self.classifier = nn.Linear(channels, num_classes)
        initialise_like_he(self)


def _units_per_block(depth: int) -> int:
    # a unit has two layers, and four layers are outside the units, so the depth is even
    if depth < 10 or depth % 2:
        near = "10" if depth < 10 else f"{depth - 1} and {depth + 1}"
        raise ConfigError(f"DenseNet(depth) must be even and at least 10, got {depth}; nearest: {near}.")
    return (depth - 4) // 6
