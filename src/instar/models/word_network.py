"""Base class of the built-in networks that read words."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from instar.compute.inputs import Inputs
from instar.models.architecture import Architecture
from instar.models.readers.encoded import ATTENTION_MASK, WORD_STARTS
from instar.models.readers.split_text_reader import take_words

EMBEDDING_STD = 0.1
"""Standard deviation of the new weights of an embedding.

Those of torch, 1, take as long to forget as the rest takes to learn: on rotten_tomatoes, a bag of embeddings has an
error of 35% after 15 epochs with them, and of 26% with these.
"""


class WordNetwork(Architecture):
    """logits = head(encode(words)): a network of the numbers of words, whose padding never changes the logits.

    The last child of each network is its `head`.

    Args:
        arguments: keyword arguments of the constructor, as JSON values.
        num_classes: number of logits; None: a description without layers.
        vocabulary_size: how many numbers there are, from 0 (padding); None: a description without layers.
    """

    input_names = ("input_ids", ATTENTION_MASK)
    reads_each_word: ClassVar[bool] = False
    """Whether it has a vector for each word, and so predicts the class of each word where `word_starts` is given."""
    head: nn.Module

    def __init__(self, arguments: dict[str, Any], num_classes: int | None, vocabulary_size: int | None) -> None:
        # texts have any length, so a network is built for the numbers of a vocabulary
        super().__init__(arguments, None if vocabulary_size is None else (vocabulary_size,), num_classes)

    @abstractmethod
    def encode(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return one vector for each text, `[batch, width]`."""

    def encode_each(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return a vector for each number of a word, `[batch, words, width]`; networks that `reads_each_word` do."""
        raise NotImplementedError

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, word_starts: Tensor | None = None
    ) -> Tensor:
        """Return logits `[batch, classes]`, or `[batch, words, classes]` with `word_starts`.

        Args:
            input_ids: numbers of words, int64 `[batch, numbers]`.
            attention_mask: False where a text is padded, bool `[batch, numbers]`; None: no text is.
            word_starts: place of the first number of each word that has a label, int64 `[batch, words]`; None: the
                whole text has one.
        """
        return self.features({"input_ids": input_ids, "attention_mask": attention_mask, WORD_STARTS: word_starts})[0]

    def features(self, inputs: Inputs | Mapping[str, Tensor | None]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the logits, and the vector of each text, `[batch, width]`, as "text", or of each word, as "words"."""
        self._require_layers()
        given: Mapping[str, Tensor | None] = {"input_ids": inputs} if isinstance(inputs, Tensor) else inputs
        words, mask, starts = (given.get(name) for name in ("input_ids", ATTENTION_MASK, WORD_STARTS))
        assert words is not None, "a reader of texts gives numbers"
        mask = torch.ones_like(words, dtype=torch.bool) if mask is None else mask
        if starts is None:
            name, vectors = "text", self.encode(words, mask)
        else:
            name, vectors = "words", take_words(self.encode_each(words, mask), starts)
        logits: Tensor = self.head(vectors)
        return logits, {name: vectors}


def embed_words(vocabulary_size: int, width: int, zero: int | None = None) -> nn.Embedding:
    """Return an embedding with small new weights; the number `zero` is embedded as zeros, which are not trained."""
    embedding = nn.Embedding(vocabulary_size, width, padding_idx=zero)
    nn.init.normal_(embedding.weight, std=EMBEDDING_STD)
    if zero is not None:
        nn.init.zeros_(embedding.weight.data[zero])
    return embedding


def mean_of_words(values: Tensor, mask: Tensor) -> Tensor:
    """Return the mean `[batch, width]` of values `[batch, words, width]` over the words where `mask` is True."""
    valid = mask[..., None]
    # not by a product: what is computed of padding may be infinite
    return torch.where(valid, values, 0.0).sum(1) / valid.sum(1)
