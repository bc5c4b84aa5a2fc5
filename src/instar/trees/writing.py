"""Writes a tree node by node, by the cells of a grid."""

from __future__ import annotations

import numpy as np

from instar.trees.arrays import TreeArrays
from instar.trees.grid import Grid
from instar.trees.thresholds import LEAF


class NodeWriter:
    """The nodes of one tree of classes, each written before its children.

    Args:
        forest: trees that the new one takes the place of.
        grid: their cells.
    """

    def __init__(self, forest: TreeArrays, grid: Grid) -> None:
        self.forest, self.grid = forest, grid
        self._nodes: list[tuple[int, float, int, int, int]] = []

    def add_leaf(self, found: int) -> int:
        """Write a leaf of a class, and return its number."""
        self._nodes.append((LEAF, 0.0, LEAF, LEAF, found))
        return len(self._nodes) - 1

    def add_cut(self, place: int, cell: int) -> int:
        """Write a node that sends the cells up to `cell` of a column to the left, and return its number."""
        self._nodes.append((int(self.grid.columns[place]), float(self.grid.levels[place][cell]), LEAF, LEAF, 0))
        return len(self._nodes) - 1

    def join(self, node: int, left: int, right: int) -> int:
        """Name the children of a node, and return its number."""
        self._nodes[node] = (*self._nodes[node][:2], left, right, 0)
        return node

    def finish(self) -> TreeArrays:
        """Return the tree; its leaves have the probability 1 for their class."""
        features, thresholds, left, right, classes = zip(*self._nodes, strict=True)
        forest = self.forest
        return TreeArrays(
            features, thresholds, left, right, np.eye(forest.outputs)[list(classes)], [0], forest.columns,
            feature_names=forest.feature_names, classes=forest.classes,
        )  # fmt: skip
