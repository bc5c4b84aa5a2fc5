"""Residual networks that continue a DenseNet: its first and last layers, and stages between them of its widths."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from instar.checks import Count, Layers, checked
from instar.errors import ConfigError, MismatchError
from instar.models.architecture import Architecture, require_counts, require_image
from instar.models.densenet import DenseNet
from instar.models.layers import basic_unit, bottleneck_unit, convolution, initialise_like_he, pooled, transition


@checked
class BANResNet(Architecture):
    """conv3* - stage - transition - stage - transition - stage - transition - BN - ReLU - mean - logits*.

    The layers with a star are copied from a DenseNet teacher and frozen. Each stage stands for a dense block that hands
    on W channels: u units of pre-activation with r W channels (BN - ReLU - conv3 - BN - ReLU - conv3), then the
    transition BN - ReLU - conv1 to W, and a mean of 2 x 2 pixels but for the last one. Features are `stem`, `stage1`,
    `transition1`, ..., `pooled`; transitions and `pooled` have the shapes of the teacher's. The other convolutions
    start as in `initialise_like_he`.

    Source: Furlanello, Lipton, Tschannen, Itti and Anandkumar 2018, "Born-again neural networks", table 5. Without
    the frozen layers there are 20.99M, 43.11M, 24.33M and 87.35M parameters for (u, r) = (1, 1), (2, 1), (4, 1/2) and
    (4, 1), where 20.9M, 43.1M, 24.3M and 87.3M are published; BN and ReLU before the mean are our reading, so
    that the copied layer finds what it is used to. `bottleneck=True` with u = 14 is "Pre-ResNet-14-r", read as units
    with a quarter of their channels inside: 20.33M and 5.65M for r = 1, 1/2, where 17.7M and 7.3M are published. That
    width rule could not be recovered.

    Args:
        units: u, residual units of each stage.
        ratio: r, width of the units over the teacher's; r W is rounded.
        stem: channels of the teacher's first convolution.
        widths: W, what the teacher's blocks hand on: `DenseNet.widths`. As given here, those of DenseNet-90-60.
        bottleneck: whether units are bottlenecks.
        input_shape: (channels, height, width).
        num_classes: width of the output.

    Raises:
        ConfigError: when units or a width are not at least 1, or ratio is not above 0.
        MismatchError: when the inputs are not images.

    >>> model = BANResNet(1, 0.5, stem=4, widths=[4, 6, 8], input_shape=(3, 32, 32), num_classes=10)
    >>> sum(p.numel() for p in model.parameters())
    1037
    """

    def __init__(
        self,
        units: Layers = 1,
        ratio: float = 1.0,
        stem: Count = 120,
        widths: Sequence[Count] = (480, 660, 750),
        bottleneck: bool = False,
        *,
        input_shape: tuple[int, ...] | None = None,
        num_classes: int | None = None,
    ) -> None:
        self.units, self.ratio, self.stem_channels, self.widths = units, ratio, stem, list(widths)
        require_counts("BANResNet", units=units, stem=stem)
        for width in self.widths:
            require_counts("BANResNet", widths=width)
        if not self.widths or not ratio > 0:
            raise ConfigError(f"BANResNet needs widths, and a ratio above 0; got {self.widths} and {ratio}.")
        self.bottleneck = bottleneck
        arguments = {
            "units": units,
            "ratio": ratio,
            "stem": stem,
            "widths": self.widths,
            "bottleneck": bottleneck,
        }
        super().__init__(arguments, input_shape, num_classes)

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        """Make the layers, those of the teacher with weights of their own until `adopt`."""
        require_image(input_shape, "BANResNet")
        make_unit = bottleneck_unit if self.bottleneck else basic_unit
        channels = self.stem_channels
        self.stem = convolution(input_shape[0], channels, 3)
        for number, width in enumerate(self.widths, start=1):
            inside = max(1, round(self.ratio * width))
            units = [make_unit(channels, inside), *(make_unit(inside, inside) for _ in range(self.units - 1))]
            self.add_module(f"stage{number}", nn.Sequential(*units))
            self.add_module(f"transition{number}", transition(inside, width, halve=number < len(self.widths)))
            channels = width
        self.pooled = pooled(channels)
        self.classifier = nn.Linear(channels, num_classes)
        initialise_like_he(self)

    @torch.no_grad()
    def adopt(self, teacher: nn.Module) -> None:
        """Copy the first convolution and the last layer of `teacher`, and freeze them.

        Args:
            teacher: a DenseNet, or a BANResNet that has the layers of one.

        Raises:
            MismatchError: when it is of another family, other widths, other classes or other inputs.
        """
        if not isinstance(teacher, DenseNet | BANResNet):
            raise MismatchError(
                f"model 'ban-resnet' takes layers of a DenseNet teacher, and the teacher is a {type(teacher).__name__}."
            )
        own, other = ([net.stem_channels, *net.widths] for net in (self, teacher))
        if own != other:
            raise MismatchError(
                f"model 'ban-resnet' must have the widths of its teacher, stem={other[0]} and widths={other[1:]}; "
                f"got {own[0]} and {own[1:]}."
            )
        for mine, theirs in ((self.stem, teacher.stem), (self.classifier, teacher.classifier)):
            if mine.weight.shape != theirs.weight.shape:
                raise MismatchError(
                    f"model 'ban-resnet' must have the inputs and classes of its teacher; a copied layer has shape "
                    f"{list(mine.weight.shape)}, and the teacher's {list(theirs.weight.shape)}."
                )
            mine.load_state_dict(theirs.state_dict())
            mine.requires_grad_(False)
