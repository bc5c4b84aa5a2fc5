"""Columns whose values are no tensors of one shape: a reader encodes their rows, and all of them once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from torch import Tensor


class RawColumn(ABC):
    """A column that only some readers can read, such as texts or the rows of a table.

    The inputs of a source of such samples are the numbers of their rows, so that batches, selections and ids are those
    of any other source.

    Attributes:
        dtype: what the values are, as files of models name it.
        noun: the same for messages, in the plural.
        reader: name of a reader of such columns, for messages.
    """

    dtype: ClassVar[str]
    noun: ClassVar[str]
    reader: ClassVar[str]

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of a value: it has no axes of a fixed length."""
        return ()

    @abstractmethod
    def take(self, ids: Tensor) -> Self:
        """Return the values of these samples; ids are int64 `[n]` on the CPU."""

    @abstractmethod
    def rows(self, ids: Tensor, on_host: Tensor, positions: int | None = None) -> Any:
        """Return what its readers are called with for some samples, so that they find what they have encoded.

        Args:
            ids: sample ids, int64 `[n]` on the device of the batch.
            on_host: the same ids on the host.
            positions: number of positions that the batch has labels for; None: samples have none, or it is not known.
        """

    @abstractmethod
    def show(self, ids: Tensor) -> list[str]:
        """Return the values of these samples as text for people; ids are int64 `[n]` on the CPU."""

    @abstractmethod
    def fingerprint(self) -> str:
        """Return a hash of all values."""

    @abstractmethod
    def describe(self) -> str:
        """Return its form in a few words."""


@dataclass(frozen=True, eq=False)
class RawRows:
    """Some rows of a column, which a reader encodes once for all of them.

    Args:
        column: the column.
        ids: sample ids, int64 `[n]` on the device of the batch.
        on_host: the same ids on the host.
    """

    column: Any
    ids: Tensor
    on_host: Tensor

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def shape(self) -> tuple[int, ...]:
        """The number of rows."""
        return (len(self),)
