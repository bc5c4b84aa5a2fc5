"""Drops the splits of a tree one side of which holds no training row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from instar.errors import MismatchError
from instar.trees.arrays import TreeArrays
from instar.trees.thresholds import LEAF


def prune_empty_splits(trees: TreeArrays, rows: ArrayLike) -> TreeArrays:
    """Return trees without the splits one side of which holds none of the rows (Vidal and Schiffer 2020, section 5).

    The prediction of these rows stays as it is, and that of other rows may change: a tree that was equal to a forest
    everywhere is so only where there are data.

    Args:
        trees: one tree or many.
        rows: training rows, `[rows, columns]`.

    Raises:
        MismatchError: when there are no rows, or rows of another number of columns.

    >>> nodes = {"features": [0, -1, -1], "thresholds": [0.5, 0, 0], "left": [1, -1, -1], "right": [2, -1, -1]}
    >>> tree = TreeArrays(**nodes, values=[[2], [1], [3]], roots=[0], columns=1, meaning="numbers")
    >>> prune_empty_splits(tree, [[0.1], [0.2]]).leaf_count
    1
    """
    leaves = trees.apply(rows)
    if not len(leaves):
        raise MismatchError("trees are pruned by the rows that they were trained on, and none are given.")
    counts = np.bincount(leaves.ravel(), minlength=len(trees.features))
    children = np.stack([trees.left, trees.right], 1)
    for node in range(len(counts) - 1, -1, -1):  # children come after their parents
        if trees.features[node] != LEAF:
            counts[node] = counts[children[node]].sum()
    kept = np.array(_list_kept(trees, counts, children))
    numbers = np.full(len(counts), LEAF)
    numbers[kept] = np.arange(len(kept))
    is_leaf = trees.features[kept] == LEAF
    left, right = (
        np.where(is_leaf, LEAF, [numbers[_skip(child, trees, counts)] for child in side[kept]])
        for side in (trees.left, trees.right)
    )
    return TreeArrays(
        trees.features[kept], trees.thresholds[kept], left, right, trees.values[kept],
        [numbers[_skip(root, trees, counts)] for root in trees.roots], trees.columns,
        combine=trees.combine, meaning=trees.meaning, base=trees.base, missing_left=trees.missing_left[kept],
        allows_missing=trees.allows_missing, feature_names=trees.feature_names, classes=trees.classes,
    )  # fmt: skip


def _list_kept(trees: TreeArrays, counts: NDArray[np.intp], children: NDArray[np.int32]) -> Sequence[int]:
    """Return the nodes that stay, each after its parent."""
    waiting, kept = [_skip(root, trees, counts) for root in trees.roots][::-1], []
    while waiting:
        node = waiting.pop()
        kept.append(node)
        if trees.features[node] != LEAF:
            waiting += [_skip(child, trees, counts) for child in children[node][::-1]]
    return kept


def _skip(node: int, trees: TreeArrays, counts: NDArray[np.intp]) -> int:
    """Return the first node at or below one that has no empty side."""
    while trees.features[node] != LEAF:
        left, right = trees.left[node], trees.right[node]
        if counts[left] and counts[right]:
            break
        node = left if counts[left] else right
    return int(node)
