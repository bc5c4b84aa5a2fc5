"""A recurrent network that reads a text in both directions (Schuster and Paliwal 1997)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from instar.checks import Count, DropProbability, checked
from instar.models.dropout import Dropout
from instar.models.word_network import WordNetwork, embed_words


@checked
class TextLSTM(WordNetwork):
    """logits = W [h_forward, h_backward] + b: the last states of two LSTMs, of which one reads a text from its end.

    Where each word has a label, the states are those after the word in both directions.

    Args:
        units: units of each of both LSTMs.
        width: numbers per word.
        dropout: probability that a number of a word, or of a state, is dropped.
        num_classes: number of logits.
        vocabulary_size: how many words there are, with padding and words that were never seen.

    >>> model = TextLSTM(8, 4, num_classes=2, vocabulary_size=9)
    >>> model(torch.tensor([[3, 5, 8]])).shape
    torch.Size([1, 2])
    """

    reads_each_word = True

    def __init__(
        self,
        units: Count = 64,
        width: Count = 32,
        dropout: DropProbability = 0.0,
        *,
        num_classes: int | None = None,
        vocabulary_size: int | None = None,
    ) -> None:
        self.units, self.width, self.dropout = units, width, dropout
        super().__init__({"units": units, "width": width, "dropout": dropout}, num_classes, vocabulary_size)

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        """Make the layers for a vocabulary of `input_shape[0]` words."""
        self.embedding = embed_words(input_shape[0], self.width)
        self.drop = Dropout(self.dropout)
        self.forwards = nn.LSTM(self.width, self.units, batch_first=True)
        self.backwards = nn.LSTM(self.width, self.units, batch_first=True)
        self.head = nn.Linear(2 * self.units, num_classes)

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the last states of both LSTMs, `[batch, 2 * units]`."""
        last, _, states = self._read(input_ids, attention_mask)
        index = last[:, :, None].expand(-1, 1, self.units)
        found: Tensor = self.drop(torch.cat([state.gather(1, index)[:, 0] for state in states], 1))
        return found

    def encode_each(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the states of both LSTMs after each word, `[batch, words, 2 * units]`."""
        _, at, (forwards, turned) = self._read(input_ids, attention_mask)
        found: Tensor = self.drop(torch.cat([forwards, turned.gather(1, at[:, :, None].expand_as(turned))], 2))
        return found

    def _read(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
        last = attention_mask.long().sum(1, keepdim=True) - 1  # [batch, 1]
        # read from its own last word, so that padding stays at the end in both directions
        at = (last - torch.arange(input_ids.shape[1], device=input_ids.device)).clamp(min=0)
        words, turned = (self.drop(self.embedding(ids)) for ids in (input_ids, input_ids.gather(1, at)))
        return last, at, [layer(read)[0] for layer, read in ((self.forwards, words), (self.backwards, turned))]
