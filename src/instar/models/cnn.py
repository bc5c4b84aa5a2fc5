"""A small convolutional network for small images."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from instar.checks import Count, DropProbability, checked
from instar.models.architecture import Architecture, require_image
from instar.models.dropout import Dropout


@checked
class CNN(Architecture):
    """Blocks of 3x3 convolution, batch normalisation, ReLU and 2x2 max-pooling; a hidden layer; logits.

    Args:
        channels: channels of each block.
        hidden: units of the hidden layer.
        dropout: probability that a unit of the hidden layer is dropped.
        input_shape: (channels, height, width).
        num_classes: number of logits.

    Raises:
        MismatchError: when the inputs are not images.

    >>> model = CNN([32, 64], hidden=128, input_shape=(3, 32, 32), num_classes=10)
    >>> sum(p.numel() for p in model.parameters())
    545194
    """

    def __init__(
        self,
        channels: Sequence[Count] = (32, 64),
        hidden: Count = 128,
        dropout: DropProbability = 0.0,
        *,
        input_shape: tuple[int, ...] | None = None,
        num_classes: int | None = None,
    ) -> None:
        self.channels, self.hidden, self.dropout = list(channels), hidden, dropout
        arguments = {"channels": self.channels, "hidden": hidden, "dropout": dropout}
        super().__init__(arguments, input_shape, num_classes)

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        """Make the layers."""
        require_image(input_shape, "CNN")
        channels, height, width = input_shape
        layers: list[nn.Module] = []
        for wider in self.channels:
            # no bias, because batch normalisation subtracts it
            layers += [
                nn.Conv2d(channels, wider, 3, padding=1, bias=False),
                nn.BatchNorm2d(wider),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
            channels, height, width = wider, height // 2, width // 2
        layers += [nn.Flatten(), nn.Linear(channels * height * width, self.hidden), nn.ReLU(), Dropout(self.dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(self.hidden, num_classes))

    def groups(self) -> list[tuple[str, nn.Module]]:
        """Return the layers as block1, block2, ..., hidden (up to its ReLU), logits."""
        blocks = [f"block{number}" for number in range(1, len(self.channels) + 1) for _ in range(4)]
        # dropout belongs to the logits, so that the feature `hidden` is the activation before it
        return list(zip([*blocks, *["hidden"] * 3, *["logits"] * 2], self.layers, strict=True))
