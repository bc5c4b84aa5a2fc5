"""Puts trees as libraries keep them, one by one and in any order of nodes, behind each other as `TreeArrays`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from instar.errors import MismatchError
from instar.trees.arrays import TreeArrays
from instar.trees.thresholds import LEAF


class Nodes(NamedTuple):
    """Nodes of one tree of a library; node 0 is its root, and a leaf has the children -1."""

    features: NDArray[Any]
    thresholds: NDArray[Any]
    left: NDArray[Any]
    right: NDArray[Any]
    values: NDArray[Any]
    missing_left: NDArray[Any]


def stack_trees(trees: Sequence[Nodes], columns: int, **settings: Any) -> TreeArrays:
    """Return trees as one `TreeArrays`, each node after its parent; nodes that nothing leads to are left out.

    Args:
        trees: nodes of each tree.
        columns: number of columns of the rows.
        settings: further arguments of `TreeArrays`.
    """
    ordered = [_in_order(tree) for tree in trees]
    starts = np.cumsum([0, *(len(tree.features) for tree in ordered)])
    joined = Nodes(*(np.concatenate(arrays) for arrays in zip(*ordered, strict=True)))
    shifts = np.repeat(starts[:-1], np.diff(starts))
    left, right = (np.where(side == LEAF, LEAF, side + shifts) for side in (joined.left, joined.right))
    return TreeArrays(
        joined.features, joined.thresholds, left, right, joined.values, starts[:-1], columns,
        missing_left=joined.missing_left.astype(bool), **settings,
    )  # fmt: skip


def _in_order(tree: Nodes) -> Nodes:
    left, right = tree.left.astype(np.int64), tree.right.astype(np.int64)
    levels, count = [np.zeros(1, np.int64)], 1
    while len(levels[-1]):
        inner = levels[-1][left[levels[-1]] != LEAF]
        levels.append(np.stack([left[inner], right[inner]], 1).ravel())
        count += len(levels[-1])
        if count > len(left):
            raise MismatchError("the nodes of this tree are in a circle, so it is no tree.")
    order = np.concatenate(levels)
    places = np.full(len(left) + 1, LEAF)  # the last one: no child, -1
    places[order] = np.arange(len(order))
    leaf = left[order] == LEAF
    return Nodes(
        np.where(leaf, LEAF, tree.features[order]), np.where(leaf, 0, tree.thresholds[order]),
        places[left[order]], places[np.where(leaf, LEAF, right[order])], tree.values[order], tree.missing_left[order],
    )  # fmt: skip
