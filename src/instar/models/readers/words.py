"""Reader of texts as words of a vocabulary of the training samples."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from instar.checks import Count, checked
from instar.data.columns.texts import TEXT
from instar.errors import ConfigError, DataError
from instar.models.readers.encoded import ANY_LENGTH, Encoded
from instar.models.readers.text_reader import TextReader

if TYPE_CHECKING:
    from instar.data.samples import Samples

PADDING, NEVER_SEEN, SEPARATOR = 0, 1, 2
"""Numbers of padding, of words outside the vocabulary, and of the border of two texts; words follow."""

_WORDS_OF_ONE_CHARACTER = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
"""Characters of scripts without spaces between words: Japanese, Chinese, Thai, Lao, Burmese and Khmer."""

_JOINERS = "\u200c\u200d"

_CODES_WITH_MARKS = (*range(0x20000), *range(0xE0100, 0xE01F0))  # a look through all codes would take ten times as long


class Vocabulary:
    """Words, most frequent first, with a hash that costs nothing.

    Args:
        words: distinct words.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self.words = tuple(words)
        self._hash = hash(self.words)

    def __eq__(self, other: object) -> bool:
        # readers are compared for every batch; words only if their hashes agree, and they are not one object
        return self is other or (
            isinstance(other, Vocabulary) and self._hash == other._hash and self.words == other.words
        )

    def __hash__(self) -> int:
        return self._hash

    def __len__(self) -> int:
        return len(self.words)

    @cached_property
    def numbers(self) -> dict[str, int]:
        """The number of each word, counted from 0."""
        return {word: number for number, word in enumerate(self.words)}


@checked
@dataclass(frozen=True, repr=False)
class Words(TextReader):
    """Lower-cased words and single punctuation marks, numbered by how frequent they are in the training samples.

    Number 0 is padding, 1 every word outside the vocabulary, and 2 the border of two texts, if samples are pairs. A
    text without words is read as one word that was never seen.

    Args:
        size: largest number of words in the vocabulary.
        length: words of a text that are read; None: all.
        min_count: how often a word must occur in the training samples. A word that occurs once tells little, and stands
            for the words that were never seen.
        column: name of the column of texts.
        pair: name of the column of the second texts of pairs; None: samples have one text.

    >>> reader = Words().with_knowledge({"words": ["a", "film", "good"]})
    >>> reader(["A GOOD film!", ""])["input_ids"].tolist()
    [[2, 4, 3, 1], [1, 0, 0, 0]]
    """

    size: Count = 10_000
    length: Count | None = None
    min_count: Count = 2
    column: str = TEXT
    pair: str | None = None
    vocabulary: Vocabulary | None = field(default=None, init=False, repr=False)

    def fitted(self, samples: Samples) -> Words:
        """Return the reader with the words of training samples.

        Raises:
            DataError: when no word occurs `min_count` times.
        """
        if self.vocabulary is not None:
            return self
        counts: Counter[str] = Counter()
        for column in filter(None, (self.column, self.pair)):
            for words in self._list_words(samples, column):
                counts.update(words)
        chosen = sorted((word for word, n in counts.items() if n >= self.min_count), key=lambda w: (-counts[w], w))
        if not chosen:
            raise DataError(
                f"no word occurs {self.min_count} times in the texts of '{samples.source.name}'; lower the number with "
                f"the reader {type(self).__name__}(min_count=1)."
            )
        return self._knowing(chosen[: self.size])

    def _list_words(self, samples: Samples, column: str) -> Iterable[list[str]]:
        return map(split_words, samples.source.texts(column).strings(samples.ids))

    def knowledge(self) -> dict[str, Any] | None:
        """Return the words of the vocabulary in the order of their numbers."""
        return None if self.vocabulary is None else {"words": list(self.vocabulary.words)}

    def with_knowledge(self, knowledge: Mapping[str, Any]) -> Words:
        """Return the reader with the words of a file.

        Raises:
            ConfigError: when these are no words.
        """
        words = knowledge.get("words")
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise ConfigError(f"{self} needs the list of its 'words', found: {', '.join(map(str, knowledge)):.100}.")
        return self._knowing(words)

    def _knowing(self, words: Sequence[str]) -> Words:
        found = replace(self)
        object.__setattr__(found, "vocabulary", Vocabulary(words))
        return found

    def sizes(self) -> dict[str, Any]:
        """Return the number of different numbers, padding among them."""
        return {} if self.vocabulary is None else {"vocabulary_size": self._first + len(self.vocabulary)}

    @property
    def longest(self) -> int:
        """Largest number of words."""
        return self.length or ANY_LENGTH

    def explain(self) -> str:
        """Return sentences that say how another program numbers the words of a text."""
        cut = "" if self.length is None else f" Leave out what follows after {self.length} words."
        pair = "" if self.pair is None else f" Join both texts with the number {SEPARATOR}."
        return (
            "Lower-case a text, and compose its characters (Unicode NFC). Its words are runs of letters, digits and "
            "their marks; every other visible character, and every character of Chinese, Japanese and Thai, is a word "
            "by itself. input_ids has the place of each word in knowledge.words (see the description of the model), "
            f"counted from {self._first}, or {NEVER_SEEN} for all other words and for a text without words.{pair}{cut} "
            f"Pad shorter texts with {PADDING}; attention_mask is true where input_ids has a word."
        )

    @property
    def _first(self) -> int:
        return SEPARATOR + (self.pair is not None)

    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> Encoded:
        """Return the numbers of the words of texts; of a pair, the longer text is cut first."""
        rows = [self._number_words(split_words(text)) for text in texts]
        if pairs is not None:
            others = (self._number_words(split_words(text)) for text in pairs)
            rows = [_join(one, two, self.length) for one, two in zip(rows, others, strict=True)]
        return Encoded.of({"input_ids": [row[: self.length] or [NEVER_SEEN] for row in rows]}, {"input_ids": PADDING})

    def _number_words(self, words: Sequence[str]) -> list[int]:
        if self.vocabulary is None:
            raise ConfigError(f"{self} knows no words yet; train a model with it, or call fitted(samples).")
        numbers, first = self.vocabulary.numbers, self._first
        return [numbers.get(word, NEVER_SEEN - first) + first for word in words]


