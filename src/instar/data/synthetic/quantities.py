"""The columns of a table whose values can be computed: their range, and how finely they are written."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from instar.data.columns.cell_rows import CellRows
from instar.data.columns.schema import CellKind

MAX_DECIMALS = 6
"""Largest number of decimals that is kept; of more, a column is taken for one of any numbers."""

_KINDS: tuple[CellKind, ...] = ("number", "date")

_STEPS_OF_DATES = (86400.0, 3600.0, 60.0, 1.0)
"""Days, hours, minutes and seconds."""


@dataclass(frozen=True, eq=False)
class Quantities:
    """Numbers and dates of a table; booleans and words are not, because nothing lies between their values.

    Args:
        is_quantity: whether each column is one, bool `[columns]`.
        least: smallest values, float64 `[columns]`; NaN for other columns, and for those without a value.
        most: largest values.
        units: what all values of a column are multiples of, times `per`; 0: they have any number of decimals.
        per: powers of ten, so that 0.01 is exactly 1 / 100.

    >>> from instar.data.columns.schema import Schema, TableColumn
    >>> values = torch.tensor([[1.25, 3.0], [9.5, 7.0]], dtype=torch.float64)
    >>> rows = CellRows(values, Schema((TableColumn("price", "number"), TableColumn("rooms", "number"))))
    >>> Quantities.of(rows).settle(torch.tensor([[2.3456, 4.4], [11, -3]], dtype=torch.float64)).tolist()
    [[2.35, 4.0], [9.5, 3.0]]
    """

    is_quantity: Tensor
    least: Tensor
    most: Tensor
    units: Tensor
    per: Tensor

    @classmethod
    def of(cls, rows: CellRows) -> Quantities:
        """Return those of a table."""
        found = [_measure(rows.values[:, place], column.kind) for place, column in enumerate(rows.schema)]
        least, most, units, per = torch.tensor(found, dtype=torch.float64).T
        return cls(torch.tensor([column.kind in _KINDS for column in rows.schema]), least, most, units, per)

    def settle(self, values: Tensor) -> Tensor:
        """Return values `[n, columns]` within the range of each column, and with as many decimals as its values have.

        So whole numbers stay whole, dates stay days, and an age is never negative. Other columns stay as they are.
        """
        kept = values.clamp(self.least, self.most)
        units = torch.where(self.units > 0, self.units, 1.0)
        kept = torch.where(self.units > 0, (kept * self.per / units).round() * units / self.per, kept)
        return torch.where(self.is_quantity, kept, values)


def _measure(values: Tensor, kind: CellKind) -> tuple[float, float, float, float]:
    known = values[~values.isnan()]
    if kind not in _KINDS or not len(known):
        return torch.nan, torch.nan, 0.0, 1.0
    least, most = known.min().item(), known.max().item()
    if kind == "date":
        step = next((step for step in _STEPS_OF_DATES if bool((known % step == 0).all())), 0.0)
        return least, most, step, 1.0
    for decimals in range(MAX_DECIMALS + 1):
        per = 10.0**decimals
        if torch.equal((known * per).round() / per, known):
            return least, most, 1.0, per
    return least, most, 0.0, 1.0
