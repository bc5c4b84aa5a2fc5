"""Wide residual networks for small images: WRN-16-1, WRN-16-2, WRN-28-10, WRN-40-2."""

from __future__ import annotations

from torch import nn

from instar.checks import Count, Depth, DropProbability, checked
from instar.models.architecture import Architecture, require_image, units_of_depth
from instar.models.layers import basic_unit, convolution, initialise_like_he, pooled


@checked
class WideResNet(Architecture):
    """Depth 6n + 4: conv3 to 16 channels, three groups of n units with 16w, 32w, 64w, BN - ReLU - mean - logits.

    A unit is BN - ReLU - conv3 - BN - ReLU - dropout - conv3, added to the identity or, if the width changes, to a 1x1
    convolution of its first activation. The second and third group halve height and width. Features are `stem`,
    `stage1`, `stage2`, `stage3` (before the last BN) and `pooled`. Convolutions start as in `initialise_like_he`, which
    is the published recipe.

    Source: Zagoruyko and Komodakis 2016, "Wide residual networks", table 1 and section 2.4. Furlanello et al. 2018 give
    0.38M, 1.48M, 9.16M and 36M parameters for WRN-28-1, 2, 5 and 10, which are the sizes with 100 classes.

    Args:
        depth: 10, 16, 22, 28, 34, 40, ...
        width: w, a whole number.
        dropout: probability that a value between the two convolutions of a unit is dropped; the paper uses 0 or 0.3.
        input_shape: (channels, height, width).
        num_classes: number of logits.

    Raises:
        ConfigError: when depth is not 6n + 4, width is below 1, or dropout is outside [0, 1).
        MismatchError: when the inputs are not images.

    >>> model = WideResNet(16, 2, input_shape=(3, 32, 32), num_classes=10)
    >>> sum(p.numel() for p in model.parameters())
    691674
    """

    def __init__(
        self,
        depth: Depth = 28,
        width: Count = 1,
        dropout: DropProbability = 0.0,
        *,
        input_shape: tuple[int, ...] | None = None,
        num_classes: int | None = None,
    ) -> None:
        self.units, self.width, self.dropout = units_of_depth("WideResNet", depth, 6, 4), width, dropout
        super().__init__({"depth": depth, "width": width, "dropout": dropout}, input_shape, num_classes)

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        """Make the layers."""
        require_image(input_shape, "WideResNet")
        channels = 16  # the first convolution is not widened (table 1)
        self.stem = convolution(input_shape[0], channels, 3)
        for group in range(3):
            wider = 16 * self.width * 2**group
            # only the first unit of a group may change width and size, and then has a shortcut with weights
            units = [basic_unit(channels, wider, 2 if group else 1, self.dropout)]
            units += [basic_unit(wider, wider, 1, self.dropout) for _ in range(self.units - 1)]
            self.add_module(f"stage{group + 1}", nn.Sequential(*units))  # part of the names of the weights
            channels = wider
        self.pooled = pooled(channels)
        self.classifier = nn.Linear(channels, num_classes)
        initialise_like_he(self)
