"""Pre-activation residual networks for small images: depths 110, 164 and 1001."""

from __future__ import annotations

from torch import nn

from instar.checks import Count, Depth, checked
from instar.models.architecture import Architecture, require_image, units_of_depth
from instar.models.layers import basic_unit, bottleneck_unit, convolution, initialise_like_he, pooled


@checked
class PreActivationResNet(Architecture):
    """conv3 to w channels, three groups of n units, BN - ReLU - mean over pixels - logits.

    Basic units (depth 6n + 2) are BN - ReLU - conv3 - BN - ReLU - conv3 with w, 2w, 4w channels. Bottleneck units
    (depth 9n + 2) are BN - ReLU - conv1 - BN - ReLU - conv3 - BN - ReLU - conv1 with 4w, 8w, 16w channels and a quarter
    of them inside. The shortcut is the identity or, if the width changes, a 1x1 convolution of the first activation.
    The first convolution of the second and third group halves height and width. Features are `stem`, `stage1`,
    `stage2`, `stage3` (before the last BN) and `pooled`. Convolutions start as in `initialise_like_he`.

    Source: He, Zhang, Ren and Sun 2016, "Identity mappings in deep residual networks", section 5 and the appendix. The
    paper gives 10.2M parameters for 1001 layers, without normalisation: our 10.33M for 10 classes are 10.18M without
    it. Stride and initialisation are those of the published code, which has only bottlenecks. Projections in basic
    units whose width changes are our reading.

    Args:
        depth: 8, 14, 20, ..., 110; with bottlenecks 11, 20, 29, ..., 164, ..., 1001.
        width: w, channels of the first convolution.
        bottleneck: whether units are bottlenecks.
        input_shape: (channels, height, width).
        num_classes: number of logits.

    Raises:
        ConfigError: when depth is not 6n + 2, or 9n + 2 with bottlenecks, or width is below 1.
        MismatchError: when the inputs are not images.

    >>> model = PreActivationResNet(164, bottleneck=True, input_shape=(3, 32, 32), num_classes=10)
    >>> sum(p.numel() for p in model.parameters())
    1703258
    """

    def __init__(
        self,
        depth: Depth = 20,
        width: Count = 16,
        bottleneck: bool = False,
        *,
        input_shape: tuple[int, ...] | None = None,
        num_classes: int | None = None,
    ) -> None:
        self.units = units_of_depth("PreActivationResNet", depth, 9 if bottleneck else 6, 2)
        self.width, self.bottleneck = width, bottleneck
        super().__init__({"depth": depth, "width": width, "bottleneck": bottleneck}, input_shape, num_classes)

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        """Make the layers."""
        require_image(input_shape, "PreActivationResNet")
        make_unit = bottleneck_unit if self.bottleneck else basic_unit
        channels = self.width
        self.stem = convolution(input_shape[0], channels, 3)
        for group in range(3):
            wider = self.width * 2**group * (4 if self.bottleneck else 1)
            # only the first unit of a group may change width and size, and then has a shortcut with weights
            units = [make_unit(channels, wider, 2 if group else 1)]
            units += [make_unit(wider, wider) for _ in range(self.units - 1)]
            self.add_module(f"stage{group + 1}", nn.Sequential(*units))  # part of the names of the weights
            channels = wider
        self.pooled = pooled(channels)
        self.classifier = nn.Linear(channels, num_classes)
        initialise_like_he(self)
