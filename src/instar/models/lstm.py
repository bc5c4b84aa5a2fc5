"""LSTM language models of Zaremba et al. (2014) and Press and Wolf (2017)."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from instar.checks import Count, DropProbability, Layers, checked
from instar.compute.projected import Projected
from instar.errors import MismatchError
from instar.models.architecture import Architecture, HiddenState, TextNetwork
from instar.models.dropout import Dropout


class LanguageModel(Architecture, TextNetwork):
    """e_t = embedding of x_t, h_t = LSTM(e_t, h_(t-1)), z_t = W h_t + b, with dropout on e_t and on each layer.

    In `build`, a subclass sets the embedding and calls `build_recurrent`.
    """

    carries_state = True
    projects = True
    embedding: nn.Module

    def build_recurrent(self, inputs: int, units: int, layers: int, dropout: float, num_classes: int) -> None:
        """Make all layers after an embedding of width `inputs`; W starts uniform in [-0.1, 0.1], and b at 0."""
        self.drop = Dropout(dropout)
        self.recurrent = LSTMLayers([inputs, *[units] * layers], dropout)
        self.output = nn.Linear(units, num_classes)
        nn.init.uniform_(self.output.weight, -0.1, 0.1)
        nn.init.zeros_(self.output.bias)

    def groups(self) -> list[tuple[str, nn.Module]]:
        """Return the embedding, each layer as layer1, layer2, ..., and the output."""
        layers = [(f"layer{number}", layer) for number, layer in enumerate(self.recurrent.layers, start=1)]
        return [("embedding", self.embedding), *layers, ("output", self.output)]

    def forward(self, inputs: Tensor, state: HiddenState | None = None, *, project: bool = False) -> Any:
        """Return logits `[batch, position, classes]` of tokens `[batch, position]`; with `state`, also the next state.

        Args:
            inputs: tokens.
            state: the hidden state of the previous call, or () at the start; None: start, and return only the logits.
            project: return `Projected` in place of logits.
        """
        self._require_layers()
        hidden, after = self.recurrent(self.drop(self.embedding(inputs)), state or ())
        layer = self.output
        # the loss then computes logits tile by tile, and never holds those of all positions at once
        logits = Projected(hidden[-1], layer.weight, layer.bias) if project else layer(hidden[-1])
        return logits if state is None else (logits, after)

    def features(self, inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the logits, and by name the embedding and the output of each layer, `[batch, position, units]`."""
        self._require_layers()
        embedded = self.embedding(inputs)
        hidden, _ = self.recurrent(self.drop(embedded), ())
        # nn.LSTM returns a pair, so the groups cannot run one after another as in the base class
        named = {f"layer{number}": values for number, values in enumerate(hidden, start=1)}
        return self.output(hidden[-1]), {"embedding": embedded} | named


@checked
class LSTM(LanguageModel):
    """A language model with an embedding matrix E, e_t = E x_t; with `tied`, W is E (Press and Wolf 2017).

    Dropout acts between layers and never between time steps (Zaremba et al. 2014, section 3.1). E starts uniform in
    [-0.1, 0.1].

    Args:
        units: width of the embedding and of each layer.
        layers: number of LSTM layers.
        dropout: probability that a value is dropped.
        tied: whether embedding and output share one matrix.
        input_shape: (positions,); calls accept any number of positions.
        num_classes: number of words in the vocabulary.

    >>> model = LSTM(1500, 2, input_shape=(35,), num_classes=10_000)
    >>> sum(p.numel() for p in model.parameters())
    51034000
    """

    def __init__(
        self,
        units: Count = 200,
        layers: Layers = 2,
        dropout: DropProbability = 0.0,
        tied: bool = True,
        *,
        input_shape: tuple[int, ...] | None = None,
        num_classes: int | None = None,
    ) -> None:
        self.units, self.layers, self.dropout, self.tied = units, layers, dropout, tied
        arguments = {"units": units, "layers": layers, "dropout": dropout, "tied": tied}
        super().__init__(arguments, input_shape, num_classes)

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        """Make the layers.

        Raises:
            MismatchError: when an input is not a sequence of tokens.
        """
        require_tokens(input_shape, "lstm")
        self.embedding = nn.Embedding(num_classes, self.units)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.build_recurrent(self.units, self.units, self.layers, self.dropout, num_classes)
        if self.tied:  # the embedding has as many columns as a layer has units, so the shapes agree
            self.output.weight = self.embedding.weight


class LSTMLayers(nn.Module):
    """LSTM layers with dropout on the output of each.

    Args:
        widths: width of the input, and then of each layer.
        dropout: probability that a value is dropped.
    """

    def __init__(self, widths: list[int], dropout: float) -> None:
        super().__init__()
        # modules of one layer each, because nn.LSTM returns only the last of its layers, and these are features
        self.layers = nn.ModuleList(nn.LSTM(before, width, batch_first=True) for before, width in pairwise(widths))
        self.drop = Dropout(dropout)

    def forward(self, inputs: Tensor, state: HiddenState) -> tuple[list[Tensor], HiddenState]:
        """Return the output of each layer, `[batch, position, units]`, and h and c of each layer, `[batch, units]`.

        Args:
            inputs: inputs of the first layer, `[batch, position, values]`.
            state: h and c of each layer, or () at the start.
        """
        found: list[Tensor] = []
        after: list[Tensor] = []
        for number, layer in enumerate(self.layers):
            # nn.LSTM has its layers first, [1, batch, units]; the batch is first here, so that rows can be selected
            before = [tensor[None].contiguous() for tensor in state[2 * number : 2 * number + 2]]
            inputs, (h, c) = layer(inputs, tuple(before) or None)
            after += [h[0], c[0]]
            inputs = self.drop(inputs)  # never h, which the next time step reads (Zaremba et al., section 3.1)
            found.append(inputs)
        return found, tuple(after)


def require_tokens(input_shape: tuple[int, ...], name: str) -> None:
    """Refuse inputs that are not sequences of tokens.

    Raises:
        MismatchError: when `input_shape` is not (positions,).
    """
    if len(input_shape) != 1:
        raise MismatchError(f"model '{name}' needs tokens (positions,), got inputs of shape {list(input_shape)}.")
