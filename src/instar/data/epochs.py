"""What an epoch is, and in which order: all samples shuffled, half of them special, or a text in columns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor


class Epoch(ABC):
    """Which samples an epoch has, by their places among the samples."""

    @property
    @abstractmethod
    def size(self) -> int:
        """The number of samples in an epoch."""

    @abstractmethod
    def order(self, generator: torch.Generator) -> Tensor:
        """Return the places of its samples one after another, int64 `[size]`."""


@dataclass(frozen=True)
class Shuffled(Epoch):
    """Every sample once, in random order.

    Args:
        count: samples.

    >>> Shuffled(3).order(torch.Generator()).sort().values
    tensor([0, 1, 2])
    """

    count: int

    @property
    def size(self) -> int:
        """All samples."""
        return self.count

    def order(self, generator: torch.Generator) -> Tensor:
        """Return a permutation."""
        return torch.randperm(self.count, generator=generator)


@dataclass(frozen=True, eq=False)
class HalfSpecial(Epoch):
    """Every special sample once, and as many of the rest, none a second time before all were there once.

    Args:
        special: bool `[samples]`.

    >>> HalfSpecial(torch.tensor([True, False, False])).size
    2
    """

    special: Tensor

    @property
    def size(self) -> int:
        """Twice the special samples."""
        return 2 * int(self.special.sum())

    def order(self, generator: torch.Generator) -> Tensor:
        """Return both halves in random order."""
        special, rest = self.special.nonzero()[:, 0], (~self.special).nonzero()[:, 0]
        rounds = -(-len(special) // len(rest))
        drawn = torch.cat([torch.randperm(len(rest), generator=generator) for _ in range(rounds)])[: len(special)]
        both = torch.cat([special, rest[drawn]])
        return both[torch.randperm(len(both), generator=generator)]


@dataclass(frozen=True)
class StreamColumns(Epoch):
    """A stream cut into columns that are read side by side: batch s holds sample s of each, and so they go on in s + 1.

    The same in every epoch. What is left where columns are equally long, fewer samples than there are columns, is not
    read.

    Args:
        count: samples.
        columns: samples in a batch.

    >>> StreamColumns(7, 2).order(torch.Generator())
    tensor([0, 3, 1, 4, 2, 5])
    """

    count: int
    columns: int

    @property
    def size(self) -> int:
        """The samples of columns that are equally long."""
        return self.count - self.count % self.columns

    def order(self, generator: torch.Generator) -> Tensor:
        """Return the columns row by row."""
        return torch.arange(self.size).view(self.columns, -1).t().flatten()


def side_by_side(start: int, stop: int, columns: int) -> list[Tensor]:
    """Return the places of a stream from `start` to `stop`, row by row of columns, of which the last may be shorter.

    >>> side_by_side(0, 5, 2)
    [tensor([0, 3]), tensor([1, 4]), tensor([2])]
    """
    rows = -(-(stop - start) // columns)
    return [torch.arange(start + row, stop, rows) for row in range(rows)]
