"""The nearest other row of each row of a table."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from instar.data.columns.cell_rows import CellRows
from instar.data.columns.schema import TableColumn
from instar.errors import DataError
from instar.seeds import generator

MAX_CANDIDATES = 8192
"""Rows among which the nearest is looked for, so that the time is linear in the rows of a larger table."""

MAX_ONE_HOT_WORDS = 16
"""Words of a column up to which multiplying one-hot numbers is faster than comparing codes."""

_ROWS_PER_BLOCK = 256  # whose distances to all candidates stay in the cache of a core

_MISSING = 0.75**0.5  # and half of the range beside it: as far from a value as the ends are from each other


def find_nearest(rows: CellRows) -> Tensor:
    """Return the number of the nearest other row of each row, int64 `[rows]`.

    The squared distance is the sum over columns of (x - x')^2 for numbers and dates, scaled to [0, 1] by their range,
    and of 1 for words and booleans that differ, and for a value beside a missing one; to float32's rounding. Of
    more than `MAX_CANDIDATES` rows, that many random ones can be neighbours.

    Raises:
        DataError: when there is only one row.

    >>> from instar.data.columns.schema import Schema
    >>> schema = Schema((TableColumn("age", "number"), TableColumn("plan", "word", ("basic", "pro"))))
    >>> find_nearest(CellRows(torch.tensor([[20.0, 0.0], [60.0, 0.0], [21.0, 1.0]]).double(), schema))
    tensor([1, 0, 0])
    """
    if len(rows) < 2:
        raise DataError(f"'{rows.name}' has one row, and MUNGE needs the nearest other row of each; give more rows.")
    places = torch.arange(len(rows))
    if len(rows) > MAX_CANDIDATES:  # the same ones under any seed, because they belong to the table
        places = torch.randperm(len(rows), generator=generator(0, "neighbours"))[:MAX_CANDIDATES].sort().values
    encoded = _Encoded.of(rows)
    candidates = encoded.take(places)
    halves = candidates.points.square().sum(1) / 2
    found = torch.empty(len(rows), dtype=torch.int64)
    for block in torch.arange(len(rows)).split(_ROWS_PER_BLOCK):
        some = encoded.take(block)
        # |a - b|^2 = |a|^2 - 2 (a.b - |b|^2 / 2), so the largest of these is the nearest
        closeness = torch.addmm(-halves, some.points, candidates.points.T)
        for own, theirs in zip(some.codes.T, candidates.codes.T, strict=True):
            closeness -= (own[:, None] != theirs).to(closeness.dtype) / 2
        at = torch.searchsorted(places, block).clamp(max=len(places) - 1)
        is_self = places[at] == block
        closeness[is_self.nonzero().flatten(), at[is_self]] = -torch.inf
        found[block] = places[closeness.argmax(1)]
    return found


@dataclass(frozen=True, eq=False)
class _Encoded:
    points: Tensor  # float32 [rows, dimensions], whose squared distances add up to those of all but long words
    codes: Tensor  # int16 [rows, columns of many words], which differ or not

    @classmethod
    def of(cls, rows: CellRows) -> _Encoded:
        points, codes = [], []
        for place, column in enumerate(rows.schema):
            values = rows.values[:, place]
            if column.kind in ("number", "date"):
                points.append(_scale(values))
            elif len(column.categories) > MAX_ONE_HOT_WORDS:
                codes.append(_codes(values))
            else:
                points.append(_one_hot(values, column))
        none = torch.zeros(len(rows), 0)
        known = torch.cat([none, *points], 1)
        known -= known.mean(0)  # smaller numbers, and so less rounding
        return cls(known, torch.stack(codes, 1).int() if codes else none.int())

    def take(self, places: Tensor) -> _Encoded:
        return _Encoded(self.points[places], self.codes[places])


def _scale(values: Tensor) -> Tensor:
    is_missing = values.isnan()
    if bool(is_missing.all()):
        return torch.zeros(len(values), 0)
    least = values[~is_missing].min()
    width = values[~is_missing].max() - least
    scaled = torch.where(is_missing, 0.5, (values - least) / (width if width > 0 else 1.0))
    columns = [scaled, is_missing * _MISSING] if bool(is_missing.any()) else [scaled]
    return torch.stack(columns, 1).float()


def _codes(values: Tensor) -> Tensor:
    return values.nan_to_num(nan=-1.0).long()


def _one_hot(values: Tensor, column: TableColumn) -> Tensor:
    number = len(column.categories) or 2  # of a boolean
    found: Tensor = functional.one_hot(_codes(values) + 1, number + 1) * 0.5**0.5
    return found
