"""A bag of embeddings: the mean of the words of a text, as in fastText (Joulin et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from instar.checks import Count, DropProbability, checked
from instar.models.mlp import dense_layers
from instar.models.word_network import WordNetwork, embed_words, mean_of_words


@checked
class Bag(WordNetwork):
    """m = mean of the embeddings of the words, logits = MLP(m), with dropout on m and on hidden units.

    Args:
        width: numbers per word.
        widths: units of each hidden layer.
        dropout: probability that a number of the mean, or a hidden unit, is dropped.
        num_classes: number of logits.
        vocabulary_size: how many words there are, with padding and words that were never seen.

    >>> import torch
    >>> model = Bag(4, num_classes=2, vocabulary_size=9)
    >>> words, mask = torch.tensor([[3, 5, 0]]), torch.tensor([[True, True, False]])
    >>> torch.equal(model(words, mask), model(words[:, :2], mask[:, :2]))
    True
    """

    def __init__(
        self,
        width: Count = 32,
        widths: Sequence[Count] = (),
        dropout: DropProbability = 0.0,
        *,
        num_classes: int | None = None,
        vocabulary_size: int | None = None,
    ) -> None:
        self.width, self.widths, self.dropout = width, list(widths), dropout
        super().__init__({"width": width, "widths": self.widths, "dropout": dropout}, num_classes, vocabulary_size)

    def build(self, input_shape: tuple[int, ...], num_classes: int) -> None:
        """Make the layers for a vocabulary of `input_shape[0]` words."""
        self.embedding = embed_words(input_shape[0], self.width)
        layers = dense_layers(self.width, self.widths, num_classes, self.dropout, self.dropout)
        self.head = layers[0] if len(layers) == 1 else nn.Sequential(*layers)

    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the mean of the embeddings, `[batch, width]`."""
        return mean_of_words(self.embedding(input_ids), attention_mask)
