"""The smallest tree of a table of classes, for every box of its cells at once."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.uint8]
"""Class of each cell, `[cells of column 1, cells of column 2, ...]`."""

Cut = tuple[int, int]
"""Column of a table, and the last of its cells that goes left."""

BLOCK_VALUES = 2**18
"""Values that are lowered together; they stay in the cache of a core."""

Box = tuple[tuple[int, int], ...]
"""First and last cell of a box along each column."""

NO_TREE = 2**14
"""Leaves of a tree that is not found yet, for tables of fewer cells; the sum of two fits in 16 bits."""


def merge_cells(table: Table) -> tuple[Table, list[NDArray[np.intp]]]:
    """Merge neighbouring cells between which no class changes anywhere in the table.

    Returns:
        The smaller table, and for each of its columns the last of the merged cells of each cell but the last.

    >>> merge_cells(np.array([[0, 0, 1], [0, 0, 1]], np.uint8))
    (array([[0, 1]], dtype=uint8), [array([], dtype=int64), array([1])])
    """
    kept = []
    for column in range(table.ndim):
        first = np.moveaxis(table, column, 0).reshape(table.shape[column], -1)
        kept.append(np.flatnonzero((first[:-1] != first[1:]).any(1)))
        table = np.take(table, np.append(kept[-1], table.shape[column] - 1), axis=column)
    return np.ascontiguousarray(table), kept


def count_boxes(shape: tuple[int, ...]) -> int:
    """Return the number of boxes of cells of a table, the product of n (n + 1) / 2."""
    return math.prod(cells * (cells + 1) // 2 for cells in shape)


class SmallestTrees:
    """V(box) = 0 (depth) or 1 (leaves) if its cells have one class; else the least over cuts of the two halves.

    The depth of two halves is 1 + that of the deeper one, and their leaves are added. The values of all boxes are
    lowered together, from those of their halves, until none changes; then they are exact (Vidal and Schiffer 2020,
    section 4). NumPy is quick here because one operation is for all boxes that are cut alike in one column.

    Args:
        table: classes of the cells; columns with many cells come first where this is to be quick.
        by: what is least, `depth` or `leaves`.
        depth: most levels of the trees whose leaves are counted; None for any.
    """

    def __init__(self, table: Table, by: Literal["depth", "leaves"], depth: int | None = None) -> None:
        self.table, self.shape = table, table.shape
        # by length, so that the parts of an interval come before the whole
        self._numbers = [{pair: number for number, pair in enumerate(_list_intervals(cells))} for cells in table.shape]
        is_pure = self._over_boxes(table, np.minimum) == self._over_boxes(table, np.maximum)
        self._join: np.ufunc = np.maximum if by == "depth" else np.add
        self._step, kind = (1, np.uint8) if by == "depth" else (0, np.uint16 if table.size < NO_TREE else np.uint32)
        # twice as much fits, so that it needs no care
        self._none = {np.uint8: 120, np.uint16: NO_TREE, np.uint32: 2**30}[kind]
        start = np.where(is_pure, kind(1 - self._step), kind(self._none))
        self._levels = [start]
        if depth is None:
            self._settle(start)
        for _ in range(depth or 0):  # level k has the trees of at most k cuts in a row, made of those of level k - 1
            self._levels.append(self._levels[-1].copy())
            self._lower(self._levels[-2], self._levels[-1])

    @property
    def whole(self) -> Box:
        """The box of all cells."""
        return tuple((0, cells - 1) for cells in self.shape)

    def find_class(self, box: Box) -> int | None:
        """Return the class of all cells of a box; None if they have several."""
        cells = self.table[tuple(slice(first, last + 1) for first, last in box)]
        return int(cells.flat[0]) if (cells == cells.flat[0]).all() else None

    def value(self, box: Box, depth: int | None = None) -> int | None:
        """Return the depth or the leaves of the smallest tree for a box; None if none has so few levels."""
        place = tuple(numbers[pair] for numbers, pair in zip(self._numbers, box, strict=True))
        found = int(self._levels[-1 if depth is None else depth][place])
        return None if found == self._none else found

    def choose_cut(self, box: Box, depth: int | None = None) -> tuple[Cut, Box, Box]:
        """Return the first cut of a smallest tree for a box of several classes, and the boxes of its halves."""
        wanted, below = self.value(box, depth), None if depth is None else depth - 1
        for column, (first, last) in enumerate(box):
            for cell in range(first, last):
                left, right = ((*box[:column], part, *box[column + 1 :]) for part in ((first, cell), (cell + 1, last)))
                values = self.value(left, below), self.value(right, below)
                if None not in values and self._join(*values) + self._step == wanted:
                    return (column, cell), left, right
        raise AssertionError("a box of several classes has a cut")

    def _over_boxes(self, table: Table, join: np.ufunc) -> Table:
        for column, numbers in enumerate(self._numbers):
            cells = np.moveaxis(table, column, 0)
            found = np.empty((len(numbers), *cells.shape[1:]), table.dtype)
            for (first, last), number in numbers.items():
                found[number] = cells[last] if first == last else join(found[numbers[first, last - 1]], cells[last])
            table = np.moveaxis(found, 0, column)
        return np.ascontiguousarray(table)

    def _settle(self, values: NDArray[np.unsignedinteger]) -> None:
        """Lower values until none changes, block by block, each after all blocks of its parts."""
        outer = 0
        while math.prod(values.shape[outer:]) > BLOCK_VALUES and outer < values.ndim - 1:
            outer += 1
        pairs = [list(numbers) for numbers in self._numbers[:outer]]
        joined = np.empty(values.shape[outer:], values.dtype)
        for place in np.ndindex(values.shape[:outer]):
            block = values[place]
            for column, number in enumerate(place):
                before, after, numbers = place[:column], place[column + 1 :], self._numbers[column]
                first, last = pairs[column][number]
                for cell in range(first, last):
                    left, right = (
                        values[(*before, numbers[part], *after)] for part in ((first, cell), (cell + 1, last))
                    )
                    self._lower_to(block, left, right, joined)
            while self._lower(block, block, outer):
                pass

    def _lower(self, parts: NDArray[np.unsignedinteger], whole: NDArray[np.unsignedinteger], outer: int = 0) -> bool:
        """Lower the values of all boxes to those of their halves, and return whether any changed."""
        before = int(whole.sum(dtype=np.int64))
        for column, numbers in enumerate(self._numbers[outer:]):
            shape = (math.prod(whole.shape[:column]), len(numbers), math.prod(whole.shape[column + 1 :]))
            old, new = parts.reshape(shape), whole.reshape(shape)
            joined = np.empty((shape[0], shape[2]), whole.dtype)
            for (first, last), number in numbers.items():
                for cell in range(first, last):
                    left, right = old[:, numbers[first, cell]], old[:, numbers[cell + 1, last]]
                    self._lower_to(new[:, number], left, right, joined)
        return int(whole.sum(dtype=np.int64)) < before

    def _lower_to(self, values: Any, left: Any, right: Any, joined: Any) -> None:
        self._join(left, right, out=joined)
        if self._step:
            joined += 1
        np.minimum(values, joined, out=values)


def _list_intervals(cells: int) -> list[tuple[int, int]]:
    return [(first, first + length) for length in range(cells) for first in range(cells - length)]
