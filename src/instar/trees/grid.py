"""The cells into which the thresholds of trees cut their space; inside a cell, all trees are constant."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instar.errors import MismatchError
from instar.trees.arrays import TreeArrays
from instar.trees.thresholds import LEAF

Cells = NDArray[np.int32]
"""Cells by their number along each column that has thresholds, `[n, columns]`."""


class Grid:
    """Cell i of a column has the numbers above threshold i - 1, up to threshold i; the last has all numbers above.

    A missing value is in no cell, so what is proved over all cells holds for rows without missing values.

    Args:
        trees: trees whose thresholds cut the columns.

    Attributes:
        columns: the columns that have thresholds, `[columns]`.
        levels: their thresholds in order, an array for each.
    """

    def __init__(self, *trees: TreeArrays) -> None:
        features = np.concatenate([one.features for one in trees])
        thresholds = np.concatenate([one.thresholds for one in trees])
        self.columns = np.unique(features[features != LEAF])
        self.levels = [np.unique(thresholds[features == column]) for column in self.columns]
        self._row_columns = trees[0].columns

    @property
    def last(self) -> NDArray[np.int32]:
        """Number of the last cell of each column."""
        return np.array([len(levels) for levels in self.levels], np.int32)

    @property
    def cells(self) -> int:
        """Number of cells, the product of those of the columns."""
        return math.prod(len(levels) + 1 for levels in self.levels)

    @property
    def regions(self) -> int:
        """Number of boxes of cells, the product of (n + 1)(n + 2) / 2 over columns with n thresholds."""
        return math.prod((len(levels) + 1) * (len(levels) + 2) // 2 for levels in self.levels)

    def rows(self, cells: Cells) -> NDArray[np.float64]:
        """Return a row of each cell, `[n, columns of the rows]`; a column without thresholds is 0."""
        found = np.zeros((len(cells), self._row_columns))
        for place, (column, levels) in enumerate(zip(self.columns, self.levels, strict=True)):
            with np.errstate(over="ignore"):  # above the largest number is infinity
                found[:, column] = np.append(levels, np.nextafter(levels[-1], np.inf))[cells[:, place]]
        return found

    def locate(self, trees: TreeArrays) -> tuple[NDArray[np.intp], NDArray[np.int32]]:
        """Return the place of the column of each node, and the last cell that goes left; 0 at leaves."""
        places, cells = np.zeros(len(trees.features), np.intp), np.zeros(len(trees.features), np.int32)
        for place, (column, levels) in enumerate(zip(self.columns, self.levels, strict=True)):
            own = trees.features == column
            places[own], cells[own] = place, np.searchsorted(levels, trees.thresholds[own])
        return places, cells


class Reach:
    """Which nodes of trees boxes of cells reach, and which class the trees certainly have there.

    Args:
        trees: trees of at least two classes.
        grid: cells of these trees, and perhaps of others.
    """

    def __init__(self, trees: TreeArrays, grid: Grid) -> None:
        self.trees, self.grid = trees, grid
        self.places, self.cells = grid.locate(trees)
        self._levels: list[NDArray[np.intp]] = []
        nodes: NDArray[Any] = trees.roots
        while len(nodes := nodes[trees.features[nodes] != LEAF]):
            self._levels.append(nodes)
            nodes = np.concatenate([trees.left[nodes], trees.right[nodes]])
        # nodes of one tree need not be neighbours, but their leaves are here, for reduceat
        owner = np.arange(len(trees.features))
        owner[trees.roots] = np.arange(len(trees.roots))
        for nodes in self._levels:
            owner[trees.left[nodes]] = owner[trees.right[nodes]] = owner[nodes]
        leaves = np.flatnonzero(trees.features == LEAF)
        self.leaves = leaves[np.argsort(owner[leaves], kind="stable")]
        self._starts = np.searchsorted(owner[self.leaves], np.arange(len(trees.roots)))
        self.inner = np.flatnonzero(trees.features != LEAF)
        self._share = 1 / len(trees.roots) if trees.combine == "mean" else 1.0
        # as if all trees had the depth of the deepest
        self.weights = np.zeros(len(trees.features))
        for level, nodes in enumerate(self._levels):
            self.weights[nodes] = 0.5**level
        self.weights = self.weights[self.inner]
        # sums of floats in another order differ by this at most, and what is nearer is decided in its single cells
        self._margin = 1e-9 * max(1.0, float(np.abs(trees.values).max()) * len(trees.roots))

    def find(self, low: Cells, high: Cells) -> NDArray[np.bool_]:
        """Return which nodes some row of each box reaches, `[n, nodes]`; perhaps more where a path is empty."""
        found = np.zeros((len(low), len(self.trees.features)), np.bool_)
        found[:, self.trees.roots] = True
        for nodes in self._levels:
            place, cell, above = self.places[nodes], self.cells[nodes], found[:, nodes]
            found[:, self.trees.left[nodes]] = above & (low[:, place] <= cell)
            found[:, self.trees.right[nodes]] = above & (high[:, place] > cell)
        return found

    def is_certain(self, reached: NDArray[np.bool_], classes: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return whether all rows of each box are certainly of the class that is given for it, `[n]`.

        For another class c', the sum over trees of the largest v[c'] - v[c] of the leaves that are reached is below 0.
        It may be false where all rows are of one class all the same, but not in a box that reaches one leaf of each
        tree.
        """
        leaves, values = reached[:, self.leaves], self.trees.values[self.leaves]
        certain: NDArray[np.bool_] = leaves.sum(1) == len(self.trees.roots)
        largest = np.full(len(reached), -np.inf)
        for other in range(self.trees.outputs):
            gains = values[:, other] - values.T[classes]
            gains = np.maximum.reduceat(np.where(leaves, gains, -np.inf), self._starts, axis=1).sum(1) * self._share
            gains += self.trees.base[other] - self.trees.base[classes]
            largest = np.maximum(largest, np.where(classes == other, -np.inf, gains))
        certain |= largest < -self._margin
        return certain

    def find_active(self, reached: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which inner nodes have both children in reach, `[n, inner nodes]`."""
        return reached[:, self.trees.left[self.inner]] & reached[:, self.trees.right[self.inner]]


def refuse_numbers(trees: TreeArrays) -> None:
    """Refuse trees that predict no classes.

    Raises:
        MismatchError: when they predict numbers, or know one class.
    """
    if trees.meaning != "numbers" and trees.outputs < 2:
        raise MismatchError("these trees know one class, which they predict everywhere; give a classifier of several.")
    if trees.meaning == "numbers":
        raise MismatchError(
            "these trees predict numbers, and what is equal on every point is the class; give a classifier."
        )
