"""A column of texts that are split into words, of which each may have a label."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instar.data.columns.raw import RawColumn, RawRows
from instar.data.columns.texts import Texts

SPLIT_TEXT = "words"
"""Name of the column of the words of texts, whatever it is called in a file."""


@dataclass(frozen=True, eq=False)
class SplitTexts(RawColumn):
    """The words of each sample, all words one behind the other.

    Args:
        words: the words of all samples.
        ends: index behind the last word of each sample, int64 `[samples]`.

    >>> column = SplitTexts.of([["never", "mind"], ["été"]])
    >>> len(column), column.counts.tolist(), column.take(torch.tensor([1])).lists()
    (2, [2, 1], [['été']])
    """

    words: Texts
    ends: NDArray[np.int64]
    dtype: ClassVar[str] = "words"
    noun: ClassVar[str] = "texts that are split into words"
    reader: ClassVar[str] = "GivenWords"

    @classmethod
    def of(cls, samples: Sequence[Sequence[str]], where: str = "words") -> SplitTexts:
        """Return a column of lists of words.

        Raises:
            DataError: when a string is no text that a file could hold.
        """
        ends = np.cumsum([len(words) for words in samples], dtype=np.int64)
        return cls(Texts.of([word for words in samples for word in words], where), ends)

    def __len__(self) -> int:
        return len(self.ends)

    @cached_property
    def counts(self) -> Tensor:
        """Number of words of each sample, int64 `[samples]`."""
        return torch.from_numpy(np.diff(self.ends, prepend=0))

    def take(self, ids: Tensor) -> SplitTexts:
        """Return the words of these samples; ids are int64 `[n]` on the CPU."""
        return SplitTexts.of(self.lists(ids))

    def rows(self, ids: Tensor, on_host: Tensor, positions: int | None = None) -> SplitTextRows:
        """Return some samples, of which a reader has encoded all."""
        return SplitTextRows(self, ids, on_host, positions)

    def show(self, ids: Tensor) -> list[str]:
        """Return the words of each sample with spaces between them."""
        return [" ".join(words) for words in self.lists(ids)]

    def describe(self) -> str:
        """Return the lengths of the texts."""
        counts, average = self.counts, self.counts.double().mean()
        return f"of samples of {int(counts.min()):,} to {int(counts.max()):,} ({average:,.0f} on average)"

    def lists(self, ids: Tensor | None = None) -> list[list[str]]:
        """Return the words of these samples, or of all."""
        if ids is None:
            words = self.words.strings()
            return [words[start:end] for start, end in pairwise([0, *self.ends.tolist()])]
        ends = torch.from_numpy(self.ends)[ids].tolist()
        starts = [end - count for end, count in zip(ends, self.counts[ids].tolist(), strict=True)]
        return [self.words.strings(torch.arange(start, end)) for start, end in zip(starts, ends, strict=True)]

    def fingerprint(self) -> str:
        """Return a hash of all words and of where samples end."""
        digest = hashlib.blake2b(f"split texts {self.words.fingerprint()}".encode(), digest_size=16)
        digest.update(np.ascontiguousarray(self.ends).data)
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class SplitTextRows(RawRows):
    """Some samples of a column.

    Args:
        positions: number of words that labels have room for, which may be more than the samples have; None: as many.
    """

    column: SplitTexts
    positions: int | None = None
