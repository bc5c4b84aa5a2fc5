"""Linear classifiers, which are multinomial logistic regressions."""

from __future__ import annotations

from math import prod

from torch import nn

from instar.checks import DropProbability, checked
from instar.models.architecture import Architecture
from instar.models.mlp import dense_layers


@checked
class Linear(Architecture):
    """logits = W x + b, with dropout on x.

    Args:
        input_dropout: probability that an input is dropped.
        input_shape: shape of one input, which is flattened.
        num_classes: number of logits.

    >>> model = Linear(input_shape=(4,), num_classes=3)
    >>> sum(p.numel() for p in model.parameters())
    15
    """

    def __init__(
        self,
        input_dropout: DropProbability = 0.0,
        *,
        input_shape: tuple[int, ...] | None = None,
        num_classes: int | None = None,
    ) -> None:
        self.input_dropout = input_dropout
        super().__init__({"input_dropout": input_dropout}, input_shape, num_classes)

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        """Make the layer."""
        self.layers = nn.Sequential(
            nn.Flatten(), *dense_layers(prod(input_shape), [], num_classes, 0, self.input_dropout)
        )
