"""Multilayer perceptrons, as in the MNIST section of Hinton, Vinyals and Dean (2015)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from torch import nn

from instar.checks import Count, DropProbability, checked
from instar.models.architecture import Architecture
from instar.models.dropout import Dropout


@checked
class MLP(Architecture):
    """h_0 = x, h_i = ReLU(W_i h_{i-1} + b_i), logits = W h_n + b, with dropout on x and on every h_i.

    Args:
        widths: units of each hidden layer.
        dropout: probability that a hidden unit is dropped.
        input_dropout: probability that an input is dropped.
        input_shape: shape of one input, which is flattened.
        num_classes: number of logits.

    >>> model = MLP([1200, 1200], input_shape=(1, 28, 28), num_classes=10)
    >>> sum(p.numel() for p in model.parameters())
    2395210
    """

    def __init__(
        self,
        widths: Sequence[Count] = (64, 64),
        dropout: DropProbability = 0.0,
        input_dropout: DropProbability = 0.0,
        *,
        input_shape: tuple[int, ...] | None = None,
        num_classes: int | None = None,
    ) -> None:
        self.widths, self.dropout, self.input_dropout = list(widths), dropout, input_dropout
        arguments = {"widths": self.widths, "dropout": dropout, "input_dropout": input_dropout}
        super().__init__(arguments, input_shape, num_classes)

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        """Make the layers."""
        dense = dense_layers(prod(input_shape), self.widths, num_classes, self.dropout, self.input_dropout)
        self.layers = nn.Sequential(nn.Flatten(), *dense)

    def groups(self) -> list[tuple[str, nn.Module]]:
        """Return the layers up to each ReLU as hidden1, hidden2, ...; dropout belongs to the layer after it."""
        return name_hidden_layers(self.layers)


def dense_layers(
    units: int, widths: Sequence[int], num_classes: int, dropout: float, input_dropout: float
) -> list[nn.Module]:
    """Return linear layers with dropout before each, and a ReLU after each except the last, which returns logits."""
    # the place of a layer is part of the names of its weights, so run folders depend on which layers are left out here
    layers: list[nn.Module] = [Dropout(input_dropout)] if input_dropout else []
    for width in widths:
        layers += [nn.Linear(units, width), nn.ReLU()]
        if dropout:
            layers.append(Dropout(dropout))
        units = width
    return [*layers, nn.Linear(units, num_classes)]


def name_hidden_layers(layers: nn.Sequential) -> list[tuple[str, nn.Module]]:
    """Return each module with the name of the hidden layer that it belongs to: hidden1, hidden2, ..., then logits."""
    found: list[tuple[str, nn.Module]] = []
    number, last = 1, sum(isinstance(module, nn.ReLU) for module in layers)
    # a name ends at a ReLU, so that the feature is the activation before dropout
    for module in layers:
        found.append((f"hidden{number}" if number <= last else "logits", module))
        number += isinstance(module, nn.ReLU)
    return found
