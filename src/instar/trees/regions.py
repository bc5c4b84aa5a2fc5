"""Regions of the space of a forest as the set of leaves that they reach, in one whole number."""

from __future__ import annotations

import itertools
import math
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instar.errors import MismatchError
from instar.trees.arrays import TreeArrays
from instar.trees.boxes import Table
from instar.trees.grid import Grid
from instar.trees.thresholds import LEAF

Region = int
"""Bit i is set if some row of the region reaches leaf i. Regions of the same leaves have the same classes inside."""

Corner = tuple[int, ...]
"""First cell of a region along each column; regions of the same leaves may have several."""

MAX_REGIONS, MAX_LEAVES_BY_CUTS = 5_000_000, 20_000_000
"""Most regions whose class is kept, and most leaves times cuts of a forest; beyond, memory or time would not do."""

ROWS_AT_ONCE = 2**16
"""Rows whose classes are computed together."""


class Regions:
    """Cuts regions, and finds the class of a region.

    A box reaches a leaf if it meets the box of the leaf. Boxes that meet in pairs have a point in common (Helly), so
    the leaves below a cut are those of the region that the half space meets, one operation of bits. What no node
    reaches is forgotten, so far more boxes are one region than are equal.

    Args:
        trees: trees of at least two classes.
    """

    def __init__(self, trees: TreeArrays) -> None:
        self.trees, self.grid = trees, Grid(trees)
        if trees.leaf_count * sum(self.grid.last.tolist()) > MAX_LEAVES_BY_CUTS:
            raise MismatchError(self.describe_excess("a smaller forest"))
        leaves = np.flatnonzero(trees.features == LEAF)
        self._bits = {int(leaf): 1 << number for number, leaf in enumerate(leaves)}
        low, high = self._find_leaf_boxes()
        self._halves = [
            [self._halve(low[:, place], high[:, place], cell) for cell in range(last)]
            for place, last in enumerate(self.grid.last)
        ]
        below = self._find_leaves_below()
        places, cells = self.grid.locate(trees)
        # the two sides of each node, by the cut that it makes
        self._nodes: list[list[list[tuple[int, int]]]] = [[[] for _ in range(last)] for last in self.grid.last]
        for node in np.flatnonzero(trees.features != LEAF):
            self._nodes[places[node]][cells[node]].append((below[trees.left[node]], below[trees.right[node]]))
        self._trees = [below[int(root)] for root in trees.roots]
        self._gains: list[dict[int, tuple[float, ...]]] = [{} for _ in trees.roots]
        self._classes: dict[Region, int | None] = {}
        # sums of floats in another order differ by this at most; what is nearer is decided in single cells
        self._margin = 1e-9 * max(1.0, float(np.abs(trees.values).max()) * len(trees.roots))

    @property
    def whole(self) -> Region:
        """The region of all rows."""
        return (1 << len(self._bits)) - 1

    @property
    def corner(self) -> Corner:
        """The first cell of all."""
        return (0,) * len(self.grid.columns)

    def cut(self, region: Region, place: int, cell: int) -> tuple[Region, Region]:
        """Return the two sides of a cut after a cell of a column, which some node of the region makes."""
        left, right = self._halves[place][cell]
        return region & left, region & right

    def find_cuts(self, region: Region) -> list[list[int]]:
        """Return the cells after which nodes with both children in reach cut, for each column."""
        return [
            [
                cell
                for cell, nodes in enumerate(column)
                if any(region & left and region & right for left, right in nodes)
            ]
            for column in self._nodes
        ]

    def find_class(self, region: Region, corner: Corner) -> int | None:
        """Return the class of all rows of a region; None if they have several."""
        if region not in self._classes:
            if len(self._classes) >= MAX_REGIONS:
                raise MismatchError(self.describe_excess(f"more than {MAX_REGIONS:,} regions"))
            self._classes[region] = self._find_class(region, corner)
        return self._classes[region]

    def describe_excess(self, needed: str) -> str:
        """Return why a tree of this forest is not found, with its number of cells and boxes, and what would do."""
        cells, boxes = (
            f"{one:,}" if one < 10**12 else f"10^{len(str(one)) - 1}" for one in (self.grid.cells, self.grid.regions)
        )
        return (
            f"a born-again tree of this forest needs {needed}: its {self.trees.leaf_count:,} leaves cut the space into "
            f"{cells} cells and {boxes} boxes of them; give fewer or less deep trees, fit them to columns of fewer "
            "different values, use grow_faithful_tree, or let a tree learn from the forest."
        )

    def make_table(self, cuts: list[list[int]], places: list[int], corner: Corner) -> Table:
        """Return the classes of a region between its cuts, `[cuts of the first of places + 1, ...]`."""
        axes = [np.array([*cuts[place], cuts[place][-1] + 1]) for place in places]
        shape = tuple(len(axis) for axis in axes)
        found: NDArray[Any] = np.empty(math.prod(shape), np.uint8 if self.trees.outputs <= 256 else np.uint16)
        for start in range(0, len(found), ROWS_AT_ONCE):
            numbers = np.arange(start, min(start + ROWS_AT_ONCE, len(found)))
            cells = np.tile(np.array(corner, np.int32), (len(numbers), 1))
            cells[:, places] = np.stack(
                [axis[own] for axis, own in zip(axes, np.unravel_index(numbers, shape), strict=True)], 1
            )
            found[numbers] = self.trees.classify(self.grid.rows(cells))
        return found.reshape(shape)

    def _find_class(self, region: Region, corner: Corner) -> int | None:
        sums = [self.trees.base[second] - self.trees.base[first] for first, second in self._pairs]
        for tree, gains in zip(self._trees, self._gains, strict=True):
            own = region & tree
            if own not in gains:
                gains[own] = self._find_gains(own)
            sums = list(map(float.__add__, sums, gains[own]))
        best = dict(zip(self._pairs, sums, strict=True))
        classes = range(self.trees.outputs)
        for one in classes:
            if all(best[one, other] < -self._margin for other in classes if other != one):
                return one
        # there are no columns where each tree is one leaf
        place, cuts = max(enumerate(self.find_cuts(region)), key=lambda column: len(column[1]), default=(0, []))
        if not cuts:  # one leaf of each tree
            return int(self.trees.classify(self.grid.rows(np.array([corner], np.int32)))[0])
        cell = cuts[len(cuts) // 2]
        left, right = self.cut(region, place, cell)
        first = self.find_class(left, corner)
        if first is None:
            return None
        return first if self.find_class(right, move_corner(corner, place, cell)) == first else None

    @cached_property
    def _pairs(self) -> list[tuple[int, int]]:
        return list(itertools.permutations(range(self.trees.outputs), 2))

    def _find_gains(self, leaves: int) -> tuple[float, ...]:
        """Return the largest v[c'] - v[c] of leaves of one tree, for each pair c, c'."""
        own = [leaf for leaf, bit in self._bits.items() if leaves & bit]
        share = len(self.trees.roots) if self.trees.combine == "mean" else 1
        values = self.trees.values[own] / share
        return tuple(float((values[:, other] - values[:, one]).max()) for one, other in self._pairs)

    def _find_leaf_boxes(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        trees, (places, cells) = self.trees, self.grid.locate(self.trees)
        low = np.zeros((len(trees.features), len(self.grid.columns)), np.int32)
        high = np.tile(self.grid.last, (len(trees.features), 1))
        for node in np.flatnonzero(trees.features != LEAF):  # parents come first
            place, cell, left, right = places[node], cells[node], trees.left[node], trees.right[node]
            low[[left, right]], high[[left, right]] = low[node], high[node]
            high[left, place] = min(high[node, place], cell)
            low[right, place] = max(low[node, place], cell + 1)
        return low, high

    def _halve(self, low: NDArray[np.int32], high: NDArray[np.int32], cell: int) -> tuple[int, int]:
        left = sum(bit for leaf, bit in self._bits.items() if low[leaf] <= cell)
        return left, sum(bit for leaf, bit in self._bits.items() if high[leaf] > cell)

    def _find_leaves_below(self) -> list[int]:
        found = [0] * len(self.trees.features)
        for node in range(len(found) - 1, -1, -1):  # children come after their parents
            is_leaf = self.trees.features[node] == LEAF
            found[node] = self._bits[node] if is_leaf else found[self.trees.left[node]] | found[self.trees.right[node]]
        return found


def move_corner(corner: Corner, place: int, cell: int) -> Corner:
    """Return the corner of the part above a cut."""
    return (*corner[:place], cell + 1, *corner[place + 1 :])
