"""Residual networks between the first and last layers of a DenseNet teacher, with its widths."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from instar.checks import Count, Layers, checked
from instar.errors import ConfigError, MismatchError
from instar.models.architecture import Architecture, require_image
from instar.models.densenet import DenseNet
from instar.models.layers import basic_unit, bottleneck_unit, convolution, initialise_like_he, pooled, transition


@checked
class BANResNet(Architecture):
    """conv3* - group - transition - group - transition - group - transition - BN - ReLU - mean - logits*.

    Layers with a star are copied from a DenseNet teacher and frozen. Each group replaces a dense block with W output
    channels: u pre-activation units with r W channels (BN - ReLU - conv3 - BN - ReLU - conv3), then the transition
    BN - ReLU - conv1 to W channels, then 2 x 2 average pooling (except after the last group). Features are `stem`,
    `stage1`, `transition1`, ..., `pooled`; transitions and `pooled` have the shapes of the teacher's features. The
    other convolutions start as in `initialise_like_he`.

    Source: Furlanello, Lipton, Tschannen, Itti and Anandkumar 2018, "Born-again neural networks", table 5. Without
    the frozen layers there are 20.99M, 43.11M, 24.33M and 87.35M parameters for (u, r) = (1, 1), (2, 1), (4, 1/2) and
    (4, 1); the paper gives 20.9M, 43.1M, 24.3M and 87.3M. BN and ReLU before the mean are our reading, because the
    copied last layer expects their output. `bottleneck=True` with u = 14 is "Pre-ResNet-14-r", read as units with a
    quarter of their channels inside: 20.33M and 5.65M for r = 1, 1/2, where the paper gives 17.7M and 7.3M. We could
    not recover its width rule.

    Args:
        units: u, residual units of each group.
        ratio: r, width of the units relative to the teacher's blocks; r W is rounded.
        stem: channels of the teacher's first convolution.
        widths: W, output channels of the teacher's blocks (`DenseNet.widths`); the default is for DenseNet-90-60.
        bottleneck: whether units are bottlenecks.
        input_shape: (channels, height, width).
        num_classes: number of logits.

    Raises:
        ConfigError: when units or a width is below 1, or ratio is not above 0.
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
        self.bottleneck = bottleneck
        if not self.widths or not ratio > 0:
            raise ConfigError(f"BANResNet needs widths and a ratio above 0, got {self.widths} and {ratio}.")
        arguments = {"units": units, "ratio": ratio, "stem": stem, "widths": self.widths, "bottleneck": bottleneck}
        super().__init__(arguments, input_shape, num_classes)

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        """Make the layers; those of the teacher have new weights until `adopt` copies them."""
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
            teacher: a DenseNet, or a BANResNet with the layers of one.

        Raises:
            MismatchError: when the teacher has another family, other widths, classes or inputs.
        """
        if not isinstance(teacher, DenseNet | BANResNet):
            raise MismatchError(
                f"model 'ban-resnet' copies layers of a DenseNet teacher, but the teacher is a "
                f"{type(teacher).__name__}."
            )
        # all widths, not only those of the copied layers: each group replaces one dense block
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
                    f"{list(mine.weight.shape)} in the student and {list(theirs.weight.shape)} in the teacher."
                )
            mine.load_state_dict(theirs.state_dict())
            mine.requires_grad_(False)  # they stay bitwise equal to the teacher's, also under weight decay
