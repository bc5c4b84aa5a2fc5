"""Plain convolutional networks for small images, without shortcuts: VGG8, 11, 13, 16, 19."""

from __future__ import annotations

from torch import nn

from instar.checks import Count, Depth, checked
from instar.errors import ConfigError, MismatchError
from instar.models.architecture import Architecture, require_image
from instar.models.layers import GlobalMean, activation, convolution, initialise_like_he

CONVOLUTIONS = {
    8: (1, 1, 1, 1, 1),
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
"""Convolutions of each group, by the depth."""

LEAST_SIZE = 8
"""Height and width of the smallest images: three groups halve them."""


@checked
class VGG(Architecture):
    """Five groups of conv3 - BN - ReLU with w, 2w, 4w, 8w, 8w channels, mean over pixels, logits.

    Maximum pooling of 2 x 2 comes before the second, third and fourth group. Features are `stem` (the first group),
    `stage1` to `stage4` and `pooled`. Convolutions start as in `initialise_like_he`.

    Source: Simonyan and Zisserman 2015, "Very deep convolutional networks for large-scale image recognition", table 1,
    in the form for images of 32 x 32 by Tian et al. 2020: batch normalisation, one linear layer in place of three, all
    of which the depth still counts, and a last group that keeps its size. Their convolutions have biases before the
    normalisation; ours have none.

    Args:
        depth: 8, 11, 13, 16 or 19.
        width: w, channels of the first group.
        input_shape: (channels, height, width), at least 8 x 8.
        num_classes: number of logits.

    Raises:
        ConfigError: when there is no such depth.
        MismatchError: when the inputs are not images of at least 8 x 8.

    >>> model = VGG(8, input_shape=(3, 32, 32), num_classes=100)
    >>> sum(p.numel() for p in model.parameters())
    3963556
    """

    def __init__(
        self,
        depth: Depth = 13,
        width: Count = 64,
        *,
        input_shape: tuple[int, ...] | None = None,
        num_classes: int | None = None,
    ) -> None:
        if depth not in CONVOLUTIONS:
            known = ", ".join(map(str, CONVOLUTIONS))
            raise ConfigError(f"VGG(depth) must be one of {known}, got {depth}.")
        self.depth, self.width = depth, width
        super().__init__({"depth": depth, "width": width}, input_shape, num_classes)

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        """Make the layers."""
        require_image(input_shape, "VGG")
        channels, *size = input_shape
        if min(size) < LEAST_SIZE:
            raise MismatchError(
                f"model 'VGG' halves images three times, so they must be at least {LEAST_SIZE} x {LEAST_SIZE}, got "
                f"{size[0]} x {size[1]}."
            )
        for group, number in enumerate(CONVOLUTIONS[self.depth]):
            wider = self.width * min(2**group, 8)
            layers: list[nn.Module] = [nn.MaxPool2d(2)] if 1 <= group <= 3 else []
            for _ in range(number):
                layers += [convolution(channels, wider, 3), *activation(wider)]
                channels = wider
            self.add_module(f"stage{group}" if group else "stem", nn.Sequential(*layers))  # in the names of the weights
        self.pooled = GlobalMean()
        self.classifier = nn.Linear(channels, num_classes)
        initialise_like_he(self)
