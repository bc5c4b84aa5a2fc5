"""Multilayer perceptrons, as in the MNIST section of Hinton, Vinyals and Dean (2015)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from instar.checks import Count, DropProbability, checked
from instar.compute.inputs import Shapes
from instar.models.architecture import Architecture
from instar.models.dropout import Dropout
from instar.models.word_network import embed_words

WORD_WIDTH = 8
"""Usual numbers per word of a table that a network embeds."""


@checked
class MLP(Architecture):
    """h_0 = x, h_i = ReLU(W_i h_{i-1} + b_i), logits = W h_n + b, with dropout on x and on every h_i.

    Args:
        widths: units of each hidden layer.
        dropout: probability that a hidden unit is dropped.
        input_dropout: probability that an input is dropped.
        word_width: numbers per word of a table, if its reader is `Cells(words="embedded")`; x is then the numbers of a
            row and the embeddings of its words.
        input_shape: shape of one input, which is flattened; or those of `numbers` and `words`.
        num_classes: number of logits.
        num_words: how many words are embedded, from 0, which is embedded as zeros.

    >>> model = MLP([1200, 1200], input_shape=(1, 28, 28), num_classes=10)
    >>> sum(p.numel() for p in model.parameters())
    2395210
    """

    input_names = ("numbers", "words")

    def __init__(
        self,
        widths: Sequence[Count] = (64, 64),
        dropout: DropProbability = 0.0,
        input_dropout: DropProbability = 0.0,
        word_width: Count = WORD_WIDTH,
        *,
        input_shape: Shapes | None = None,
        num_classes: int | None = None,
        num_words: int | None = None,
    ) -> None:
        self.widths, self.dropout, self.input_dropout = list(widths), dropout, input_dropout
        self.word_width, self.num_words = word_width, num_words
        arguments: dict[str, Any] = {"widths": self.widths, "dropout": dropout, "input_dropout": input_dropout}
        # left out where it says nothing, as in the files of older versions
        arguments |= {"word_width": word_width} if word_width != WORD_WIDTH else {}
        super().__init__(arguments, input_shape, num_classes)

    def build(self, input_shape: Shapes, num_classes: int) -> None:
        """Make the layers."""
        if isinstance(input_shape, Mapping):
            assert self.num_words is not None, "the reader of words says how many there are"
            self.embedding = embed_words(self.num_words, self.word_width, zero=0)
            units = input_shape["numbers"][0] + input_shape["words"][0] * self.word_width
        else:
            units = prod(input_shape)
        dense = dense_layers(units, self.widths, num_classes, self.dropout, self.input_dropout)
        self.layers = nn.Sequential(nn.Flatten(), *dense)

    def forward(
        self, inputs: Tensor | None = None, *, numbers: Tensor | None = None, words: Tensor | None = None
    ) -> Tensor:
        """Return logits `[batch, classes]`.

        Args:
            inputs: inputs `[batch, ...]` of a network without an embedding; otherwise None.
            numbers: features of the numbers of a row, `[batch, features]`.
            words: numbers of its words, int64 `[batch, columns]`.
        """
        if inputs is None:
            assert numbers is not None, "a reader gives both"
            assert words is not None, "a reader gives both"
            inputs = self._join(numbers, words)
        self._require_layers()
        for module in self.layers:  # without looking for the groups, which takes as long as a small layer
            inputs = module(inputs)
        return inputs

    def features(self, inputs: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the logits `[batch, classes]`, and the output `[batch, units]` of each hidden layer by name."""
        return super().features(inputs if isinstance(inputs, Tensor) else self._join(**inputs))

    def _join(self, numbers: Tensor, words: Tensor) -> Tensor:
        return torch.cat([numbers, self.embedding(words).flatten(1)], 1)

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
