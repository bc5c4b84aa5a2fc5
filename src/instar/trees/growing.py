"""Born-again trees of Breiman and Shang 1996: one tree grown on manufactured rows that a forest labels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from instar.checks import Count, checked
from instar.errors import MismatchError
from instar.trees.arrays import TreeArrays
from instar.trees.cost_complexity import find_best_subtree
from instar.trees.grid import refuse_numbers
from instar.trees.reading import as_trees
from instar.trees.thresholds import LEAF

Rows = NDArray[np.float64]
"""Rows of numbers, `[rows, columns]`."""

MakeRows = Callable[[int, int], Rows]
"""Returns the rows `first` to `first + count - 1` of an endless stream; the same whenever it is called."""

FIRST_ROWS = 8192
"""Rows that are manufactured at first; there are twice as many whenever a node has too few."""


@dataclass(frozen=True)
class GrownTree:
    """What `grow_on_manufactured_rows` made.

    Attributes:
        tree: the tree; the values of a leaf are the shares of the forest's classes among its manufactured rows.
        leaves_before_pruning: its number of leaves before it was pruned.
        rows_made: number of manufactured rows that it was grown on.
    """

    tree: TreeArrays
    leaves_before_pruning: int
    rows_made: int


@checked
def grow_on_manufactured_rows(
    forest: Any,
    rows: ArrayLike,
    make: MakeRows,
    held_out: ArrayLike,
    *,
    rows_per_node: Count = 500,
    max_rows: Count = 200_000,
) -> GrownTree:
    """Grow a tree on manufactured rows with the classes of a forest, and prune it on others (Breiman and Shang 1996).

    Rows are manufactured until `rows_per_node` of them, N_s, lie in a node t, which takes N_g rows. The node has the
    cost (1 - max_c p(c|t)) N_s / N_g, where p are the shares of the forest's classes, and is split where Gini's
    impurity of its rows is least. It stays a leaf if

    - all of its manufactured rows are of one class,
    - one side of the split would hold none of the training rows,
    - or the first `max_rows` manufactured rows have fewer than `rows_per_node` in it.

    The tree is then pruned by cost and complexity, to the subtree with the fewest errors on `held_out`.

    Args:
        forest: `TreeArrays`, or a fitted classifier that `as_trees` reads.
        rows: training rows, `[rows, columns]`, without missing values.
        make: makes the rows; all nodes read one stream from its beginning.
        held_out: other manufactured rows, for the pruning.
        rows_per_node: N_s.
        max_rows: number of rows after which no more are manufactured.

    Raises:
        MismatchError: when the forest predicts numbers, there are no rows, or rows do not fit the forest.

    >>> from sklearn.datasets import load_iris
    >>> from sklearn.ensemble import RandomForestClassifier
    >>> x, y = load_iris(return_X_y=True)
    >>> forest = RandomForestClassifier(50, random_state=0).fit(x, y)
    >>> def make(first, count, seed=0):  # each cell from any row
    ...     draws = [np.random.default_rng((seed, first + number)).integers(len(x), size=4) for number in range(count)]
    ...     return np.take_along_axis(x, np.array(draws), 0)
    >>> found = grow_on_manufactured_rows(forest, x, make, make(0, 1000, seed=1), rows_per_node=200, max_rows=2000)
    >>> found.tree.leaf_count, float((found.tree.classify(x) == forest.predict(x)).mean().round(2))
    (4, 0.97)
    """
    trees = as_trees(forest)
    refuse_numbers(trees)
    given, others = np.asarray(rows), np.asarray(held_out)
    for table, noun in ((given, "training rows"), (others, "held-out rows")):
        trees.classify(table)  # which refuses rows of another number of columns
        if not len(table) or np.isnan(table).any():
            raise MismatchError(
                f"a tree is grown on {noun} without missing values, got {len(table)} rows; fill the values in."
            )
    growth = _Growth(trees, given.astype(np.float64), make, rows_per_node, max_rows)
    growth.grow()
    return growth.prune(others)


class _Growth:
    """A tree that grows level by level, and the stream of manufactured rows that lie in its leaves."""

    def __init__(self, forest: TreeArrays, given: Rows, make: MakeRows, rows_per_node: int, max_rows: int) -> None:
        self.forest, self.given, self.make = forest, given, make
        self.rows_per_node, self.max_rows = rows_per_node, max_rows
        self.made, self.classes = np.empty((0, forest.columns)), np.empty(0, np.intp)
        self.features, self.thresholds, self.left, self.right = [LEAF], [0.0], [LEAF], [LEAF]
        self.counts: dict[int, NDArray[np.intp]] = {}  # rows of each class, of each node
        self.costs: dict[int, float] = {}

    def grow(self) -> None:
        """Split nodes until all are leaves."""
        level = [0]
        while level:
            level = [child for node, split in self._choose_splits(level) for child in self._split(node, *split)]

    def _choose_splits(self, level: list[int]) -> list[tuple[int, tuple[int, float]]]:
        """Measure the nodes of a level, and return those that are split, with column and threshold."""
        reached = self._find_members(level)
        own, found = self.descend(self.given), []
        for node in level:
            members = reached[node]
            counts = np.bincount(self.classes[members], minlength=self.forest.outputs)
            is_full = len(members) == self.rows_per_node
            read = int(members[-1]) + 1 if is_full else len(self.made)
            self.counts[node], self.costs[node] = counts, float(counts.sum() - counts.max()) / read
            if not is_full or counts.max() == len(members):
                continue
            split = find_split(self.made[members], self.classes[members])
            if split is not None and 0 < (self.given[own == node, split[0]] <= split[1]).mean() < 1:
                found.append((node, split))
        return found

    def _find_members(self, level: list[int]) -> dict[int, NDArray[np.intp]]:
        """Return the first `rows_per_node` manufactured rows of each node, after making as many as that takes."""
        while True:
            nodes = self.descend(self.made)
            found = {node: np.flatnonzero(nodes == node)[: self.rows_per_node] for node in level}
            has_all = all(len(members) == self.rows_per_node for members in found.values())
            if has_all or len(self.made) >= self.max_rows:
                return found
            first = len(self.made)
            new = self.make(first, min(max(first, FIRST_ROWS), self.max_rows - first))
            self.made = np.concatenate([self.made, new])
            self.classes = np.concatenate([self.classes, self.forest.classify(new)])

    def _split(self, node: int, column: int, threshold: float) -> tuple[int, int]:
        children = len(self.features), len(self.features) + 1
        self.features[node], self.thresholds[node] = column, threshold
        self.left[node], self.right[node] = children
        self.thresholds += [0.0, 0.0]
        for array in (self.features, self.left, self.right):
            array += [LEAF, LEAF]
        return children

    def descend(self, rows: Rows) -> NDArray[np.intp]:
        """Return the leaf of each row, `[rows]`."""
        features, thresholds = np.array(self.features), np.array(self.thresholds)
        left, right = np.array(self.left), np.array(self.right)
        nodes, every = np.zeros(len(rows), np.intp), np.arange(len(rows))
        while len(every := every[features[nodes[every]] != LEAF]):
            at = nodes[every]
            goes_left = rows[every, features[at]] <= thresholds[at]
            nodes[every] = np.where(goes_left, left[at], right[at])
        return nodes

    def prune(self, held_out: Rows) -> GrownTree:
        """Return the subtree with the fewest errors on held-out rows."""
        counts = np.array([self.counts[node] for node in range(len(self.features))])
        tested = np.zeros_like(counts)
        np.add.at(tested, (self.descend(held_out), self.forest.classify(held_out)), 1)
        for node in range(len(counts) - 1, -1, -1):  # children come after their parents
            if self.left[node] != LEAF:
                tested[node] = tested[self.left[node]] + tested[self.right[node]]
        errors = tested.sum(1) - tested[np.arange(len(tested)), counts.argmax(1)]
        left, right = np.array(self.left, np.int32), np.array(self.right, np.int32)
        costs = np.array([self.costs[node] for node in range(len(self.features))])
        is_leaf = find_best_subtree(left, right, costs, errors.astype(np.float64)) | (left == LEAF)
        kept, waiting = [], [0]
        while waiting:
            kept.append(node := waiting.pop())
            if not is_leaf[node]:
                waiting += [int(right[node]), int(left[node])]
        numbers = np.full(len(left), LEAF)
        numbers[kept] = np.arange(len(kept))
        ends, forest = is_leaf[kept], self.forest
        below, above = (np.where(ends, LEAF, numbers[side[kept]]) for side in (left, right))
        tree = TreeArrays(
            np.where(ends, LEAF, np.array(self.features)[kept]), np.array(self.thresholds)[kept], below, above,
            counts[kept] / counts[kept].sum(1, keepdims=True), [0], forest.columns,
            feature_names=forest.feature_names, classes=forest.classes,
        )  # fmt: skip
        return GrownTree(tree, int((left == LEAF).sum()), len(self.made))


def find_split(rows: Rows, classes: NDArray[np.intp]) -> tuple[int, float] | None:
    """Return the column and the threshold that make Gini's impurity least; None if all rows are equal.

    The score, sum_c L_c^2 / |L| + sum_c R_c^2 / |R| for the counts L and R of both sides, is a fraction of whole
    numbers that is rounded once, so equal splits have equal scores, of which the first is taken.

    >>> find_split(np.array([[0.0, 5.0], [1.0, 5.0], [3.0, 5.0]]), np.array([0, 0, 1]))
    (0, 2.0)
    """
    order = rows.argsort(0, kind="stable")
    values, ordered = np.take_along_axis(rows, order, 0), classes[order]
    left = np.arange(1, len(rows))[:, None]
    right = len(rows) - left
    below, above = np.zeros((2, len(rows) - 1, rows.shape[1]), np.int64)
    for one in np.unique(classes):
        count = (ordered == one).cumsum(0)[:-1]
        below += count**2
        above += ((classes == one).sum() - count) ** 2
    scores = np.where(values[:-1] < values[1:], (below * right + above * left) / (left * right), -1.0)
    column, place = divmod(int(scores.T.argmax()), len(rows) - 1)
    if scores[place, column] < 0:
        return None
    low, high = float(values[place, column]), float(values[place + 1, column])
    middle = low + (high - low) / 2
    return column, middle if low <= middle < high else low
