"""Text: lines become one stream of tokens, cut into windows whose labels are the tokens that come next."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from instar.analysis.scores import UNLABELLED
from instar.data.samples import Source
from instar.errors import DataError
from instar.foreign import from_pretrained
from instar.tasks.next_token import NextToken

END = "<eos>"
"""The word at the end of every line."""

UNKNOWN = "<unk>"
"""The word that stands for all that are not in the vocabulary."""

_AT_ONCE = 1000  # lines


def lines(rows: Any, column: str, name: str) -> Iterator[str]:
    """Return the lines of a column of text.

    Raises:
        DataError: with the row, when one is missing.
    """
    for start in range(0, len(rows), _AT_ONCE):
        for index, line in enumerate(rows[start : start + _AT_ONCE][column], start):
            if line is None:
                raise DataError(f"row {index} of '{name}' has no text.")
            yield line


class Encoder(ABC):
    """Turns lines into tokens.

    Args:
        classes: the tokens by number.
        end: number of the token at the end of a line.
    """

    def __init__(self, classes: Sequence[str], end: int) -> None:
        self.classes, self.end = tuple(classes), end

    @abstractmethod
    def encode(self, some: Iterable[str], name: str) -> NDArray[np.int32]:
        """Return the tokens of some lines one after another, int32 `[tokens]`; `name` says to people whose they are."""


class Words(Encoder):
    """Words as they stand between spaces, with `<eos>` after every line; an empty line is an `<eos>` alone.

    >>> words = Words.of(["a rose is a rose", "a rose"])
    >>> words.classes, words.encode(["rose is", ""], "garden").tolist()
    (('a', 'rose', '<eos>', 'is'), [1, 3, 2, 2])
    """

    @classmethod
    def of(cls, some: Iterable[str]) -> Words:
        """Return the words of some lines, the most frequent first, and of equals the first in the alphabet."""
        counts = Counter(chain.from_iterable(map(_words, some)))
        counts.setdefault(END, 0)
        classes = sorted(counts, key=lambda word: (-counts[word], word))
        return cls(classes, classes.index(END))

    def encode(self, some: Iterable[str], name: str) -> NDArray[np.int32]:
        """Return the numbers of the words.

        Raises:
            DataError: when a word is not in the vocabulary, which has no `<unk>`; names its line.
        """
        numbers = {word: number for number, word in enumerate(self.classes)}
        unknown = numbers.get(UNKNOWN)
        found: list[int] = []
        for index, line in enumerate(some):
            for word in _words(line):
                number = numbers.get(word, unknown)
                if number is None:
                    raise DataError(
                        f"line {index} of '{name}' has the word '{word:.40}', which is not among the "
                        f"{len(self.classes):,} words of the train split, and no '{UNKNOWN}' stands there for others."
                    )
                found.append(number)
        return np.asarray(found, dtype=np.int32)


def _words(line: str) -> list[str]:
    return [*line.split(), END]


class Pretrained(Encoder):
    """A tokenizer of Transformers, with its end-of-text token after every line that is not empty.

    Args:
        tokenizer: folder or Hub id.

    Raises:
        DataError: when it cannot be loaded, or has no token for the end of a text.
    """

    def __init__(self, tokenizer: str) -> None:
        self._tokenizer = from_pretrained("AutoTokenizer", tokenizer, "the tokenizer", raises=DataError)
        end = self._tokenizer.eos_token_id
        if end is None:
            raise DataError(f"the tokenizer '{tokenizer}' has no token for the end of a text (eos_token).")
        size = len(self._tokenizer)
        super().__init__(self._tokenizer.convert_ids_to_tokens(list(range(size))), int(end))

    def encode(self, some: Iterable[str], name: str) -> NDArray[np.int32]:
        """Return the tokens."""
        found: list[NDArray[np.int32]] = [np.zeros(0, dtype=np.int32)]
        for line in some:
            if line.strip():
                tokens = self._tokenizer.encode(line, add_special_tokens=False)
                found.append(np.asarray([*tokens, self.end], dtype=np.int32))
        return np.concatenate(found)


def windows(
    name: str,
    tokens: NDArray[np.int32],
    classes: tuple[str, ...],
    end: int,
    length: int,
    *,
    is_stream: bool = True,
) -> Source:
    """Cut a stream of tokens x_1 ... x_T into windows; position t is given x_(t-1), and its label is x_t.

    Before x_1 stands the token that ends lines. So every token is a label once, and T is the number of words by which
    the logarithm of a perplexity is divided.

    Args:
        name: for people.
        tokens: int32 `[T]`.
        classes: the vocabulary.
        end: number of the token that ends lines.
        length: positions of a window; the last may have fewer.
        is_stream: whether they are to be read in order.

    Raises:
        DataError: when there are no tokens.

    >>> source = windows("five", np.arange(5, dtype=np.int32), tuple("abcde"), end=4, length=3)
    >>> source.inputs.tolist(), source.labels.tolist(), source.lengths.tolist()
    ([[4, 0, 1], [2, 3, 0]], [[0, 1, 2], [3, 4, -1]], [3, 2])
    """
    if len(tokens) == 0:
        raise DataError(f"'{name}' holds no words.")
    number = -(-len(tokens) // length)
    labels = torch.full((number * length,), UNLABELLED)
    labels[: len(tokens)] = torch.from_numpy(tokens.astype(np.int64))
    inputs = torch.zeros(number * length, dtype=torch.int32)
    inputs[0], inputs[1 : len(tokens)] = end, labels[: len(tokens) - 1].int()
    lengths = torch.full((number,), length)
    lengths[-1] = len(tokens) - (number - 1) * length
    shape = (number, length)
    return Source(name, inputs.view(shape), labels.view(shape), classes, lengths=lengths, task=NextToken(is_stream))
