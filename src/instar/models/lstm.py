"""LSTM language models, as Zaremba et al. (2014) and Press and Wolf (2017) have them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from instar.checks import Count, Layers, Share, checked
from instar.compute.projected import Projected
from instar.errors import MismatchError
from instar.models.architecture import Architecture, require_counts
from instar.models.carried import State
from instar.models.dropout import Dropout


class LanguageModel(Architecture):
    """e_t = embedding of x_t, h_t = LSTM(e_t, h_(t-1)), z_t = W h_t + b, with dropout on e_t and on each layer.

    An architecture of this kind says in `build` what the embedding is, and calls `build_recurrent`.
    """

    carries_state = True
    projects = True
    embedding: nn.Module

    def build_recurrent(self, inputs: int, units: int, layers: int, dropout: float, num_classes: int) -> None:
        """Make everything behind an embedding of width `inputs`; W begins uniform in [-0.1, 0.1], b with 0."""
        self.drop = Dropout(dropout)
        self.recurrent = LSTMLayers(inputs, [units] * layers, dropout)
        self.output = nn.Linear(units, num_classes)
        nn.init.uniform_(self.output.weight, -0.1, 0.1)
        nn.init.zeros_(self.output.bias)

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Return the embedding, every layer as layer1, layer2, ..., and the output."""
        layers = [(f"layer{number}", layer) for number, layer in enumerate(self.recurrent.layers, start=1)]
        return [("embedding", self.embedding), *layers, ("output", self.output)]

    def forward(self, inputs: Tensor, state: State | None = None, *, project: bool = False) -> Any:
        """Return logits `[batch, position, classes]` of tokens `[batch, position]`; with a state, the next one too.

        Args:
            inputs: tokens.
            state: () to begin, or what was returned; none: begin, and return the logits alone.
            project: return `Projected` in place of logits.
        """
        self._require_layers()
        hidden, after = self.recurrent(self.drop(self.embedding(inputs)), state or ())
        layer = self.output
        logits = Projected(hidden[-1], layer.weight, layer.bias) if project else layer(hidden[-1])
        return logits if state is None else (logits, after)

    def features(self, inputs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the logits, and by name the embedding and what every layer leaves, `[batch, position, units]`."""
        self._require_layers()
        embedded = self.embedding(inputs)
        hidden, _ = self.recurrent(self.drop(embedded), ())
        named = {f"layer{number}": values for number, values in enumerate(hidden, start=1)}
        return self.output(hidden[-1]), {"embedding": embedded} | named


@checked
class LSTM(LanguageModel):
    """A language model whose embedding is a matrix E, e_t = E x_t; with `tied`, W is E (Press and Wolf 2017).

    Dropout is between layers and never between steps (Zaremba et al. 2014, section 3.1). E begins uniform in [-0.1,
    0.1].

    Args:
        units: width of every layer, and of the embedding.
        layers: of the LSTM.
        dropout: probability that a value is dropped.
        tied: whether input and output share their matrix.
        input_shape: (positions,); any number of them is taken.
        num_classes: words of the vocabulary.

    >>> model = LSTM(1500, 2, input_shape=(35,), num_classes=10_000)
    >>> sum(p.numel() for p in model.parameters())
    51034000
    """

    def __init__(
        self,
        units: Count = 200,
        layers: Layers = 2,
        dropout: Share = 0.0,
        tied: bool = True,
        *,
        input_shape: tuple[int, ...] | None = None,
        num_classes: int | None = None,
    ) -> None:
        require_counts("LSTM", units=units, layers=layers)
        self.units, self.layers, self.dropout, self.tied = units, layers, dropout, tied
        arguments = {"units": units, "layers": layers, "dropout": dropout, "tied": tied}
        super().__init__(arguments, input_shape, num_classes)

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        """Make the layers.

        Raises:
            MismatchError: when an input is no sequence of tokens.
        """
        require_tokens(input_shape, "lstm")
        self.embedding = nn.Embedding(num_classes, self.units)
        nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.build_recurrent(self.units, self.units, self.layers, self.dropout, num_classes)
        if self.tied:
            self.output.weight = self.embedding.weight


class LSTMLayers(nn.Module):
    """Layers of an LSTM, each with dropout on what it leaves.

    Args:
        inputs: width of what is read.
        widths: of the layers.
        dropout: probability that a value is dropped.
    """

    def __init__(self, inputs: int, widths: Iterable[int], dropout: float) -> None:
        super().__init__()
        widths = list(widths)
        befores = [inputs, *widths[:-1]]
        pairs = zip(befores, widths, strict=True)
        self.layers = nn.ModuleList(nn.LSTM(before, width, batch_first=True) for before, width in pairs)
        self.drop = Dropout(dropout)

    def forward(self, inputs: Tensor, state: State) -> tuple[list[Tensor], State]:
        """Return what every layer leaves, `[batch, position, units]`, and h and c of every layer, `[batch, units]`.

        Args:
            inputs: `[batch, position, values]`.
            state: () to begin, or h and c of every layer.
        """
        found: list[Tensor] = []
        after: list[Tensor] = []
        for number, layer in enumerate(self.layers):
            before = [tensor[None].contiguous() for tensor in state[2 * number : 2 * number + 2]]
            inputs, (h, c) = layer(inputs, tuple(before) or None)
            after += [h[0], c[0]]
            inputs = self.drop(inputs)
            found.append(inputs)
        return found, tuple(after)


def require_tokens(input_shape: tuple[int, ...], name: str) -> None:
    """Refuse inputs that are no sequences.

    Raises:
        MismatchError: when `input_shape` is not (positions,).
    """
    if len(input_shape) != 1:
        raise MismatchError(f"model '{name}' needs tokens (positions,), got inputs of shape {list(input_shape)}.")
