"""A proof that two forests, or a tree and a forest, predict the same class everywhere, or a row where they differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instar.checks import Count, checked
from instar.errors import MismatchError
from instar.trees.arrays import TreeArrays
from instar.trees.grid import Cells, Grid, Reach, refuse_numbers
from instar.trees.reading import as_trees

BOXES_AT_ONCE = 2048
"""Boxes that are examined together; NumPy needs many, and memory few."""


@dataclass(frozen=True)
class Equality:
    """What `equal` found; true if the two predict the same class everywhere.

    Attributes:
        row: a row for which they differ, `[columns]`; None if there is none.
        classes: numbers of both classes there; () if there is no such row.
        boxes: number of boxes that were examined.
    """

    row: NDArray[np.float64] | None
    classes: tuple[int, ...]
    boxes: int

    def __bool__(self) -> bool:
        return self.row is None


@checked
def equal(first: Any, second: Any, *, max_boxes: Count = 20_000_000) -> Equality:
    """Prove that two models of trees predict the same class for every row without missing values.

    The space is cut at thresholds until each box is certainly of one class in both, by the sum over trees of the
    largest possible gain of any other class. A row where they differ is a row of a box in which they do.

    Args:
        first: `TreeArrays`, or a fitted model that `as_trees` reads.
        second: likewise, of the same columns and classes.
        max_boxes: number of boxes after which the proof is given up.

    Raises:
        MismatchError: when they have other columns or classes, predict numbers, or the proof needs more boxes.

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.tree import DecisionTreeClassifier
    >>> x, y = load_iris(return_X_y=True)
    >>> small, large = (DecisionTreeClassifier(max_depth=depth, random_state=0).fit(x, y) for depth in (2, 4))
    >>> bool(equal(large, large)), bool(equal(small, large))
    (True, False)
    >>> row = equal(small, large).row.reshape(1, -1)
    >>> bool(small.predict(row) == large.predict(row))
    False
    """
    pair = [as_trees(first), as_trees(second)]
    _refuse_other_spaces(*pair)
    grid = Grid(*pair)
    cuts = _Cuts([Reach(one, grid) for one in pair])
    waiting: list[tuple[Cells, Cells]] = [(np.zeros((1, len(grid.columns)), np.int32), grid.last[None])]
    boxes = 0
    while waiting:
        low, high = waiting.pop()
        boxes += len(low)
        if boxes > max_boxes:
            raise MismatchError(
                f"the proof needs more than {max_boxes:,} boxes of {grid.cells:,} cells; compare fewer or smaller "
                "trees, or set max_boxes higher."
            )
        rows = grid.rows(low)
        classes = [one.classify(rows) for one in pair]
        if (differing := classes[0] != classes[1]).any():
            box = int(differing.argmax())
            return Equality(rows[box], (int(classes[0][box]), int(classes[1][box])), boxes)
        waiting += cuts.split(low, high, classes[0])
    return Equality(None, (), boxes)


class _Cuts:
    """The thresholds at which boxes can be cut, and how much each node is for its own."""

    def __init__(self, reaches: list[Reach]) -> None:
        self.reaches = reaches
        places = np.concatenate([one.places[one.inner] for one in reaches])
        cells = np.concatenate([one.cells[one.inner] for one in reaches])
        self.cuts, number = np.unique(np.stack([places, cells]), axis=1, return_inverse=True)
        self.votes = np.zeros((len(places), self.cuts.shape[1]), np.float32)
        # the first nodes of trees decide most
        self.votes[np.arange(len(places)), number.reshape(-1)] = np.concatenate([one.weights for one in reaches])

    def split(self, low: Cells, high: Cells, classes: NDArray[np.intp]) -> list[tuple[Cells, Cells]]:
        """Return the halves of the boxes that are not certain in all, in parts of `BOXES_AT_ONCE`."""
        reached = [one.find(low, high) for one in self.reaches]
        certain = [one.is_certain(nodes, classes) for one, nodes in zip(self.reaches, reached, strict=True)]
        unsure = ~np.logical_and.reduce(certain)
        if not unsure.any():
            return []
        low, high = low[unsure], high[unsure]
        active = [one.find_active(nodes[unsure]) for one, nodes in zip(self.reaches, reached, strict=True)]
        best = (np.concatenate(active, axis=1).astype(np.float32) @ self.votes).argmax(1)
        every, (place, cell) = np.arange(len(low)), self.cuts[:, best]
        below, above = high.copy(), low.copy()
        below[every, place], above[every, place] = cell, cell + 1
        low, high = np.concatenate([low, above]), np.concatenate([below, high])
        starts = range(0, len(low), BOXES_AT_ONCE)
        return [(low[start : start + BOXES_AT_ONCE], high[start : start + BOXES_AT_ONCE]) for start in starts]


def _refuse_other_spaces(first: TreeArrays, second: TreeArrays) -> None:
    for one in (first, second):
        refuse_numbers(one)
    for what in ("columns", "outputs", "feature_names", "classes"):
        own, other = getattr(first, what), getattr(second, what)
        if own != other and () not in (own, other):
            raise MismatchError(f"the two must have the same {what} to be compared, got {own} and {other}.")