def _join(first: list[int], second: list[int], length: int | None) -> list[int]:
    while length is not None and first + second and len(first) + 1 + len(second) > length:
        longer = first if len(first) > len(second) else second
        longer.pop()
    return [*first, SEPARATOR, *second]


def split_words(text: str) -> list[str]:
    """Return the words and punctuation marks of a text, lower-cased, each character in composed form (NFC).

    Letters, digits and their marks form words; characters of scripts without spaces are words of their own.

    >>> split_words("हिन्दी में 你好")
    ['हिन्दी', 'में', '你', '好']
    """
    # a mark of the byte order is invisible, and no part of a text
    return _pattern().findall(unicodedata.normalize("NFC", text.lower()).replace("\ufeff", ""))


@cache
def _pattern() -> re.Pattern[str]:
    # Python's \w has letters and digits without the marks that Indic scripts and Arabic write vowels with
    codes = [code for code in _CODES_WITH_MARKS if unicodedata.category(chr(code)).startswith("M")]
    starts = [code for code, before in zip(codes, [-2, *codes], strict=False) if code != before + 1]
    ends = [code for code, after in zip(codes, [*codes[1:], -2], strict=True) if after != code + 1]
    ranges = (f"{chr(start)}-{chr(end)}" for start, end in zip(starts, ends, strict=True))
    marks = "".join(ranges) + _JOINERS
    single = f"[{_WORDS_OF_ONE_CHARACTER}][{marks}]*"
    letters = f"(?:(?![{_WORDS_OF_ONE_CHARACTER}])[\\w{marks}])+"
    return re.compile(f"{single}|{letters}|[^\\w\\s]")
