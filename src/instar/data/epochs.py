"""Epochs, the samples of one pass in their order: shuffled, half special, balanced, or a text in columns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

BATCHES_PER_STRETCH = 50
"""Batches that are sorted by size together: enough for batches of nearly one size, and few enough to stay random."""


class Epoch(ABC):
    """The samples of an epoch in their order, as indices of the training samples."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of samples in an epoch."""

    @abstractmethod
    def order(self, generator: torch.Generator) -> Tensor:
        """Return the indices of the samples in their order, int64 `[size]`."""


@dataclass(frozen=True)
class Shuffled(Epoch):
    """Each sample once, in random order.

    Args:
        count: number of samples.

    >>> Shuffled(3).order(torch.Generator()).sort().values
    tensor([0, 1, 2])
    """

    count: int

    @property
    def size(self) -> int:
        """Number of all samples."""
        return self.count

    def order(self, generator: torch.Generator) -> Tensor:
        """Return a permutation."""
        return torch.randperm(self.count, generator=generator)


@dataclass(frozen=True, eq=False)
class HalfSpecial(Epoch):
    """Each special sample once, and as many others, which repeat only after all of them were drawn.

    Args:
        special: whether each sample is special, bool `[samples]`.

    >>> HalfSpecial(torch.tensor([True, False, False])).size
    2
    """

    special: Tensor

    @property
    def size(self) -> int:
        """Twice the number of special samples."""
        return 2 * int(self.special.sum())

    def order(self, generator: torch.Generator) -> Tensor:
        """Return both halves in random order."""
        special, rest = self.special.nonzero()[:, 0], (~self.special).nonzero()[:, 0]
        rounds = -(-len(special) // len(rest))  # above 1 only if most samples are special
        drawn = torch.cat([torch.randperm(len(rest), generator=generator) for _ in range(rounds)])[: len(special)]
        both = torch.cat([special, rest[drawn]])
        # shuffled together; otherwise the first batches would be special alone, and the last ones not at all
        return both[torch.randperm(len(both), generator=generator)]


@dataclass(frozen=True, eq=False)
class Balanced(Epoch):
    """As many samples as there are, each class equally often, also in each batch.

    The samples of a class repeat only after all of them were drawn, and of a common class each epoch has others.

    Args:
        labels: class of each sample, at least 0, int64 `[samples]`.

    >>> labels = torch.tensor([0, 0, 0, 0, 0, 1])
    >>> labels[Balanced(labels).order(torch.Generator().manual_seed(0))].tolist()
    [0, 1, 0, 1, 0, 1]
    """

    labels: Tensor

    @property
    def size(self) -> int:
        """Number of all samples."""
        return len(self.labels)

    def order(self, generator: torch.Generator) -> Tensor:
        """Return rounds of one sample of each class, each round in random order."""
        counts = self.labels.unique(return_counts=True)[1]
        classes, rounds = len(counts), -(-self.size // len(counts))
        # classes in random order, round by round; the last round may be cut
        drawn = torch.rand(rounds, classes, generator=generator).argsort(1).flatten()[: self.size]
        order = torch.empty(self.size, dtype=torch.int64)
        all_members = self.labels.argsort(stable=True).split(counts.tolist())
        all_places = drawn.argsort(stable=True).split(drawn.bincount(minlength=classes).tolist())
        for members, places in zip(all_members, all_places, strict=True):
            passes = -(-len(places) // len(members))
            shuffled = [members[torch.randperm(len(members), generator=generator)] for _ in range(passes)]
            order[places] = torch.cat([members[:0], *shuffled])[: len(places)]
        return order


@dataclass(frozen=True, eq=False)
class Buckets(Epoch):
    """Each sample once, in batches of samples of like size, so that little is padded; the batches in random order.

    All samples are shuffled and cut into stretches of 50 batches. Each stretch is sorted by size and cut into batches,
    and all batches are shuffled. The last two batches share the rest, and come last.

    Args:
        sizes: size of each sample, such as the bytes of its text, int64 `[samples]`.
        batch_size: samples per batch.

    >>> Buckets(torch.tensor([1, 9, 2, 8, 1, 9, 5]), 2).order(torch.Generator().manual_seed(0)).tolist()
    [3, 5, 4, 0, 2, 6, 1]
    """

    sizes: Tensor
    batch_size: int

    @property
    def size(self) -> int:
        """Number of all samples."""
        return len(self.sizes)

    def order(self, generator: torch.Generator) -> Tensor:
        """Return the batches one behind the other."""
        drawn = torch.randperm(self.size, generator=generator)
        full = max(0, -(-self.size // self.batch_size) - 2)  # all but the last two, which may be smaller
        whole, rest = drawn[: full * self.batch_size], drawn[full * self.batch_size :]
        stretches = whole.split(BATCHES_PER_STRETCH * self.batch_size)
        batches = torch.cat([self._sort(part) for part in stretches]).view(full, self.batch_size)
        shuffled = batches[torch.randperm(full, generator=generator)].flatten()
        return torch.cat([shuffled, self._sort(rest)])

    def _sort(self, places: Tensor) -> Tensor:
        return places[self.sizes[places].argsort(stable=True)]


@dataclass(frozen=True)
class StreamColumns(Epoch):
    """A stream that is cut into columns of equal length, side by side: batch s has sample s of each column.

    So each row of batch s + 1 continues the same row of batch s. The order is the same in each epoch. Samples that do
    not fill a whole row at the end are left out.

    Args:
        count: number of samples.
        columns: samples per batch.

    >>> StreamColumns(7, 2).order(torch.Generator())
    tensor([0, 3, 1, 4, 2, 5])
    """

    count: int
    columns: int

    @property
    def size(self) -> int:
        """Number of samples in columns of equal length."""
        return self.count - self.count % self.columns

    def order(self, generator: torch.Generator) -> Tensor:
        """Return the columns row by row."""
        return torch.arange(self.size).view(self.columns, -1).t().flatten()  # [columns, rows] before the transpose


def side_by_side(start: int, stop: int, columns: int) -> list[Tensor]:
    """Return the indices `start` to `stop` of a stream, row by row of columns; the last columns may be shorter.

    >>> side_by_side(0, 5, 2)
    [tensor([0, 3]), tensor([1, 4]), tensor([2])]
    """
    rows = -(-(stop - start) // columns)  # rounded up, because an evaluation leaves no sample out
    return [torch.arange(start + row, stop, rows) for row in range(rows)]
