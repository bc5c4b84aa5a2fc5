"""Character-aware language models: convolutions over letters, highway layers, LSTM (Kim et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from instar.checks import Count, DropProbability, Layers, checked
from instar.errors import ConfigError
from instar.models.lstm import LanguageModel, require_tokens

LARGE_FILTERS = ((1, 50), (2, 100), (3, 150), (4, 200), (5, 200), (6, 200), (7, 200))
"""Width and number of the filters of LSTM-Char-Large."""

PADDING_LETTER, BEGIN_LETTER, END_LETTER = 0, 1, 2
"""Numbers of the padding, and of the letters before and after each word."""


@checked
class CharacterLSTM(LanguageModel):
    """A language model that embeds each word by its letters, see `Letters`.

    All weights start uniform in [-0.05, 0.05], except for the output layer and the gate biases, which start at -2.

    Source: Kim, Jernite, Sontag and Rush 2016, "Character-aware neural language models", table 2; the defaults are
    LSTM-Char-Large.

    Args:
        units: width of each LSTM layer.
        layers: number of LSTM layers.
        dropout: probability that a value is dropped.
        letters: width of the embedding of a letter.
        filters: pairs of a filter width in letters and a number of filters.
        highways: number of highway layers.
        input_shape: (positions,); calls accept any number of positions.
        num_classes: number of words in the vocabulary.
        classes: words of the vocabulary.

    >>> words = [f"word{number}" for number in range(10_000)]
    >>> model = CharacterLSTM(input_shape=(35,), num_classes=10_000, classes=words)
    >>> round(sum(p.numel() for p in model.parameters()) / 1e6, 1)
    19.4
    """

    def __init__(
        self,
        units: Count = 650,
        layers: Layers = 2,
        dropout: DropProbability = 0.5,
        letters: Count = 15,
        filters: Sequence[Sequence[Count]] = LARGE_FILTERS,
        highways: Layers = 2,
        *,
        input_shape: tuple[int, ...] | None = None,
        num_classes: int | None = None,
        classes: Sequence[str] | None = None,
    ) -> None:
        if not filters or not all(len(pair) == 2 for pair in filters):
            raise ConfigError(
                f"CharacterLSTM(filters) must be pairs of a width and a number of filters, got {filters!r}."
            )
        self.units, self.layers, self.dropout = units, layers, dropout
        self.letters, self.filters, self.highways = letters, [list(pair) for pair in filters], highways
        self.words = None if classes is None else tuple(classes)
        arguments = {
            "units": units,
            "layers": layers,
            "dropout": dropout,
            "letters": letters,
            "filters": self.filters,
            "highways": highways,
        }
        super().__init__(arguments, input_shape, num_classes)

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        """Make the layers.

        Raises:
            MismatchError: when an input is not a sequence of tokens.
            ConfigError: when the words of the vocabulary are unknown.
        """
        require_tokens(input_shape, "character-lstm")
        if self.words is None or len(self.words) != num_classes:
            raise ConfigError("CharacterLSTM needs the words of the vocabulary to read their letters; give classes.")
        self.embedding = Letters(self.words, self.letters, self.filters, self.highways)
        self.build_recurrent(self.embedding.width, self.units, self.layers, self.dropout, num_classes)
        for parameter in self.recurrent.parameters():
            nn.init.uniform_(parameter, -0.05, 0.05)


class Letters(nn.Module):
    """Word embedding x = highway([max over i of tanh(F_k c)_i for all filters k]) of the letters c of a word.

    Args:
        words: words by number.
        letters: width of the embedding of a letter.
        filters: pairs of a filter width in letters and a number of filters.
        highways: number of highway layers.
    """

    spelling: Tensor

    def __init__(self, words: Sequence[str], letters: int, filters: Sequence[Sequence[int]], highways: int) -> None:
        super().__init__()
        # sorted, because the order of a set changes from process to process, and the numbers are in the weights
        alphabet = {letter: number for number, letter in enumerate(sorted(set("".join(words))), start=END_LETTER + 1)}
        # a filter that is wider than every word still needs a place
        longest = max([width for width, _ in filters] + [len(word) + 2 for word in words])
        spelling = torch.full((len(words), longest), PADDING_LETTER, dtype=torch.int64)
        for number, word in enumerate(words):
            spelt = [BEGIN_LETTER, *(alphabet[letter] for letter in word), END_LETTER]
            spelling[number, : len(spelt)] = torch.tensor(spelt)
        self.register_buffer("spelling", spelling, persistent=False)  # follows from the classes
        self.letters = nn.Embedding(len(alphabet) + END_LETTER + 1, letters, padding_idx=PADDING_LETTER)
        self.filters = nn.ModuleList(nn.Conv1d(letters, count, width) for width, count in filters)
        self.width = sum(count for _, count in filters)
        self.highways = nn.ModuleList(Highway(self.width) for _ in range(highways))
        for parameter in [*self.letters.parameters(), *self.filters.parameters()]:
            nn.init.uniform_(parameter, -0.05, 0.05)
        with torch.no_grad():
            self.letters.weight[PADDING_LETTER] = 0.0  # the loop above has overwritten the zeros of padding_idx

    def forward(self, inputs: Tensor) -> Tensor:
        """Return `[batch, position, width]` of words `[batch, position]`."""
        # a CPU embeds each distinct word of a batch once; an accelerator would wait for their number, and an exported
        # graph has fixed sizes
        if inputs.device.type != "cpu" or torch.compiler.is_exporting():
            return self._embed(inputs.flatten()).view(*inputs.shape, self.width)
        distinct, place = inputs.unique(return_inverse=True)
        return self._embed(distinct)[place]

    def _embed(self, words: Tensor) -> Tensor:
        spelt = self.letters(self.spelling[words.long()]).transpose(1, 2)  # [word, width, letter]
        # tanh is monotone, so it may follow the maximum, of which there are far fewer
        found = torch.cat([layer(spelt).amax(2) for layer in self.filters], 1).tanh()  # [word, filter]
        for highway in self.highways:
            found = highway(found)
        return found


class Highway(nn.Module):
    """y = t ReLU(W x + b) + (1 - t) x with t = sigmoid(V x + c); c starts at -2, so that the layer first passes x on.

    Source: Srivastava, Greff and Schmidhuber 2015, "Highway networks", equation 3.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.change, self.gate = nn.Linear(width, width), nn.Linear(width, width)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -0.05, 0.05)
        nn.init.constant_(self.gate.bias, -2.0)  # t = 0.12

    def forward(self, inputs: Tensor) -> Tensor:
        """Return y of x, both `[..., width]`."""
        return torch.lerp(inputs, self.change(inputs).relu(), self.gate(inputs).sigmoid())
