"""Multilayer perceptrons, as in the MNIST section of Hinton, Vinyals and Dean (2015)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import nn

from instar.models.architecture import Architecture
from instar.models.dropout import Dropout


class MLP(Architecture):
    """h_0 = x, h_i = ReLU(W_i h_{i-1} + b_i), logits = W h_n + b, with dropout on x and on every h_i.

    Args:
        widths: units of the hidden layers.
        dropout: probability that a hidden unit is dropped.
        input_dropout: probability that an input is dropped.
        input_shape: shape of one input, flattened here.
        num_classes: width of the output.

    >>> model = MLP([1200, 1200], input_shape=(1, 28, 28), num_classes=10)
    >>> sum(p.numel() for p in model.parameters())
    2395210
    """

    def __init__(
        self,
        widths: Sequence[int],
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        *,
        input_shape: tuple[int, ...] | None = None,
        num_classes: int | None = None,
    ) -> None:
        self.widths, self.dropout, self.input_dropout = list(widths), dropout, input_dropout
        arguments = {"widths": self.widths, "dropout": dropout, "input_dropout": input_dropout}
        super().__init__(arguments, input_shape, num_classes)

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        """Make the layers."""
        layers: list[nn.Module] = [nn.Flatten()]
        if self.input_dropout:
            layers.append(Dropout(self.input_dropout))
        units = prod(input_shape)
        for width in self.widths:
            layers += [nn.Linear(units, width), nn.ReLU()]
            if self.dropout:
                layers.append(Dropout(self.dropout))
            units = width
        self.layers = nn.Sequential(*layers, nn.Linear(units, num_classes))

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Return the layers up to each ReLU as hidden1, hidden2, ...; dropout belongs to the layer that it feeds."""
        found: list[tuple[str, nn.Module]] = []
        number = 1
        for module in self.layers:
            found.append((f"hidden{number}" if number <= len(self.widths) else "logits", module))
            number += isinstance(module, nn.ReLU)
        return found
