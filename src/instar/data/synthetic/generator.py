"""The interface of generators of rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from instar.data.columns.cell_rows import CellRows
from instar.data.synthetic.typed_frame import make_typed_frame
from instar.expressions import write
from instar.seeds import Draws

ROWS_PER_PART = 8192
"""Rows that are made at once, because a generator needs several times their memory."""


class RowGenerator(ABC):
    """Makes rows like those of a table.

    A generator is a frozen dataclass, whose text a configuration holds, such as `Munge(probability=0.5)`.
    """

    @abstractmethod
    def fit(self, rows: CellRows) -> FittedGenerator:
        """Return the generator of rows like these, which are the training rows alone."""

    def __str__(self) -> str:
        return write(self)


@dataclass(frozen=True, eq=False)
class FittedGenerator(ABC):
    """Rows without end: row i is a function of (seed, i) alone, so any part of them can be made again.

    Args:
        rows: rows that the generator was fitted to.
    """

    rows: CellRows

    @property
    def limit(self) -> int | None:
        """Number of rows that there are; None: they never end."""
        return None

    @abstractmethod
    def make(self, ids: Tensor, seed: int) -> CellRows:
        """Return rows with the columns of the given ones.

        Args:
            ids: numbers of the rows, int64 `[n]`, from 0.
            seed: seed of all rows.
        """

    def parts(self, first: int, count: int, seed: int) -> Iterator[CellRows]:
        """Yield the rows `first` to `first + count - 1` in parts."""
        for start in range(first, first + count, ROWS_PER_PART):
            yield self.make(torch.arange(start, min(start + ROWS_PER_PART, first + count)), seed)


class FittedToCells(FittedGenerator):
    """A generator that draws cells, whose words, booleans and missing values occur in the given rows."""

    def make(self, ids: Tensor, seed: int) -> CellRows:
        """Return rows in the columns and types of the given ones."""
        values = self.make_values(Draws(seed, ids, view=0))
        # arrays have no data frame
        given = None if self.rows.given is None else make_typed_frame(self.rows, values)
        return CellRows(values, self.rows.schema, given, name="manufactured rows")

    @abstractmethod
    def make_values(self, draws: Draws) -> Tensor:
        """Return the cells of the rows of some draws, float64 `[n, columns]`, as `CellRows` holds them."""
