"""The smallest tree that predicts the classes of a forest: from regions down to tables of cells."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from instar.errors import MismatchError
from instar.trees.boxes import SmallestTrees, Table, count_boxes, merge_cells
from instar.trees.regions import Corner, Region, Regions, move_corner

Measure = Literal["depth", "leaves"]

MAX_CELLS = 2**22
"""Most cells of the table of a whole space."""

PART_CELLS, PART_BOXES = 2**15, 2**20
"""Most cells, and most boxes of them, of the table of a part of a space that is too large for one table."""


class Part(NamedTuple):
    """A region as a table: its smallest trees, its columns in the grid, and after which of their cells it is cut."""

    trees: SmallestTrees
    places: list[int]
    cells: list[NDArray[np.intp]]


class Answer(NamedTuple):
    """Size of the smallest tree of a region, infinite if there is none, and its first cut unless a table has it."""

    size: float
    cut: tuple[int, int] | None


class Search:
    """Finds the smallest tree of each region that it needs, once (Vidal and Schiffer 2020, section 4).

    A region with few boxes of cells becomes a table, whose smallest trees are found together. A larger one is cut in
    all ways; for the depth, a binary search finds the best cut of a column, because a part is never deeper than the
    whole.

    Args:
        regions: regions of a forest.
        by: what is smallest.
        max_boxes: most boxes of cells whose smallest trees are computed, those of all tables together.
    """

    def __init__(self, regions: Regions, by: Measure, max_boxes: int) -> None:
        self.regions, self.by, self.max_boxes, self.boxes = regions, by, max_boxes, 0
        self._answers: dict[tuple[Region, int | None], Answer] = {}
        self._sizes: dict[tuple[tuple[int, ...], bytes, int | None], float] = {}
        self._whole: Part | None = None

    def solve(self, region: Region, corner: Corner, depth: int | None = None) -> Answer:
        """Return the smallest tree of a region, among those of at most `depth` levels if it is given.

        Raises:
            MismatchError: when more boxes than `max_boxes` would be needed.
        """
        key = (region, depth)
        if key not in self._answers:
            if self.regions.find_class(region, corner) is not None:
                self._answers[key] = Answer(0 if self.by == "depth" else 1, None)
            elif depth == 0:
                self._answers[key] = Answer(math.inf, None)
            else:
                self._answers[key] = self._solve(region, corner, depth)
        return self._answers[key]

    def make_part(self, region: Region, corner: Corner, depth: int | None) -> Part | None:
        """Return a region as a table, or None if it is too large for one."""
        if region == self.regions.whole and self._whole:
            return self._whole
        found = self._read(region, corner, depth)
        if found is None:
            return None
        table, places, cells = found
        part = Part(SmallestTrees(table, self.by, depth), places, cells)
        if region == self.regions.whole:
            self._whole = part
        return part

    def _solve(self, region: Region, corner: Corner, depth: int | None) -> Answer:
        found = self._read(region, corner, depth)
        if found is None:
            cuts = self.regions.find_cuts(region)
            self._count(1000)  # what a region takes beside its table
            choose = self._choose_depth if self.by == "depth" else self._choose_leaves
            return choose(region, corner, cuts, depth)
        table = found[0]
        key = (table.shape, table.tobytes(), depth)
        if key not in self._sizes:
            self._count(count_boxes(table.shape) * (1 + (depth or 0)))
            part = self.make_part(region, corner, depth)
            assert part is not None  # it was read above
            size = part.trees.value(part.trees.whole, depth)
            self._sizes[key] = math.inf if size is None else size
        return Answer(self._sizes[key], None)

    def _read(
        self, region: Region, corner: Corner, depth: int | None
    ) -> tuple[Table, list[int], list[NDArray[np.intp]]] | None:
        """Return a region as a table without cells that are like their neighbours; None if it is too large."""
        cuts = self.regions.find_cuts(region)
        places = sorted((place for place, own in enumerate(cuts) if own), key=lambda place: -len(cuts[place]))
        max_cells, max_boxes = PART_CELLS, PART_BOXES
        if region == self.regions.whole:
            max_cells, max_boxes = MAX_CELLS, self.max_boxes
        if math.prod(len(cuts[place]) + 1 for place in places) > max_cells:
            return None
        table, kept = merge_cells(self.regions.make_table(cuts, places, corner))
        if count_boxes(table.shape) * (1 + (depth or 0)) > max_boxes:
            return None
        return table, places, [np.array(cuts[place])[own] for place, own in zip(places, kept, strict=True)]

    def _choose_leaves(self, region: Region, corner: Corner, cuts: list[list[int]], depth: int | None) -> Answer:
        best, below = Answer(math.inf, None), None if depth is None else depth - 1
        for place, cell in ((place, cell) for place, column in enumerate(cuts) for cell in column):
            left, right = self.regions.cut(region, place, cell)
            size = self.solve(left, corner, below).size
            if size + 1 < best.size:
                size += self.solve(right, move_corner(corner, place, cell), below).size
                best = Answer(size, (place, cell)) if size < best.size else best
        return best

    def _choose_depth(self, region: Region, corner: Corner, cuts: list[list[int]], _: int | None) -> Answer:
        best, least = Answer(math.inf, None), 1.0
        for place, column in enumerate(cuts):
            first, last = 0, len(column) - 1
            while first <= last and best.size > least:
                middle = (first + last) // 2
                left, right = self.regions.cut(region, place, column[middle])
                sizes = (
                    self.solve(left, corner).size,
                    self.solve(right, move_corner(corner, place, column[middle])).size,
                )
                best = Answer(1 + max(sizes), (place, column[middle])) if 1 + max(sizes) < best.size else best
                least = max(least, *sizes)  # a part is never deeper than the whole
                # the left part grows with the cell, and the right one shrinks
                first, last = (middle + 1, last) if sizes[0] < sizes[1] else (first, middle - 1)
        return best

    def _count(self, boxes: int) -> None:
        self.boxes += boxes
        if self.boxes > self.max_boxes:
            raise MismatchError(self.regions.describe_excess(f"more than max_boxes={self.max_boxes:,} boxes"))
