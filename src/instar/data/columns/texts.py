"""A column of texts of any length."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from instar.data.columns.raw import RawColumn, RawRows
from instar.errors import DataError

TEXT, TEXT_PAIR = "text", "text_pair"
"""Names of the column of texts, and of the second texts of pairs, whatever they are called in a file."""


@dataclass(frozen=True, eq=False)
class Texts(RawColumn):
    """One text per sample, as UTF-8 one behind the other, which takes a tenth of the memory of Python's strings.

    Args:
        content: UTF-8 of all texts, uint8 `[bytes]`.
        ends: index behind the last byte of each text, int64 `[samples]`.

    >>> column = Texts.of(["never", "été", ""])
    >>> len(column), column.sizes.tolist(), column.take(torch.tensor([2, 1])).strings()
    (3, [5, 5, 0], ['', 'été'])
    """

    content: NDArray[np.uint8]
    ends: NDArray[np.int64]
    dtype: ClassVar[str] = "text"
    noun: ClassVar[str] = "texts"
    reader: ClassVar[str] = "Words"

    @classmethod
    def of(cls, texts: Sequence[str], where: str = "texts") -> Texts:
        """Return a column of strings.

        Raises:
            DataError: when a string is no text that a file could hold.
        """
        try:
            encoded = [text.encode() for text in texts]
        except UnicodeEncodeError as error:
            place = next(index for index, text in enumerate(texts) if text is error.object)
            raise DataError(f"row {place} of '{where}' holds half of a character ({error.reason}).") from None
        ends = np.cumsum([len(one) for one in encoded], dtype=np.int64)
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), ends)

    def __len__(self) -> int:
        return len(self.ends)

    @cached_property
    def sizes(self) -> Tensor:
        """Bytes of each text as UTF-8, int64 `[samples]`."""
        return torch.from_numpy(np.diff(self.ends, prepend=0))

    def take(self, ids: Tensor) -> Texts:
        """Return the texts of these samples; ids are int64 `[n]` on the CPU."""
        parts = [self.content[start:end] for start, end in self._bounds(ids)]
        ends = np.cumsum([len(part) for part in parts], dtype=np.int64)
        return Texts(np.concatenate(parts) if parts else self.content[:0], ends)

    def rows(self, ids: Tensor, on_host: Tensor, positions: int | None = None) -> TextRows:
        """Return some texts, of which a reader has encoded all."""
        return TextRows(self, ids, on_host)

    def show(self, ids: Tensor) -> list[str]:
        """Return the texts."""
        return self.strings(ids)

    def describe(self) -> str:
        """Return the lengths of the texts."""
        sizes = self.sizes
        return f"of {int(sizes.min()):,} to {int(sizes.max()):,} bytes ({sizes.double().mean():,.0f} on average)"

    def strings(self, ids: Tensor | None = None) -> list[str]:
        """Return the texts of these samples, or of all."""
        content = self.content.tobytes() if ids is None else self.content
        bounds = self._bounds(torch.arange(len(self)) if ids is None else ids)
        return [bytes(content[start:end]).decode() for start, end in bounds]

    def _bounds(self, ids: Tensor) -> list[tuple[int, int]]:
        ends, sizes = torch.from_numpy(self.ends)[ids], self.sizes[ids]
        return list(zip((ends - sizes).tolist(), ends.tolist(), strict=True))

    def fingerprint(self) -> str:
        """Return a hash of all texts."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:  # cached, because it reads all texts, which never change
        digest = hashlib.blake2b(b"texts", digest_size=16)
        digest.update(np.ascontiguousarray(self.ends).data)
        digest.update(np.ascontiguousarray(self.content).data)
        return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class TextRows(RawRows):
    """Some texts of a column."""

    column: Texts

    def strings(self) -> list[str]:
        """Return the texts."""
        return self.column.strings(self.on_host)
