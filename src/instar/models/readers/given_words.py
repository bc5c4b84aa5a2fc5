"""Reader of texts that are split into words, as words of a vocabulary of the training samples."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from instar.checks import checked
from instar.data.columns.split_texts import SPLIT_TEXT, SplitTexts
from instar.errors import ConfigError, DataError
from instar.models.readers.encoded import Encoded
from instar.models.readers.split_text_reader import EncodedWords, SplitTextReader, encode_places
from instar.models.readers.words import NEVER_SEEN, PADDING, Words

if TYPE_CHECKING:
    from instar.data.samples import Samples


@checked
@dataclass(frozen=True, repr=False)
class GivenWords(SplitTextReader, Words):
    """Lower-cased words as the data split them, numbered by how frequent they are in the training samples.

    Number 0 is padding, and 1 every word outside the vocabulary.

    Args:
        size: largest number of words in the vocabulary.
        min_count: how often a word must occur in the training samples.
        column: name of the column of words.

    Raises:
        ConfigError: when `length` or `pair` is given, which are arguments of `Words` alone.

    >>> reader = GivenWords().with_knowledge({"words": ["eu", "rejects"]})
    >>> found = reader([["EU", "rejects", "it"], ["EU"]])
    >>> found["input_ids"].tolist(), found["word_starts"].tolist()
    ([[2, 3, 1], [2, 0, 0]], [[0, 1, 2], [0, 0, 0]])
    """

    column: str = SPLIT_TEXT

    def __post_init__(self) -> None:
        if self.length is not None or self.pair is not None:
            raise ConfigError("GivenWords reads all words of a sample, which is one text; leave out length and pair.")

    def _list_words(self, samples: Samples, column: str) -> Iterable[list[str]]:
        found = samples.source.find(column)
        if not isinstance(found, SplitTexts):
            raise DataError(
                f"column '{column}' of '{samples.source.name}' holds no lists of words, which {self} reads."
            )
        return (list(map(_spell, words)) for words in found.lists(samples.ids))

    def explain(self) -> str:
        """Return sentences that say how another program numbers words."""
        return (
            "Lower-case words, and compose their characters (Unicode NFC). input_ids has the place of each word in "
            f"knowledge.words (see the description of the model), counted from {self._first}, or {NEVER_SEEN} for all "
            f"other words. Pad shorter texts with {PADDING}; attention_mask is true where input_ids has a word. "
            "word_starts counts the words of each text from 0, padded with 0. logits has a row for each word."
        )

    def encode_words(self, samples: Sequence[Sequence[str]]) -> EncodedWords:
        """Return the numbers of words."""
        rows = [self._number_words(list(map(_spell, words))) for words in samples]
        tokens = Encoded.of({"input_ids": rows}, {"input_ids": PADDING})
        return EncodedWords(tokens, encode_places([range(len(words)) for words in samples]))


def _spell(word: str) -> str:
    return unicodedata.normalize("NFC", word.lower())
