"""Readers of texts that are split into words: tokens, and the place of the first token of each word."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor

from instar.compute.inputs import Shape
from instar.data.columns.split_texts import SplitTextRows, SplitTexts
from instar.errors import MismatchError
from instar.models.readers.encoded import ANY_LENGTH, WORD_STARTS, Encoded
from instar.models.readers.text_reader import TextReader

# what each reader has made of a column; it lives as long as the column
_encoded: WeakKeyDictionary[SplitTexts, dict[TextReader, EncodedWords]] = WeakKeyDictionary()


@dataclass(frozen=True, eq=False)
class EncodedWords:
    """The tokens of samples, and where their words start.

    Args:
        tokens: tokens of each sample.
        starts: place of the first token of each word, as `word_starts`.
    """

    tokens: Encoded
    starts: Encoded

    def rows(self, ids: Tensor, on_host: Tensor | None = None, positions: int | None = None) -> dict[str, Tensor]:
        """Return some samples, see `Encoded.rows`, with the places of at least `positions` words."""
        places = self.starts.rows(ids, on_host)[WORD_STARTS]
        missing = max(0, (positions or 0) - places.shape[1])
        return {**self.tokens.rows(ids, on_host), WORD_STARTS: F.pad(places, (0, missing)) if missing else places}


class SplitTextReader(TextReader):
    """Turns words into tokens, and says where each word begins, because its first token has the label of the word.

    A network is called with `word_starts` beside the other tensors, and returns logits `[batch, words, classes]`.
    """

    @abstractmethod
    def encode_words(self, samples: Sequence[Sequence[str]]) -> EncodedWords:
        """Return the tokens of samples, each with one word at least.

        Raises:
            MismatchError: when a sample is longer than the reader allows.
        """

    def shape(self, given: Any) -> dict[str, Shape]:  # type: ignore[override]  # of several
        """Return the shape of each tensor.

        Raises:
            MismatchError: when the inputs are no texts that are split into words.
        """
        return {**super().shape(given), WORD_STARTS: (ANY_LENGTH,)}

    def make_example(self) -> dict[str, Tensor]:
        """Return the tensors of two samples."""
        return self(["two words", "another"])

    def __call__(self, inputs: Any) -> dict[str, Tensor]:  # type: ignore[override]  # of several
        """Return the tensors of samples; tensors by name that were read already are returned unchanged.

        Args:
            inputs: a list with a list of words for each sample, or with texts, whose words stand between spaces; or
                rows of a column.

        Raises:
            MismatchError: when the inputs are something else.
        """
        if isinstance(inputs, Mapping) and "input_ids" in inputs:
            return dict(inputs)
        given = next(iter(inputs.values())) if isinstance(inputs, Mapping) and len(inputs) == 1 else inputs
        if isinstance(given, SplitTextRows):
            known = _encoded.setdefault(given.column, {})
            if self not in known:
                known[self] = self.encode_words(given.column.lists())
            return known[self].rows(given.ids, given.on_host, given.positions)
        found = self.encode_words(as_words(given, str(self)))
        return found.rows(torch.arange(len(found.starts.lengths)))


def as_words(given: Any, who: str) -> list[list[str]]:
    """Return the words of each sample; those of a text stand between spaces.

    Raises:
        MismatchError: when there are no words; `who` reads them.

    >>> as_words(["EU rejects", ["German", "call"]], "it")
    [['EU', 'rejects'], ['German', 'call']]
    """
    items = list(given) if isinstance(given, list | tuple) else []
    found = [one.split() if isinstance(one, str) else one for one in items]
    if not found or not all(isinstance(words, list | tuple) for words in found):
        raise MismatchError(f"{who} takes words; give a list with a list of words for each sample, or with texts.")
    for at, words in enumerate(found):
        if not words or not all(isinstance(word, str) for word in words):
            raise MismatchError(f"{who} takes words, and sample {at} has none, or something else; got {words!r:.60}.")
    return [list(map(str.__str__, words)) for words in found]


def encode_places(places: Sequence[Sequence[int]]) -> Encoded:
    """Return the places of the first tokens of words, for `EncodedWords`."""
    return Encoded.of({WORD_STARTS: places}, {WORD_STARTS: 0})


def take_words(values: Tensor, word_starts: Tensor) -> Tensor:
    """Return the values of the first token of each word, `[batch, words, n]`, of those of all, `[batch, position, n]`.

    >>> take_words(torch.tensor([[[1.0], [2.0], [3.0]]]), torch.tensor([[0, 2]])).tolist()
    [[[1.0], [3.0]]]
    """
    return values.gather(1, word_starts[:, :, None].expand(-1, -1, values.shape[2]))
