"""Text for language models: a stream of tokens, cut into windows whose labels are the next tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instar.analysis.scores import UNLABELLED
from instar.data.mapping import map_vector
from instar.data.source import Source
from instar.data.stored import StoredInputs
from instar.errors import DataError
from instar.foreign import from_pretrained
from instar.tasks.next_token import NextToken

END_TOKEN = "<eos>"
"""Word at the end of each line."""

UNKNOWN_TOKEN = "<unk>"
"""Word that stands for all words outside the vocabulary."""

_LINES_PER_READ = 1000  # a read of one row costs as much as one of many, and the text may be larger than memory


def read_lines(rows: Any, column: str, name: str) -> Iterator[str]:
    """Yield the lines of a column of text.

    Raises:
        DataError: when a line is missing; names the row.
    """
    for start in range(0, len(rows), _LINES_PER_READ):
        for index, line in enumerate(rows[start : start + _LINES_PER_READ][column], start):
            if line is None:
                raise DataError(f"row {index} of '{name}' has no text.")
            yield line


class Tokenizer(ABC):
    """A vocabulary, and how a line of text becomes tokens of it.

    Args:
        classes: tokens by number.
        end: number of the token at the end of a line.
    """

    def __init__(self, classes: Sequence[str], end: int) -> None:
        self.classes, self.end = tuple(classes), end

    @abstractmethod
    def encode_lines(self, lines: Iterable[str], name: str) -> Iterator[list[int]]:
        """Yield the tokens of each line; `name` is for error messages."""

    def encode(self, lines: Iterable[str], name: str) -> NDArray[np.int32]:
        """Return the tokens of all lines, concatenated, int32 `[tokens]`; `name` is for error messages."""
        return np.fromiter(chain.from_iterable(self.encode_lines(lines, name)), dtype=np.int32)


class WordTokenizer(Tokenizer):
    """Words separated by spaces, with `<eos>` after each line; an empty line is only `<eos>`.

    >>> words = WordTokenizer.of(["a rose is a rose", "a rose"])
    >>> words.classes, words.encode(["rose is", ""], "garden").tolist()
    (('a', 'rose', '<eos>', 'is'), [1, 3, 2, 2])
    """

    @classmethod
    def of(cls, lines: Iterable[str]) -> WordTokenizer:
        """Build the vocabulary of lines, sorted by frequency and then alphabetically."""
        counts = Counter(chain.from_iterable(map(_split_line, lines)))
        counts.setdefault(END_TOKEN, 0)  # even without lines, because it is the input before the first word
        classes = sorted(counts, key=lambda word: (-counts[word], word))
        return cls(classes, classes.index(END_TOKEN))

    def encode_lines(self, lines: Iterable[str], name: str) -> Iterator[list[int]]:
        """Yield the numbers of the words.

        Raises:
            DataError: when a word is not in the vocabulary, and the vocabulary has no `<unk>`; names the line.
        """
        numbers = {word: number for number, word in enumerate(self.classes)}
        unknown = numbers.get(UNKNOWN_TOKEN)  # corpora such as Penn Treebank replaced rare words by it themselves
        for index, line in enumerate(lines):
            found: list[int] = []
            for word in _split_line(line):
                number = numbers.get(word, unknown)
                if number is None:
                    raise DataError(
                        f"line {index} of '{name}' has the word '{word:.40}', which is not among the "
                        f"{len(self.classes):,} words of the training split, and there is no word '{UNKNOWN_TOKEN}' to "
                        "replace it."
                    )
                found.append(number)
            yield found


def _split_line(line: str) -> list[str]:
    return [*line.split(), END_TOKEN]


class PretrainedTokenizer(Tokenizer):
    """A Transformers tokenizer, with its end-of-text token after each line that is not empty.

    Args:
        tokenizer: folder or Hub id.

    Raises:
        DataError: when the tokenizer cannot be loaded, or has no end-of-text token.
    """

    def __init__(self, tokenizer: str) -> None:
        self._tokenizer = from_pretrained("AutoTokenizer", tokenizer, "the tokenizer", raises=DataError)
        end = self._tokenizer.eos_token_id
        if end is None:
            raise DataError(f"the tokenizer '{tokenizer}' has no end-of-text token; set its eos_token.")
        size = len(self._tokenizer)  # vocab_size would leave out the tokens that were added later
        super().__init__(self._tokenizer.convert_ids_to_tokens(list(range(size))), int(end))

    def encode_lines(self, lines: Iterable[str], name: str) -> Iterator[list[int]]:
        """Yield the tokens."""
        for line in lines:
            if line.strip():
                # a line is a part of a stream, so it has no token for the beginning of a text
                yield [*self._tokenizer.encode(line, add_special_tokens=False), self.end]


def cut_windows(
    name: str,
    tokens: NDArray[np.int32] | Path,
    classes: tuple[str, ...],
    end: int,
    length: int,
    *,
    is_stream: bool = True,
    stored: Callable[[Tensor, Tensor], StoredInputs] | None = None,
) -> Source:
    """Cut a stream of tokens x_1 ... x_T into windows; the input at position t is x_(t-1), and its label is x_t.

    The input before x_1 is the end-of-line token. So each token is a label once, and a perplexity is the exponential of
    the mean over T tokens.

    Args:
        name: name of the source, for messages.
        tokens: tokens, int32 `[T]`, or their file in NumPy's format, which is mapped: windows are read when taken.
        classes: vocabulary.
        end: number of the end-of-line token.
        length: positions per window; the last window may have fewer.
        is_stream: whether to read the windows in order.
        stored: function from inputs and labels to where their values are kept; None: nowhere.

    Raises:
        DataError: when there are no tokens.

    >>> source = cut_windows("five", np.arange(5, dtype=np.int32), tuple("abcde"), end=4, length=3)
    >>> source.inputs.tolist(), source.labels.tolist(), source.lengths.tolist()
    ([[4, 0, 1], [2, 3, 0]], [[0, 1, 2], [3, 4, -1]], [3, 2])
    """
    count = len(np.load(tokens, mmap_mode="r", allow_pickle=False)) if isinstance(tokens, Path) else len(tokens)
    if count == 0:
        raise DataError(f"'{name}' has no words.")
    shape = (-(-count // length), length)  # rounded up
    # two arrays of the same tokens, each with its own ends; mapped ones share all pages except those
    before, after = (_copy_with_room(tokens, count, shape[0] * length) for _ in range(2))
    before[0], before[count:] = end, 0  # 0 beyond the end, which every embedding has a row for
    after[1 + count :] = UNLABELLED
    inputs, labels = torch.from_numpy(before[:-1]).view(shape), torch.from_numpy(after[1:]).view(shape)
    labels = labels if isinstance(tokens, Path) else labels.long()  # mapped ones are converted when they are taken
    lengths = torch.full((shape[0],), length)
    lengths[-1] = count - (shape[0] - 1) * length
    about = None if stored is None else stored(inputs, labels)
    return Source(name, inputs, labels, classes, lengths=lengths, task=NextToken(is_stream), stored=about)


def _copy_with_room(tokens: NDArray[np.int32] | Path, count: int, total: int) -> NDArray[np.int32]:
    # one value before the tokens, and room for `total` tokens
    if isinstance(tokens, Path):
        return map_vector(tokens, 1, 1 + total)
    found = np.zeros(1 + total, dtype=np.int32)
    found[1 : 1 + count] = tokens
    return found
