"""One tree or many as arrays of their nodes, and their predictions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import copy
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from instar.errors import MismatchError
from instar.trees.descent import Descent
from instar.trees.thresholds import EVERYTHING, LEAF
from instar.trees.wholeness import as_floats, as_indices, refuse_broken

Combination = Literal["mean", "sum"]
Meaning = Literal["probabilities", "logits", "numbers"]

MIN_COMPILED_ROWS = 256
"""Rows from which on compiled code is faster; it goes down one tree after the other."""

BLOCK_ROWS = 4096
"""Rows that go down a tree together: few enough that what a level needs of them stays in the cache of a core."""


class TreeArrays:
    """y(x) = base + the sum or mean over trees of values[leaf of x]; x goes left where x[feature] <= threshold.

    The comparison of every library has an equal one of this form for float64 rows: a threshold of float32 numbers is
    the largest float64 number that rounds to its left side, and x < t is x <= the number before t.

    Args:
        features: column that each node compares, int32 `[nodes]`; -1 at a leaf.
        thresholds: largest value that goes left, float64 `[nodes]`; any finite number at a leaf.
        left: the left child, int32 `[nodes]`; it comes after its parent, and is -1 at a leaf.
        right: the right child, likewise.
        values: output of each leaf, float64 `[nodes, outputs]`; inner nodes have any finite values, such as their mean.
        roots: first node of each tree, int32 `[trees]`.
        columns: number of columns of the rows.
        combine: `mean` or `sum` of the outputs of several trees.
        meaning: what the combined outputs are: `probabilities`, `logits` or `numbers`.
        base: what is added to the combined outputs, float64 `[outputs]`; None: zeros.
        missing_left: whether a missing value (NaN) goes left, bool `[nodes]`; None: nowhere.
        allows_missing: whether rows may have missing values; otherwise they are refused.
        feature_names: names of the columns, in their order; (): none.
        classes: names of the outputs, in their order; (): none.

    Raises:
        MismatchError: when the arrays are no trees: an index outside, a node with two parents or none, a circle, a
            number that is not finite, or leaves whose probabilities do not sum to 1.

    >>> nodes = {"features": [0, -1, -1], "thresholds": [0.5, 0, 0], "left": [1, -1, -1], "right": [2, -1, -1]}
    >>> tree = TreeArrays(**nodes, values=[[2], [1], [3]], roots=[0], columns=1, meaning="numbers")
    >>> tree.predict([[0.5], [0.6]]).tolist(), tree.leaf_count, tree.depths.tolist()
    ([[1.0], [3.0]], 2, [1])
    """

    def __init__(
        self,
        features: ArrayLike,
        thresholds: ArrayLike,
        left: ArrayLike,
        right: ArrayLike,
        values: ArrayLike,
        roots: ArrayLike,
        columns: int,
        *,
        combine: Combination = "mean",
        meaning: Meaning = "probabilities",
        base: ArrayLike | None = None,
        missing_left: ArrayLike | None = None,
        allows_missing: bool = False,
        feature_names: Sequence[str] = (),
        classes: Sequence[str] = (),
    ) -> None:
        self.features, self.left, self.right, self.roots = (
            as_indices(array, name)
            for array, name in ((features, "features"), (left, "left"), (right, "right"), (roots, "roots"))
        )
        self.thresholds, self.values = as_floats(thresholds, "thresholds"), as_floats(values, "values")
        outputs = self.values.shape[-1] if self.values.ndim else 0
        self.base = np.zeros(outputs) if base is None else as_floats(base, "base")
        nowhere = np.zeros(len(self.features) if self.features.ndim else 0, bool)
        self.missing_left = nowhere if missing_left is None else np.asarray(missing_left)
        self.columns, self.combine, self.meaning, self.allows_missing = columns, combine, meaning, allows_missing
        self.feature_names, self.classes = tuple(feature_names), tuple(classes)
        refuse_broken(self)

    def __getstate__(self) -> dict[str, Any]:
        """Return what the trees are, without what was computed from them, so that a copy has the same content."""
        return {name: value for name, value in vars(self).items() if name not in ("depths", "_walk", "_descent")}

    def rescaled(self, mean: NDArray[np.float64], std: NDArray[np.float64] | float) -> TreeArrays:
        """Return trees that predict mean + std y, mean and std `[outputs]`."""
        found = copy(self)
        found.values, found.base = self.values * std, self.base * std + mean
        return found

    @property
    def outputs(self) -> int:
        """Number of outputs, such as classes."""
        return int(self.values.shape[1])

    @property
    def leaf_count(self) -> int:
        """Number of leaves of all trees together."""
        return int((self.features == LEAF).sum())

    @property
    def open_thresholds(self) -> NDArray[np.float64]:
        """Thresholds with infinity for `EVERYTHING`, `[nodes]`."""
        return np.where(self.thresholds == EVERYTHING, np.inf, self.thresholds)

    @cached_property
    def depths(self) -> NDArray[np.int32]:
        """Depth of each tree, `[trees]`; 0 for a single leaf."""
        found = np.zeros(len(self.roots), np.int32)
        trees, nodes = np.arange(len(self.roots)), self.roots
        while (inner := self.features[nodes] != LEAF).any():
            trees, nodes = trees[inner], nodes[inner]
            found[trees] += 1  # once for each tree, however many of its nodes are in this level
            trees, nodes = np.tile(trees, 2), np.concatenate([self.left[nodes], self.right[nodes]])
        return found

    def apply(self, rows: ArrayLike) -> NDArray[np.int32]:
        """Return the leaf of each row in each tree, int32 `[rows, trees]`.

        Args:
            rows: numbers, `[rows, columns]`, NaN for a missing value.

        Raises:
            MismatchError: when the rows are no numbers, have another number of columns, or missing values that these
                trees do not allow.
        """
        table = self._as_table(rows)
        found = np.empty((len(table), len(self.roots)), np.int32)
        for at, each in self._find_leaves(table):
            for tree, leaves in enumerate(each):
                found[at, tree] = leaves
        return found

    def predict(self, rows: ArrayLike) -> NDArray[np.float64]:
        """Return the combined outputs of rows, float64 `[rows, outputs]`; see `apply` for rows and errors.

        Trees are added in their order, so that ties are those of a library that adds them in this order.
        """
        table, is_sum = self._as_table(rows), self.combine == "sum"
        found = np.empty((len(table), self.outputs))
        for at, each in self._find_leaves(table):
            total = found[at]
            total[:] = self.base if is_sum else 0.0
            for leaves in each:
                total += self.values.take(leaves, 0)
            if not is_sum:
                total /= len(self.roots)
                total += self.base
        return found

    def classify(self, rows: ArrayLike) -> NDArray[np.intp]:
        """Return the number of the largest output of each row, the smallest of equal ones, `[rows]`."""
        found: NDArray[np.intp] = self.predict(rows).argmax(1)
        return found

    @cached_property
    def _walk(self) -> tuple[NDArray[np.intp], NDArray[np.float64], NDArray[np.intp], NDArray[np.bool_]]:
        """Return columns, thresholds, children (left at 2 i, right at 2 i + 1) and ways of missing values of nodes.

        A leaf is its own left child, and everything goes left there, so rows walk on together after some have arrived.
        """
        leaf, own = self.features == LEAF, np.arange(len(self.features))
        children = np.stack([np.where(leaf, own, self.left), np.where(leaf, own, self.right)], 1).ravel()
        # whole numbers of the size of an address, because NumPy converts all others again at every level
        columns = np.where(leaf, 0, self.features).astype(np.intp)
        return columns, np.where(leaf, np.inf, self.open_thresholds), children.astype(np.intp), self.missing_left | leaf

    @cached_property
    def _descent(self) -> Descent:
        return Descent(self)

    def _find_leaves(self, table: NDArray[np.floating]) -> Iterator[tuple[slice, Iterator[NDArray[np.intp]]]]:
        """Yield blocks of a table, and for each the leaf of its rows, `[rows]`, tree by tree."""
        is_compiled = len(table) >= MIN_COMPILED_ROWS and (
            table.dtype == np.float32 or (table.dtype == np.float64 and self._descent.rounds)
        )
        for start in range(0, len(table), BLOCK_ROWS):
            at = slice(start, start + BLOCK_ROWS)
            block = table[at]
            # the minimum is NaN where any number is; compiled code looks for itself
            has_missing = not (is_compiled and self.allows_missing) and bool(np.isnan(block.min()))
            if has_missing and not self.allows_missing:
                raise MismatchError(self._describe_missing(block, start))
            if is_compiled:
                yield at, (self._descent.find_leaves(block, tree) for tree in range(len(self.roots)))
            else:
                yield at, self._walk_down(block, has_missing)

    def _walk_down(self, block: NDArray[np.floating], has_missing: bool) -> Iterator[NDArray[np.intp]]:
        columns, thresholds, children, missing_left = self._walk
        cells, starts = block.ravel(), np.arange(len(block)) * self.columns
        for root, depth in zip(self.roots, self.depths, strict=True):
            nodes = np.full(len(block), root, np.intp)
            for _ in range(depth):
                found = cells.take(starts + columns.take(nodes))
                goes_right = found > thresholds.take(nodes)  # false for NaN
                if has_missing:
                    goes_right |= np.isnan(found) & ~missing_left.take(nodes)
                nodes = children.take(2 * nodes + goes_right)
            yield nodes

    def _as_table(self, rows: ArrayLike) -> NDArray[np.floating]:
        table = np.asarray(rows)
        if table.dtype.kind not in "fiub" or table.ndim != 2 or table.shape[1] != self.columns:
            raise MismatchError(
                f"the rows for these trees must be numbers of shape [rows, {self.columns}], got {table.dtype} of shape "
                f"{list(table.shape)}."
            )
        # float32 cells compare with float64 thresholds as their exact float64 values do
        return np.ascontiguousarray(table, table.dtype if table.dtype.kind == "f" else np.float64)

    def _describe_missing(self, block: NDArray[np.floating], start: int) -> str:
        row, column = (int(found[0]) for found in np.isnan(block).nonzero())
        name = f"'{self.feature_names[column]}'" if self.feature_names else str(column)
        return (
            f"row {start + row} has a missing value in column {name}, and these trees were fitted without missing "
            "values; fill them in first, or fit the trees with them."
        )
