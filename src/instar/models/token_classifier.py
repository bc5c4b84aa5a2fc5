"""Classifiers of Transformers that predict a class for each word, from a local folder or the Hub."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from instar.compute.inputs import Shapes
from instar.errors import MismatchError
from instar.models.readers.encoded import WORD_STARTS
from instar.models.readers.split_text_reader import take_words
from instar.models.readers.tokens import Tokens
from instar.models.readers.word_tokens import WordTokens
from instar.models.sequence_classifier import TextClassifier, tokenizer_reader


class TokenClassifier(TextClassifier):
    """z_w = the logits of a Transformers model at the first token of word w; those of its other tokens are not used."""

    kind: ClassVar[str] = "AutoModelForTokenClassification"

    def check_inputs(self, shape: Shapes, config: Any) -> None:
        """Refuse inputs without the places of words, and samples that are longer than the model allows."""
        super().check_inputs(shape, config)
        if not isinstance(shape, Mapping) or WORD_STARTS not in shape:
            raise MismatchError(
                f"model '{self.path}' predicts a class for each word, and its reader does not say where words begin; "
                f"give data with words and their labels, and the reader WordTokens('{self.path}')."
            )

    def forward(self, word_starts: Tensor, **inputs: Tensor) -> Tensor:
        """Return logits `[batch, words, classes]`.

        Args:
            word_starts: place of the first token of each word, int64 `[batch, words]`.
            inputs: `input_ids` `[batch, position]` and other arguments of the model.

        Raises:
            MismatchError: when the model has no such argument.
        """
        return take_words(self.compute_logits(inputs), word_starts)


def word_reader(path: str) -> Tokens | None:
    """Return a reader of words with the tokenizer of a model; None for a folder without one."""
    return tokenizer_reader(path, WordTokens, TokenClassifier)
