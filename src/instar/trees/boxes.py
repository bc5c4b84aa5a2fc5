"""The smallest tree of a table of classes, for every box of its cells at once."""

from __future__ import annotations

import itertools
import math
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Table = NDArray[np.uint8]
"""Class of each cell, `[cells of column 1, cells of column 2, ...]`."""

Cut = tuple[int, int]
"""Column of a table, and the last of its cells that goes left."""

Box = tuple[tuple[int, int], ...]
"""First and last cell of a box along each column."""

Slices = tuple[slice, ...]

Sizes = NDArray[np.unsignedinteger]

Values = dict[tuple[int, ...], Sizes]
"""Sizes of trees by the lengths of boxes along the outer columns, `[first cell of each outer column, inner box]`."""

INNER_BOXES = 2000
"""Most boxes of the inner columns; boxes of the same lengths along the outer columns are solved together."""

NO_TREE = 2**14
"""Leaves of a tree that is not found yet; the sum of two fits in 16 bits, and more leaves need 32."""


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

    The depth of two halves is 1 + that of the deeper one, and their leaves are added (Vidal and Schiffer 2020, section
    4). Boxes of the same lengths are no parts of each other, so that their values are computed together, and each once,
    the shortest first. The last columns are inner ones, whose boxes are rows of numbers.

    Memory is 1 byte for each box (depth), or 2 (leaves, and 4 from `NO_TREE` leaves on) for each of `depth` + 1 levels.

    Args:
        table: classes of the cells; columns with many cells come first where this is to be quick.
        by: what is least, `depth` or `leaves`.
        depth: most levels of the trees whose leaves are counted; None for any.
    """

    def __init__(self, table: Table, by: Literal["depth", "leaves"], depth: int | None = None) -> None:
        self.table, self.shape = table, table.shape
        self._numbers = [_number_intervals(cells) for cells in table.shape]
        self._outer = table.ndim
        while self._outer and math.prod(map(len, self._numbers[self._outer - 1 :])) <= INNER_BOXES:
            self._outer -= 1
        self._lengths = list(itertools.product(*(range(1, cells + 1) for cells in table.shape[: self._outer])))
        self._first, self._is_pure = self._describe_inner()
        self._inner_cuts = _list_inner_cuts(table.shape[self._outer :])
        self._join: np.ufunc = np.maximum if by == "depth" else np.add
        self._step, self._pure = (1, 0) if by == "depth" else (0, 1)
        # twice as much fits, and a value that is as large is none
        self._kind: type[np.unsignedinteger] = np.uint8 if by == "depth" else np.uint16
        self._none = 120 if by == "depth" else NO_TREE
        self._levels = self._solve(depth)
        most = table.size if depth is None else min(table.size, 2**depth)
        if by == "leaves" and most >= NO_TREE and self.value(self.whole, depth) is None:
            self._kind, self._none = np.uint32, 2**30
            self._levels = self._solve(depth)

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
        outer, inner = box[: self._outer], 0
        for numbers, pair in zip(self._numbers[self._outer :], box[self._outer :], strict=True):
            inner = inner * len(numbers) + numbers[pair]
        values = self._levels[-1 if depth is None else depth][tuple(last - first + 1 for first, last in outer)]
        found = int(values[(*(first for first, _ in outer), inner)])
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

    def _describe_inner(self) -> tuple[Table, NDArray[np.bool_]]:
        """Return the class of the first cell of each inner box, and whether all of its cells are of it."""
        first = least = most = self.table
        for column in range(self._outer, len(self.shape)):
            pairs = list(self._numbers[column])
            before: tuple[Any, ...] = (slice(None),) * column
            first = np.stack([first[(*before, low)] for low, _ in pairs], column)
            least = np.stack([least[(*before, slice(low, high + 1))].min(column) for low, high in pairs], column)
            most = np.stack([most[(*before, slice(low, high + 1))].max(column) for low, high in pairs], column)
        shape = (*self.shape[: self._outer], -1)
        return first.reshape(shape), (least == most).reshape(shape)

    def _solve(self, depth: int | None) -> list[Values]:
        """Return the values of all boxes; with a depth, those of the trees of at most 0, 1, ... levels."""
        levels: list[Values] = [{}]
        for lengths in self._lengths:
            is_pure = self._find_pure(levels[0], lengths)
            values = np.full(is_pure.shape, self._none, self._kind)
            if depth is None:
                self._lower(levels[0], lengths, values)
            np.putmask(values, is_pure, self._pure)
            levels[0][lengths] = values
            if depth is None:
                self._lower_inner(values, values)
        for level in range(depth or 0):  # made of those of the level before
            levels.append({})
            for lengths, parts in levels[level].items():
                levels[-1][lengths] = values = parts.copy()
                self._lower(levels[level], lengths, values)
                self._lower_inner(parts, values)
        return levels

    def _find_pure(self, values: Values, lengths: tuple[int, ...]) -> NDArray[np.bool_]:
        """Return whether a slab of each box and the rest are pure, and alike."""
        column = next((column for column, length in enumerate(lengths) if length > 1), None)
        if column is None:
            return self._is_pure
        starts = [cells - length + 1 for cells, length in zip(self.shape, lengths, strict=False)]
        left, right = (values[(*lengths[:column], part, *lengths[column + 1 :])] for part in (1, lengths[column] - 1))
        before = (slice(None),) * column
        found: NDArray[np.bool_] = self._join(
            left[(*before, slice(0, starts[column]))], right[(*before, slice(1, None))]
        )
        found = found == self._join(self._pure, self._pure)
        if found.any():
            corner = [slice(0, count) for count in starts]
            first = self._first[tuple(corner)]
            corner[column] = slice(1, starts[column] + 1)
            found &= first == self._first[tuple(corner)]
        return found

    def _lower(self, parts: Values, lengths: tuple[int, ...], values: Sizes) -> None:
        """Lower the values of the boxes of some lengths to those of their halves by a cut of an outer column."""
        joined, before = np.empty_like(values), 1
        for column, (cells, length) in enumerate(zip(self.shape, lengths, strict=False)):
            starts = cells - length + 1
            shape = (before, starts, -1)
            own, new = values.reshape(shape), joined.reshape(shape)
            for size in range(1, length):
                left = parts[(*lengths[:column], size, *lengths[column + 1 :])].reshape(before, cells - size + 1, -1)
                right = parts[(*lengths[:column], length - size, *lengths[column + 1 :])].reshape(
                    before, starts + size, -1
                )
                self._join(left[:, :starts], right[:, size:], out=new)
                np.minimum(own, new, out=own)
            before *= starts
        if self._step:
            values += self._step

    def _lower_inner(self, parts: Sizes, values: Sizes) -> None:
        """Lower the values of boxes to those of their halves by a cut of an inner column."""
        if self._outer == len(self.shape):
            return
        # a row of each inner box, because NumPy adds rows much faster than columns
        shape = (*map(len, self._numbers[self._outer :]), -1)
        new = np.ascontiguousarray(values.reshape(-1, values.shape[-1]).T).reshape(shape)
        old = new if parts is values else np.ascontiguousarray(parts.reshape(-1, values.shape[-1]).T).reshape(shape)
        for whole, left, right in self._inner_cuts:
            joined, own = self._join(old[left], old[right]), new[whole]
            if self._step:
                joined += self._step
            np.minimum(own, joined, out=own)
        values[...] = new.reshape(values.shape[-1], -1).T.reshape(values.shape)


@cache
def _number_intervals(cells: int) -> dict[tuple[int, int], int]:
    """Return first and last cells, by length, so that the parts of an interval come before the whole."""
    pairs = [(first, first + length) for length in range(cells) for first in range(cells - length)]
    return {pair: number for number, pair in enumerate(pairs)}


@cache
def _list_inner_cuts(shape: tuple[int, ...]) -> list[tuple[Slices, ...]]:
    """Return which boxes are cut into which two, along each column by number of the interval, in order."""
    if not shape:
        return []
    numbers, rest = _number_intervals(shape[0]), _list_inner_cuts(shape[1:])
    found: list[tuple[Slices, ...]] = []
    for length in range(1, shape[0] + 1):
        starts, whole = shape[0] - length + 1, numbers[0, length - 1]
        for size in range(1, length):
            places = whole, numbers[0, size - 1], numbers[size, length - 1]
            found.append(tuple(_slice_from(place, starts) for place in places))
        found += [tuple(_slice_from(whole, starts) + part for part in cut) for cut in rest]
    return found


def _slice_from(first: int, count: int) -> Slices:
    return (slice(first, first + count),)
